internal import ArgumentParser
internal import Operations

/// `tidemark machine show NAME`
struct MachineShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a machine: its disks and recovery points.",
    discussion: discussion(
      examples: ["tidemark machine show web01"], ends: [.noVault, .damaged, .unknown]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let report = MachineReport(machine: try MachineSummary.named(name, in: try vault.opened()))
    output.print(report.document, text: report.text)
  }
}
