internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark test-failover cleanup`
struct TestFailoverCleanupCommand: RecoveryCommand {
  static let configuration = CommandConfiguration(
    commandName: "cleanup", abstract: "End a drill, and throw its disks away.",
    discussion: discussion(
      """
      Whoever has a disk of it open loses it. The notes are kept with the drill.
      """,
      examples: [
        "tidemark test-failover cleanup web01 --notes 'Booted, logged in, all well.'"
      ],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable, .interrupted]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: ArgumentHelp("What is to be remembered of it.", valueName: "text"))
  var notes: String?

  @OptionGroup var wait: WaitOption
  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try carry(out: name) { client throws(OperationError) in
      try client.cleanUpTestFailover(name, notes: notes)
    }
  }
}
