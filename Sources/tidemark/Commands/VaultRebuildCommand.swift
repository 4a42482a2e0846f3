internal import ArgumentParser
internal import Operations
internal import Vault

/// `tidemark vault rebuild`
struct VaultRebuildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rebuild",
    abstract: "Make a vault's lost or damaged descriptions anew from what it holds.",
    discussion: discussion(
      "Makes vault.json and each machine's MANIFEST anew where they cannot be read; what can be read "
        + "is left as it is. Run 'tidemark verify' afterwards.",
      examples: ["tidemark vault rebuild --vault /srv/vault"],
      ends: [.incomplete, .noVault, .locked, .damaged, .unwritable]))

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let report = RebuildReport(
      outcomes: try RebuildVault(directory: try vault.directory()).run())
    output.print(report.document, text: report.text)
    if report.outcomes.contains(where: { !$0.warnings.isEmpty }) {
      throw ExitStatus.incomplete.code
    }
  }
}
