internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover discard`
struct FailoverDiscardCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "discard",
    abstract: "Remove the disks that a failover left of a machine that is not protected any more.",
    discussion: discussion(
      """
      All disks of failovers of the machine go that the vault holds, those too that its log does not name, with
      everything that was written to them. Without --yes the name has to be typed again.
      """,
      examples: [
        "tidemark failover discard web01 --yes"
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var confirmation: ConfirmationOption

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try confirmation.confirm("This removes the disks of '\(name)' for good", of: name)
    try carry(out: name) { client throws(OperationError) in try client.discardFailedOver(name) }
  }
}
