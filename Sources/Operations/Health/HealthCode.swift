internal import Catalog

/// What can be wrong, by the name that programs know it by.
public enum HealthCode: String, Sendable, CaseIterable {
  /// Its agent has not been heard of for a while.
  case agentSilent = "agent-silent"
  /// Its newest cycle made no recovery point.
  case cycleFailed = "cycle-failed"
  /// The machine could not be brought to write out what it holds.
  case applicationPointFailed = "application-point-failed"
  /// No recovery point came for a while.
  case noCrashPoint = "no-crash-point"
  /// No app-consistent recovery point came for a while.
  case noApplicationPoint = "no-app-point"
  /// The newest recovery point is older than the machine's threshold.
  case rpoExceeded = "rpo-exceeded"
  /// The first replication would take very long.
  case copySlow = "first-replication-slow"
  /// The first replication does not get on.
  case copyStalled = "first-replication-stalled"
  /// No room is left for what agents send.
  case vaultFull = "vault-full"
  /// The service's host has no processor time to spare.
  case processor = "host-processor"
  /// The service's host has no memory to spare.
  case memory = "host-memory"
  /// The vault's file system fills up.
  case space = "host-space"

  /// What to do about it.
  var advice: String {
    switch self {
    case .agentSilent:
      "See on the machine whether it runs ('tidemark agent status') and reaches the service "
        + "('tidemark agent preflight')."
    case .cycleFailed: "The next cycle tries again; mend what the message names."
    case .noCrashPoint:
      "'tidemark machine show' tells what the agent does, 'tidemark health NAME' where the time goes."
    case .noApplicationPoint, .applicationPointFailed:
      "See on the machine what its freeze and thaw hooks say."
    case .rpoExceeded:
      "'tidemark health NAME' tells where the lag is. The threshold only warns: it changes nothing."
    case .copySlow:
      "'tidemark health NAME' tells where the time goes; a faster link or an excluded disk helps."
    case .copyStalled: "See on the machine what 'tidemark agent status' says, and the link to it."
    case .vaultFull:
      "Make room on the vault's file system, or enlarge it. Agents go on by themselves; nothing that "
        + "was stored is lost."
    case .processor: "Give the host more processors, or move machines to a process server."
    case .memory: "Give the host more memory, or end what else runs there."
    case .space: "Enlarge the vault's file system, or make room on it."
    }
  }
}

/// Something that was found wrong.
struct HealthFinding: Hashable, Sendable {
  let code: HealthCode
  let severity: Severity
  let message: String

  init(_ code: HealthCode, _ severity: Severity, _ message: String) {
    (self.code, self.severity, self.message) = (code, severity, message)
  }
}
