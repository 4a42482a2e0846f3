internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine list`
struct MachineListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the machines of a vault.",
    discussion: discussion(
      "Where a service runs, it also tells of machines that enrolled and are not protected, and how "
        + "each is.",
      examples: ["tidemark machine list", "tidemark machine list --json"],
      ends: [.noVault, .damaged]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let vault = try vault.opened()
    let machines =
      try ServiceAccess.running(for: vault)?.machines()
      ?? MachineListDocument(try MachineSummary.all(in: vault))
    output.print(machines, text: MachineReport.table(machines.machines))
    // What could be listed was; that a machine can't be read must not pass for success.
    if machines.machines.contains(where: { $0.problem != nil }) { throw ExitStatus.damaged.code }
  }
}
