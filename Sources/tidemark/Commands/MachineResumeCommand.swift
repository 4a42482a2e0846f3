internal import ArgumentParser
internal import ControlAPI
internal import Operations

/// `tidemark machine resume NAME`
struct MachineResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume", abstract: "Let the replication of a machine go on.",
    discussion: discussion(
      examples: ["tidemark machine resume web01"],
      ends: [.noVault, .locked, .unknown, .refused, .unwritable]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption

  func run() throws {
    try ServiceAccess.with(try vault.opened()) { try $0.client.setPaused(false, machine: name) }
    Console.note("Replication of '\(name)' goes on.")
  }
}
