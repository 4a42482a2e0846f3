internal import Agent
internal import ArgumentParser
internal import DiskServers
internal import FuseMount
internal import Operations

/// What the command ends with. The numbers are a promise to scripts.
enum ExitStatus: Int32, CaseIterable {
  case done = 0
  case failed = 1
  case incomplete = 3
  case critical = 4
  case noVault = 10
  case locked = 11
  case damaged = 12
  case unknown = 13
  case refused = 14
  case source = 15
  case unwritable = 16
  case usage = 64
  case interrupted = 130

  /// What it means, in a few words.
  var meaning: String {
    switch self {
    case .done: "done"
    case .failed: "failed"
    case .incomplete: "done, but something needs attention"
    case .critical: "done, and something is critical"
    case .noVault: "there is no vault, or it is of a newer version"
    case .locked: "another process is writing to the vault, or to the output"
    case .damaged: "bytes are not what was written"
    case .unknown: "unknown machine, recovery point or disk"
    case .refused: "refused by a rule; nothing was changed"
    case .source: "a source disk is missing, unreadable, changed, or of a wrong size"
    case .unwritable: "no room is left, or access is not allowed"
    case .usage: "the command was not understood"
    case .interrupted: "interrupted; run the command again to go on"
    }
  }

  /// Ends the command with this status and no message.
  var code: ExitCode { ExitCode(rawValue) }

  /// Statuses and meanings, a line each, for a command's help.
  static func table(_ statuses: [ExitStatus]) -> String {
    statuses.map { status in
      let number = String(status.rawValue)
      let padding = String(repeating: " ", count: 5 - number.count)
      return "  \(number)\(padding)\(status.meaning)"
    }.joined(separator: "\n")
  }

  /// The status for the outcome of an operation.
  init(_ code: OperationError.Code) {
    switch code {
    case .failed: self = .failed
    case .incomplete: self = .incomplete
    case .noVault: self = .noVault
    case .locked: self = .locked
    case .damaged: self = .damaged
    case .unknown: self = .unknown
    case .refused: self = .refused
    case .source: self = .source
    case .unwritable: self = .unwritable
    case .cancelled: self = .interrupted
    }
  }

  /// The status for what an agent could not do.
  init(_ code: AgentError.Code) {
    switch code {
    case .link, .protocolBroken, .state, .hook: self = .failed
    case .missing, .refused, .expired: self = .refused
    case .damaged: self = .damaged
    case .locked: self = .locked
    case .unknown: self = .unknown
    case .source: self = .source
    case .cancelled: self = .interrupted
    }
  }

  /// The status for a disk server that did not do what it was asked for.
  init(_ error: DiskServerError) {
    switch error.code {
    case .inUse: self = .locked
    case .notRunning, .timeout, .notStarted, .failed, .directory: self = .failed
    }
  }

  /// The status for a mount that could not be made or ended.
  init(_ error: MountError) {
    switch error.code {
    case .missing, .notADirectory, .notEmpty, .alreadyMounted, .stale, .notMounted, .inUse,
      .refused:
      self = .refused
    case .backgroundFailed: self = error.exitStatus.flatMap(ExitStatus.init) ?? .failed
    case .unavailable, .system: self = .failed
    }
  }
}
