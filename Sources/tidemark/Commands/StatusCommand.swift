internal import ArgumentParser
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Operations

/// `tidemark status`
struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show how well each machine of a vault is protected.",
    discussion: discussion(
      "One row a machine. The RPO is the age of the newest moment the machine could be brought back "
        + "to. With --rpo an older one is a warning, for use in monitoring. Where a service runs, it tells "
        + "of health and of machines that are not protected. Ends with 3 for warnings, with 4 if "
        + "something is critical, with 12 if a machine can't be read.",
      examples: ["tidemark status", "tidemark status --rpo 15m --json"],
      ends: [.incomplete, .critical, .noVault, .damaged]))

  @Option(
    help: ArgumentHelp("How old the newest moment may be, such as 90s, 15m, 4h.", valueName: "age"))
  var rpo: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard rpo == nil || Lifetime(rpo) != nil else {
      throw ValidationError("--rpo takes a number and a unit of s, m, h, d or w, such as 15m.")
    }
  }

  func run() throws {
    let vault = try vault.opened()
    let threshold = Lifetime(rpo).map { $0.seconds * 1_000_000_000 }
    let status = try VaultStatus(of: vault, now: Timestamp.now(), threshold: threshold)
    let report = StatusReport(status, try ServiceAccess.running(for: vault)?.status())
    output.print(report.document, text: report.text)
    if status.health == .critical { throw ExitStatus.damaged.code }
    try ExitStatus.end(with: report.health.rawValue)
  }
}
