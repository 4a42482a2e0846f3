import FileIO
import Foundation
import Support
import Testing

/// The command under test, with a home and a vault of its own.
struct Tool {
  let directory: TemporaryDirectory
  /// The vault's directory; `init` does not make it.
  let vault: String
  /// Variables that its commands get beside the usual ones.
  var more: [String: String] = [:]

  init(_ purpose: String = "tool") throws {
    directory = try TemporaryDirectory(purpose)
    vault = directory.file("vault")
  }

  /// A tool whose vault is made already.
  static func withVault(_ purpose: String = "tool") throws -> Tool {
    let tool = try Tool(purpose)
    try tool.require("vault", "init", tool.vault)
    return tool
  }

  func file(_ name: String) -> String { directory.file(name) }

  /// A service listens for agents only where a test says so: the port is the same for all.
  var variables: [String: String] {
    [
      "HOME": directory.path, "XDG_CONFIG_HOME": "", "TIDEMARK_VAULT": vault,
      "TIDEMARK_REPLICATION_PORT": "none", "TIDEMARK_RUNTIME_DIRECTORY": directory.file("run"),
    ].merging(more) { $1 }
  }

  /// Starts the command.
  func start(_ arguments: [String]) throws -> Program {
    try Program(Product.tidemark, arguments, environment: variables, in: directory.path)
  }

  /// Runs the command to its end.
  func run(_ arguments: String...) throws -> Program.Result {
    try start(arguments).wait(seconds: 600)
  }

  /// Runs the command, which must succeed, and gives its output without the last line's end.
  @discardableResult
  func require(_ arguments: String...) throws -> String {
    let result = try start(arguments).wait(seconds: 600)
    try #require(
      result.succeeded, "tidemark \(arguments.joined(separator: " ")): \(result.report)")
    return result.output.trimmingCharacters(in: .newlines)
  }

  /// The object that the command prints with `--json`.
  func json(_ arguments: String...) throws -> [String: Any] { try json(arguments) }

  /// The object that the command prints with `--json`.
  func json(_ arguments: [String]) throws -> [String: Any] {
    let result = try start(arguments + ["--json"]).wait(seconds: 600)
    let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
    return try #require(object as? [String: Any], "\(result.report)")
  }

  /// Makes an empty file of this size.
  @discardableResult
  func image(_ name: String, size: UInt64) throws -> String {
    try File(file(name), .creating(permissions: 0o600)).truncate(to: size)
    return file(name)
  }

  /// The ids of a machine's points, the oldest first.
  func points(of machine: String) throws -> [String] {
    let points = try json("point", "list", machine)["points"] as? [[String: Any]] ?? []
    return points.compactMap { $0["id"] as? String }
  }
}

/// The SHA-256 of a file, in hexadecimal (sha256sum(1)).
func digest(of path: String) throws -> String {
  String(try Program.require("sha256sum", path, seconds: 1200).prefix(64))
}
