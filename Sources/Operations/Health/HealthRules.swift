internal import Bytes
internal import Catalog
internal import FileIO

/// When something is wrong with a machine or a process server. The numbers are those of Azure Site
/// Recovery, where it has them.
struct HealthRules: Sendable {
  /// Seconds without a sign of life of an agent or relay that are too many.
  var silence: Int64 = 15 * 60
  /// Seconds without a recovery point that are too many.
  var pointAge: Int64 = 60 * 60
  /// Seconds over which the progress of a first replication is judged.
  var copyWindow: Int64 = 15 * 60
  /// Seconds that the rest of a first replication may take at the pace it has.
  var copyRest: Int64 = 3 * 86400
  /// How busy the host of a process server may be, and how full what it stores to.
  var host = HostLimits()
  /// Seconds of pending upload above which there is a warning.
  var pendingWarning: UInt32 = 30 * 60
  /// Seconds of pending upload above which it is critical.
  var pendingCritical: UInt32 = 45 * 60

  /// What is known of a protected machine at a moment.
  struct Condition: Sendable {
    var settings: MachineSettings
    /// When it was last heard of, or could have been first.
    var contact: Timestamp
    var newestPoint: Timestamp?
    var newestApplicationPoint: Timestamp?
    /// How far its first replication is.
    var copy = CopyPace()
    /// Whether its agent's certificates are refused.
    var isRevoked = false
  }

  /// What is wrong with a machine.
  func findings(of machine: Condition, at now: Timestamp) -> [HealthFinding] {
    var findings = machine.isRevoked ? [HealthFinding.revoked] : []
    guard !machine.settings.isPaused else { return findings }
    if !machine.isRevoked, now.seconds - machine.contact.seconds >= silence {
      findings.append(
        HealthFinding(
          .agentSilent, .critical,
          "Nothing was heard of its agent since \(machine.contact.wholeSeconds)."))
    }
    guard let newest = machine.newestPoint else {
      return findings + copyFindings(of: machine)
    }
    return findings + pointFindings(of: machine, newest, at: now)
  }

  private func pointFindings(
    of machine: Condition, _ newest: Timestamp, at now: Timestamp
  ) -> [HealthFinding] {
    var findings: [HealthFinding] = []
    let (settings, age) = (machine.settings, now.seconds - newest.seconds)
    let place = "The newest recovery point is of \(newest.wholeSeconds)"
    if age > Int64(settings.rpoSeconds) {
      findings.append(
        HealthFinding(
          .rpoExceeded, .warning,
          "\(place), older than the threshold of \(settings.rpoSeconds) s."))
    }
    // A machine that makes a point every two hours has not missed one after one.
    if age >= max(pointAge, 2 * Int64(settings.cycleSeconds)) {
      findings.append(HealthFinding(.noCrashPoint, .critical, "\(place); none came since."))
    }
    if settings.applicationSeconds > 0, let newest = machine.newestApplicationPoint,
      now.seconds - newest.seconds
        > Int64(2 * settings.applicationSeconds + settings.cycleSeconds)
    {
      findings.append(
        HealthFinding(
          .noApplicationPoint, .warning,
          "The newest app-consistent recovery point is of \(newest.wholeSeconds)."))
    }
    return findings
  }

  private func copyFindings(of machine: Condition) -> [HealthFinding] {
    guard let pace = machine.copy.pace(over: copyWindow) else { return [] }
    guard pace.bytes > 0 else {
      return [
        HealthFinding(
          .copyStalled, .critical,
          "The first replication did not get on for \(copyWindow / 60) minutes.")
      ]
    }
    let rest = Double(pace.rest) / Double(pace.bytes) * Double(pace.seconds)
    guard rest > Double(copyRest) else { return [] }
    return [
      HealthFinding(
        .copySlow, .warning,
        "At the pace of the last \(copyWindow / 60) minutes the first replication takes more than "
          + "\(copyRest / 86400) days.")
    ]
  }
}

/// How far the first replication of a machine came, over the last while.
struct CopyPace: Sendable {
  private var samples: [(seconds: Int64, done: UInt64)] = []
  private var rest: UInt64 = 0

  /// Notes how far it is: bytes looked at so far, over all attempts, and bytes that are left.
  mutating func add(done: UInt64, rest: UInt64, at seconds: Int64, window: Int64) {
    self.rest = rest
    if let last = samples.last, last.seconds > seconds { samples = [] }
    if let last = samples.last, samples.count > 1, seconds - last.seconds < 10 { return }
    samples.append((seconds, done))
    let first = samples.lastIndex { $0.seconds <= seconds - window } ?? 0
    samples.removeFirst(first)
  }

  /// Bytes in the last `window` seconds, in how many seconds exactly, and bytes that are left; nil while
  /// it was not watched for so long.
  func pace(over window: Int64) -> (bytes: UInt64, seconds: Int64, rest: UInt64)? {
    guard let first = samples.first, let last = samples.last,
      last.seconds - first.seconds >= window
    else { return nil }
    return (last.done - min(first.done, last.done), last.seconds - first.seconds, rest)
  }
}

extension Timestamp {
  /// `2026-11-20T10:30:00Z`: what is shown of a moment whose fraction nobody needs.
  var wholeSeconds: String { Timestamp(seconds: seconds).iso8601 }
}
