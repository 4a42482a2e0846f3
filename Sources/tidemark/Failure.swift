internal import Agent
internal import ArgumentParser
internal import DiskServers
internal import FuseMount
internal import Glibc
internal import Identity
internal import Operations

/// An error on its way out: the one place that turns errors into messages and exit statuses.
struct Failure {
  private let error: any Error

  init(_ error: any Error) { self.error = error }

  /// The exit status and message; nil for what the argument parser handles itself: help, wrong
  /// usage, and an end with a status and nothing to say.
  var outcome: (status: ExitStatus, message: String)? {
    switch error {
    case let error as OperationError: (ExitStatus(error.code), error.message)
    case let error as AgentError: (ExitStatus(error.code), error.message)
    case let error as IdentityError:
      (error.code == .io ? .unwritable : .refused, error.message)
    case let error as MountError: (ExitStatus(error), error.message)
    case let error as DiskServerError: (ExitStatus(error), error.message)
    default: nil
    }
  }

  /// Tells the failure and ends the process.
  func end() -> Never {
    guard let (status, message) = outcome else { Tidemark.exit(withError: error) }
    Console.endProgress()
    if CommandLine.arguments.contains("--json") {
      Console.note(
        JSONText.line(FailureDocument(error: message, exitStatus: status.rawValue)))
    } else {
      Console.note("tidemark: \(message)")
    }
    exit(status.rawValue)
  }
}

/// What a failed command with `--json` prints to standard error.
struct FailureDocument: Encodable {
  let error: String
  let exitStatus: Int32
}
