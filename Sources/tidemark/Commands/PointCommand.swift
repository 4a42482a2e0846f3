internal import ArgumentParser

/// `tidemark point …`
struct PointCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "point", abstract: "Look at the recovery points of a machine.",
    subcommands: [PointListCommand.self, PointShowCommand.self])
}
