internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine remove NAME`
struct MachineRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove a machine from a vault, with all its recovery points.",
    discussion: discussion(
      "This cannot be undone. The machine's own disks are not touched. It is refused while somebody "
        + "reads a disk of it, also in a mount, during a drill, and of a machine that is failed over: 'tidemark "
        + "machine disable' and 'tidemark failover discard' end that. Without --yes the name has to be typed "
        + "again.",
      examples: ["tidemark machine remove old01", "tidemark machine remove old01 --yes"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var confirmation: ConfirmationOption
  @OptionGroup var vault: VaultOption

  func run() throws {
    let machine = try look()
    let points = Words.count(machine.points.count, "recovery point")
    try confirmation.confirm("This removes '\(name)' and its \(points) for good", of: name)
    let left = try ServiceAccess.with(try vault.opened()) {
      try $0.client.removeMachine(named: name)
    }
    Console.note("Removed the machine '\(name)' and its recovery points.")
    for remark in left { Console.note("tidemark: \(remark)") }
  }

  /// Looks through a vault that is let go of at once: whoever reads a machine, this process too, keeps
  /// its service from removing it.
  private func look() throws(OperationError) -> MachineSummary {
    try RemoveMachine(name: name).check(in: try vault.opened())
  }
}
