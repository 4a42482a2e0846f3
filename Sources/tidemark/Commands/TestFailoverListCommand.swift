internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark test-failover list`
struct TestFailoverListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Show drills, the newest first.",
    discussion: discussion(
      examples: ["tidemark test-failover list", "tidemark test-failover list web01 --json"],
      ends: [.noVault, .locked, .unknown, .damaged]))

  @Argument(help: "Only those of this machine.")
  var name: String?

  @Option(help: ArgumentHelp("How many to show, 1 to 1000.", valueName: "count"))
  var limit = 100

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard (1...1000).contains(limit) else {
      throw ValidationError("--limit takes a number from 1 to 1000.")
    }
  }

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { access in
      let drills = try access.client.drills(of: name, limit: limit)
      output.print(drills, text: DrillReport.table(drills.drills))
    }
  }
}
