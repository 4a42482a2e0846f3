internal import ArgumentParser
internal import Bytes
internal import ControlAPI
internal import FileIO
internal import Operations

/// `tidemark point show NAME POINT`
struct PointShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a recovery point of a machine.",
    discussion: discussion(
      "An instant shows the newest point that is not later, and how far it is from what was asked.",
      examples: [
        "tidemark point show web01 latest", "tidemark point show web01 20261120T103000Z-crash",
        "tidemark point show web01 5m-ago",
      ],
      ends: [.noVault, .damaged, .unknown]))

  @Argument(help: "The machine's name.")
  var name: String

  @Argument(help: "The point: latest, latest-app-consistent, an id, a label or an instant.")
  var point: String

  @OptionGroup var vault: VaultOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let found = try PointLookup(point, of: name, in: try vault.opened(), now: Timestamp.now())
    let report = PointReport(
      machine: name, point: found.point,
      asked: PointDocument.Asked(found.resolved, spelling: point))
    output.print(report.document, text: report.text)
  }
}
