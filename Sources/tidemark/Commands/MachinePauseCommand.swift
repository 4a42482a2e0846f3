internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine pause NAME`
struct MachinePauseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Let the replication of a machine rest.",
    discussion: discussion(
      "Its recovery points stay. 'tidemark machine resume' lets it go on.",
      examples: ["tidemark machine pause web01"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.setPaused(true, machine: name) }
    Console.note("Replication of '\(name)' is paused.")
  }
}
