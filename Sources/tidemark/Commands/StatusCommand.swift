internal import ArgumentParser
internal import Bytes
internal import FileIO
internal import Operations

/// `tidemark status`
struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Show how well each machine of a vault is protected.",
    discussion: discussion(
      "One row a machine. The RPO is the age of the newest moment the machine could be brought back "
        + "to. With --rpo an older one is a warning, for use in monitoring.",
      examples: ["tidemark status", "tidemark status --rpo 15m --json"],
      ends: [.incomplete, .noVault, .damaged]))

  @Option(
    help: ArgumentHelp("How old the newest moment may be, such as 90s, 15m, 4h.", valueName: "age"))
  var rpo: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard rpo == nil || threshold != nil else {
      throw ValidationError("--rpo takes a number and a unit of s, m, h, d or w, such as 15m.")
    }
  }

  /// Nanoseconds the RPO may reach.
  private var threshold: Int64? {
    guard let rpo, case .ago(let seconds) = Instant(rpo + "-ago") else { return nil }
    return seconds * 1_000_000_000
  }

  func run() throws {
    let status = try VaultStatus(
      of: try vault.opened(), now: Timestamp.now(), threshold: threshold)
    let report = StatusReport(status: status)
    output.print(report.document, text: report.text)
    switch status.health {
    case .healthy: break
    case .warning: throw ExitStatus.incomplete.code
    case .critical: throw ExitStatus.damaged.code
    }
  }
}
