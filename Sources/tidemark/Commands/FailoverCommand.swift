internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark failover`
struct FailoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "failover", abstract: "Let a machine run here, from one of its recovery points.",
    subcommands: [
      FailoverStartCommand.self, FailoverChangePointCommand.self, FailoverCommitCommand.self,
      FailoverFlattenCommand.self, FailoverCancelCommand.self, FailoverDiscardCommand.self,
    ])
}
