internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark test-failover`
struct TestFailoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test-failover", abstract: "Drill the recovery of a machine, and touch nothing.",
    subcommands: [
      TestFailoverStartCommand.self, TestFailoverListCommand.self, TestFailoverReportCommand.self,
      TestFailoverCleanupCommand.self,
    ])
}
