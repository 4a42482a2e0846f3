internal import ArgumentParser

/// `tidemark vault …`
struct VaultCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vault", abstract: "Make a vault, look at one, or mend one.",
    subcommands: [VaultInitCommand.self, VaultInfoCommand.self, VaultRebuildCommand.self])
}
