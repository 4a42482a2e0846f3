internal import ArgumentParser
internal import Operations

/// `tidemark vault info`
struct VaultInfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Show a vault: its name, format, size and what is in it.",
    discussion: discussion(
      examples: ["tidemark vault info", "tidemark vault info --vault /srv/vault --json"],
      ends: [.noVault, .damaged]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let report = VaultReport(vault: try VaultSummary(try vault.opened()))
    output.print(report.document, text: report.text)
  }
}
