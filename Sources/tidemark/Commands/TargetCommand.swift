internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark target …`
struct TargetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "target", abstract: "Look whether machines could be recovered here.",
    subcommands: [TargetCheckCommand.self])
}

/// `tidemark target check [NAME]`
struct TargetCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Look whether there is room and a network for machines that are recovered.",
    discussion: discussion(
      """
      With a name, also whether what that machine is set to be can be had on this host. What QEMU lacks is a \
      warning: without it the disks of a recovered machine are there, and nothing is started. 'machine \
      enable' refuses a machine for which there is no room or no network at all; which network each adapter \
      gets can be said later.
      """,
      examples: ["tidemark target check", "tidemark target check web01 --json"],
      ends: [.incomplete, .noVault, .locked, .damaged, .unknown, .refused, .unwritable]))

  @Argument(help: "A machine's name.")
  var name: String?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let found = try ServiceAccess.with(try vault.opened()) {
      try $0.client.checkTarget(of: name)
    }
    output.print(found, text: TargetReport.text(found))
    if let refused = found.checks.first(where: { $0.verdict == "refused" }) {
      throw OperationError(
        .refused, "\(refused.subject): \(refused.found). \(refused.advice ?? "")")
    }
    if found.verdict == "warning" { throw ExitStatus.incomplete.code }
  }
}
