public import Catalog

/// What can be wrong, by the name that programs know it by.
public enum HealthCode: String, Sendable, CaseIterable {
  /// Its agent has not been heard of for a while.
  case agentSilent = "agent-silent"
  /// Its agent's certificate was revoked, so that nothing comes any more.
  case agentRevoked = "agent-revoked"
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
  /// Its replica can't be gone on from until everything was compared with it.
  case resynchronisationRequired = "resynchronisation-required"
  /// No test failover succeeded for half a year.
  case drillOverdue = "drill-overdue"
  /// A test failover whose time is over could not be cleaned up.
  case drillExpired = "drill-expired"
  /// What may be written to the disks of a drill or a failover is nearly used up, or is.
  case diskBudget = "disk-budget"
  /// The disks of a drill or a failover are not served.
  case disksNotServed = "disks-not-served"
  /// The server of the disks of a drill or a failover does not answer.
  case diskServerHangs = "disk-server-hangs"
  /// A recovered machine that should run does not.
  case machineHalted = "machine-halted"
  /// The vault can't read all of the disks of a drill or a failover.
  case disksDamaged = "disks-damaged"
  /// No room is left for what agents send.
  case vaultFull = "vault-full"
  /// A process server has no processor time to spare.
  case processor = "host-processor"
  /// A process server has no memory to spare.
  case memory = "host-memory"
  /// The vault's file system fills up.
  case space = "host-space"
  /// A relay has not been heard of for a while.
  case serverSilent = "server-silent"
  /// A relay's cache fills up.
  case serverCache = "server-cache"
  /// What waits in a relay's cache takes long to upload.
  case serverPending = "server-pending"

  /// What an error can be about.
  public enum Subject: String, Sendable, CaseIterable {
    /// A machine.
    case machine
    /// A process server: the service itself, or a relay.
    case server
  }

  /// What an error of this kind is about.
  public var subject: Subject {
    switch self {
    case .agentSilent, .agentRevoked, .cycleFailed, .applicationPointFailed, .noCrashPoint,
      .noApplicationPoint, .rpoExceeded, .copySlow, .copyStalled, .resynchronisationRequired,
      .drillOverdue, .drillExpired, .diskBudget, .disksNotServed, .diskServerHangs,
      .machineHalted, .disksDamaged:
      .machine
    case .vaultFull, .processor, .memory, .space, .serverSilent, .serverCache, .serverPending:
      .server
    }
  }

  /// What looks find of the disks and the machine of a drill or a failover.
  static let ofRecoveredDisks: Set<HealthCode> = [
    .diskBudget, .disksNotServed, .diskServerHangs, .machineHalted,
  ]

  /// What to do about it.
  var advice: String {
    switch self {
    case .agentSilent:
      "See on the machine whether it runs ('tidemark agent status') and reaches the service "
        + "('tidemark agent preflight')."
    case .agentRevoked:
      "Make a key with 'tidemark key create --machine NAME' and enrol the machine with it, or end its "
        + "protection with 'tidemark machine disable NAME'."
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
    case .resynchronisationRequired:
      "It begins by itself in the machine's window, or with 'tidemark machine resynchronise NAME'; "
        + "for a machine without an agent, with 'tidemark replicate NAME --resynchronise'."
    case .drillOverdue:
      "Only a drill proves that it can be recovered: 'tidemark test-failover start NAME'."
    case .drillExpired: "Clean it up with 'tidemark test-failover cleanup NAME --notes TEXT'."
    case .diskBudget: "Begin it anew with a larger --budget, or end it."
    case .disksNotServed:
      "Mend what the message names, or see what the system's log says of 'tidemark'; then 'tidemark machine "
        + "start NAME' (with --test for a drill) serves them again. Nothing that was written is lost."
    case .diskServerHangs:
      "See whether the disk that the vault lies on answers. If it does, kill that process (kill -9): another "
        + "takes its place, whoever uses the disks only waits for it, and nothing that was written is lost."
    case .machineHalted:
      "Mend what the message names. A machine that was halted by its disk goes on when it is started again: "
        + "'tidemark machine start NAME'."
    case .disksDamaged:
      "'tidemark verify NAME' names the disks and ranges. Copy what can still be read; until a commit another "
        + "recovery point can be chosen: 'tidemark failover change-point NAME --point POINT'."
    case .vaultFull:
      "Make room on the vault's file system, or enlarge it. Agents go on by themselves; nothing that "
        + "was stored is lost."
    case .processor: "Give the host more processors, or \(Self.move)"
    case .memory: "Give the host more memory, end what else runs there, or \(Self.move)"
    case .space: "Enlarge the vault's file system, or make room on it."
    case .serverSilent:
      "See on the relay whether 'tidemark serve --relay' runs, and whether it reaches the service. Meanwhile "
        + Self.move
    case .serverCache, .serverPending:
      "Give the relay a faster link, or its cache more room, or \(Self.move)"
    }
  }

  private static let move =
    "move machines to another process server ('tidemark machine set NAME --process-server SERVER')."
}

extension HealthErrorRecord {
  /// What it is about: a machine, unless its code is known to be of a process server.
  public var kind: HealthCode.Subject { HealthCode(rawValue: code)?.subject ?? .machine }
}

/// Something that was found wrong.
public struct HealthFinding: Hashable, Sendable {
  /// What kind of error it is.
  public let code: HealthCode
  /// How urgently somebody should look.
  public let severity: Severity
  /// What was found, and the limit if there is one, as a sentence.
  public let message: String

  init(_ code: HealthCode, _ severity: Severity, _ message: String) {
    (self.code, self.severity, self.message) = (code, severity, message)
  }

  /// What is said of a protected machine whose agent was revoked.
  static let revoked = HealthFinding(
    .agentRevoked, .critical,
    "The certificate of its agent was revoked; nothing is replicated until it enrols again.")
}
