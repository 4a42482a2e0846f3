internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// Which machine of a recovery is meant.
struct RecoveredMachineOption: ParsableArguments {
  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "That of the test failover, not of the failover.")
  var test = false
}

/// `tidemark machine start NAME`
struct MachineStartCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "start", abstract: "Start the machine of a failover, or of a test failover.",
    discussion: discussion(
      """
      One that runs already stays as it is. Where it was made without --boot no machine is run, and its disks
      can be written to again; with --boot one is run on them from now on.
      """,
      examples: [
        "tidemark machine start web01", "tidemark machine start web01 --boot",
        "tidemark machine start web01 --test",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @OptionGroup var machine: RecoveredMachineOption
  @Flag(help: "Run a machine on its disks, though none was asked for before.")
  var boot = false

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try carry(out: machine.name) { client throws(OperationError) in
      try client.startMachine(machine.name, isTest: machine.test, boots: boot)
    }
  }
}
