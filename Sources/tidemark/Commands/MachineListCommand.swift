internal import ArgumentParser
internal import Operations

/// `tidemark machine list`
struct MachineListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the machines of a vault.",
    discussion: discussion(
      examples: ["tidemark machine list", "tidemark machine list --json"],
      ends: [.noVault, .damaged]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let report = MachineListReport(machines: try MachineSummary.all(in: try vault.opened()))
    output.print(report.document, text: report.text)
    // What could be listed was; that a machine can't be read must not pass for success.
    if report.machines.contains(where: { $0.problem != nil }) { throw ExitStatus.damaged.code }
  }
}
