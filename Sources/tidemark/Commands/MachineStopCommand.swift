internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine stop NAME`
struct MachineStopCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "stop", abstract: "Stop the machine of a failover, or of a test failover.",
    discussion: discussion(
      """
      Its guest is asked to power down, and waited for. If it does not in time it goes on running, or with
      --force its power is taken. Where no machine is run (made without --boot), it is waited until nobody has its disks
      open, everything is made durable, and its disks refuse writes until it is started; with --force they are
      taken from who has them open. 'tidemark jobs' shows a stop that is waited for.
      """,
      examples: [
        "tidemark machine stop web01", "tidemark machine stop web01 --timeout 5m --force",
        "tidemark machine stop web01 --test",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @OptionGroup var machine: RecoveredMachineOption

  @Option(
    help: ArgumentHelp("How long it is waited for, such as 90s or 5m.", valueName: "time"))
  var timeout = "90s"

  @Flag(help: "If it is not down by then, take its power.")
  var force = false

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard let seconds = Lifetime(timeout)?.seconds, (1...3600).contains(seconds) else {
      throw ValidationError("--timeout takes a number and a unit of s or m, from 1s to 60m.")
    }
  }

  func run() throws {
    let seconds = (Lifetime(timeout)?.seconds).map { Double($0) }
    try carry(out: machine.name) { client throws(OperationError) in
      try client.stopMachine(
        machine.name,
        MachineStopDocument(test: machine.test, timeoutSeconds: seconds, force: force))
    }
  }
}
