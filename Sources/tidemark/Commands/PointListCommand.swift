internal import ArgumentParser
internal import Bytes
internal import FileIO
internal import Operations

/// `tidemark point list NAME`
struct PointListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the recovery points of a machine, the oldest first.",
    discussion: discussion(
      examples: ["tidemark point list web01", "tidemark point list web01 --json"],
      ends: [.noVault, .damaged, .unknown]))

  @Argument(help: "The machine's name.")
  var name: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let machine = try MachineSummary.named(name, in: try vault.opened())
    let report = PointListReport(machine: name, points: machine.points, now: Timestamp.now())
    output.print(report.document, text: report.text)
  }
}
