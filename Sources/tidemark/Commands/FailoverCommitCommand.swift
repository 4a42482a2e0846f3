internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover commit`
struct FailoverCommitCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "commit",
    abstract: "Make a failover final: all recovery points of the machine are deleted.",
    discussion: discussion(
      """
      Its disks stay as they are, and go on being used. With --complete-migration its protection ends for
      good, too. Without --yes the name has to be typed again.
      """,
      examples: [
        "tidemark failover commit web01",
        "tidemark failover commit web01 --complete-migration --yes",
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @Flag(help: "End its protection for good, too.")
  var completeMigration = false

  @OptionGroup var confirmation: ConfirmationOption

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try confirmation.confirm("This deletes every recovery point of '\(name)'", of: name)
    try carry(out: name) { client throws(OperationError) in
      try client.commitFailover(name, completesMigration: completeMigration)
    }
  }
}
