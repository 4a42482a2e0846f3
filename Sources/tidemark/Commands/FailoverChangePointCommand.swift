internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover change-point`
struct FailoverChangePointCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "change-point",
    abstract: "Take another recovery point for a machine that is failed over.",
    discussion: discussion(
      """
      What was written to its disks here is discarded: without --yes it says how much that is, and does
      nothing. Not possible any more once the failover is committed.
      """,
      examples: [
        "tidemark failover change-point web01 --point latest-app-consistent --yes"
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var options: RecoveryOptions

  @Flag(help: "Do not ask, and go on where something only warns.")
  var yes = false

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try carry(out: name) { client throws(OperationError) in
      try client.changeRecoveryPoint(name, options.request(isConfirmed: yes))
    }
  }
}
