internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover cancel`
struct FailoverCancelCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "Cancel a failover that runs or failed; the machine is not replicated any more.",
    discussion: discussion(
      """
      Replication was stopped before the failover, and does not go on: the machine's protection has to be
      disabled and enabled anew, which copies everything. Its recovery points stay until then, and it can be
      failed over from them. Its source is told so, and is not fenced. Needs --yes.

      Where replication is stopped already, it removes the disks of a failover that the machine's log does not name
      any more, as behind a repair; without --yes it only says which those are.
      """,
      examples: [
        "tidemark failover cancel web01 --yes"
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "Do not ask, and go on where something only warns.")
  var yes = false

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try carry(out: name) { client throws(OperationError) in
      try client.cancelFailover(name, isConfirmed: yes)
    }
  }
}
