internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark test-failover report NAME`
struct TestFailoverReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report", abstract: "Show what a drill checked and compared, and how it ended.",
    discussion: discussion(
      "Of the newest drill, or of the one whose number is given.",
      examples: [
        "tidemark test-failover report web01", "tidemark test-failover report web01 --id 7",
      ],
      ends: [.noVault, .locked, .unknown, .damaged]))

  @Argument(help: "The machine's name.")
  var name: String

  @Option(help: ArgumentHelp("The drill's number.", valueName: "number"))
  var id: Int64?

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { access in
      let drills = try access.client.drills(of: name, limit: 1000).drills
      guard let drill = drills.first(where: { id == nil || $0.id == id }) else {
        throw OperationError(
          .unknown, "There is no such drill of '\(name)'; 'tidemark test-failover list' shows them."
        )
      }
      output.print(drill, text: DrillReport.text(drill))
    }
  }
}
