internal import Bytes
public import Catalog
internal import Synchronization

/// The errors that are current, and the events that tell when each began and ended.
///
/// They are kept in the catalog. What can't be kept there now, as where the disk is full, is current all
/// the same, and kept once it can be. Safe from any thread; calls block on the catalog.
public final class HealthBook: Sendable {
  private let catalog: Catalog
  private let state = Mutex(State())

  private struct Key: Hashable {
    let subject: String
    let code: String

    init(_ error: HealthErrorRecord) { (subject, code) = (error.subject, error.code) }
  }

  private struct Event {
    let severity: Severity
    let code: String
    let machine: String?
    let message: String
    let time: Timestamp
  }

  private struct State {
    /// What the catalog held when it was read last.
    var kept: [HealthErrorRecord] = []
    /// What the catalog does not know yet; nil for an error that is over.
    var unsaved: [Key: HealthErrorRecord?] = [:]
    /// Events that the catalog does not know yet, the oldest first.
    var events: [Event] = []
  }

  /// Events that wait for room in the catalog at the most; later ones are lost then.
  private static let eventLimit = 1000

  init(_ catalog: Catalog) { self.catalog = catalog }

  /// The current errors, those of longest standing first.
  public var current: [HealthErrorRecord] {
    state.withLock { state in
      if let kept = try? catalog.healthErrors() { state.kept = kept }
      return Self.merged(state)
    }
  }

  private static func merged(_ state: State) -> [HealthErrorRecord] {
    let kept = state.kept.filter { state.unsaved[Key($0)] == nil }
    let unsaved = state.unsaved.values.compactMap { $0 }
    return (kept + unsaved).sorted {
      ($0.since, $0.subject, $0.code) < ($1.since, $1.subject, $1.code)
    }
  }

  /// Makes `findings` the errors of `subject` among those of these codes: begins, changes and ends what it
  /// takes. Nothing is written for an error that stays as it is.
  func update(
    _ subject: String, _ codes: Set<HealthCode>, to findings: [HealthFinding], at now: Timestamp
  ) {
    let known = current.filter { error in
      error.subject == subject && codes.contains { $0.rawValue == error.code }
    }
    for error in findings.map({ $0.record(of: subject, now) }) {
      let old = known.first { $0.code == error.code }
      if let old, old.isSame(as: error) { continue }
      raise(error, after: old)
    }
    for old in known where !findings.contains(where: { $0.code.rawValue == old.code }) {
      end(old, at: now)
    }
  }

  /// Ends the errors of these codes that are of none of these subjects.
  func keep(_ codes: Set<HealthCode>, of subjects: [String], at now: Timestamp) {
    let (codes, subjects) = (Set(codes.map(\.rawValue)), Set(subjects))
    for error in current where codes.contains(error.code) && !subjects.contains(error.subject) {
      end(error, at: now)
    }
  }

  /// Begins an error of `subject`, or changes what is said of it.
  func raise(_ finding: HealthFinding, of subject: String, at now: Timestamp) {
    raise(finding.record(of: subject, now))
  }

  /// Begins an error, or changes what is said of it.
  func raise(_ error: HealthErrorRecord) {
    let old = current.first { $0.subject == error.subject && $0.code == error.code }
    if let old, old.isSame(as: error) { return }
    raise(error, after: old)
  }

  private func raise(_ error: HealthErrorRecord, after old: HealthErrorRecord?) {
    var error = error
    error.since = old?.since ?? error.since
    let kept = error
    state.withLock { $0.unsaved[Key(kept)] = .some(kept) }
    if old == nil || old?.severity != error.severity {
      tell(error.severity, error.code, error, error.message, at: error.since)
    }
    flush()
  }

  /// Ends the errors of these codes of a subject, if they are current.
  func clear(_ subject: String, _ codes: HealthCode..., at now: Timestamp) {
    update(subject, Set(codes), to: [], at: now)
  }

  /// Ends all errors of a machine that is no more; a process server of its name has others.
  func clearAll(ofMachine name: String, at now: Timestamp) {
    for error in current where error.subject == name && error.kind == .machine {
      end(error, at: now)
    }
  }

  private func end(_ error: HealthErrorRecord, at now: Timestamp) {
    state.withLock { $0.unsaved[Key(error)] = .some(nil) }
    tell(.info, error.code + "-ended", error, "It is over: \(error.message)", at: now)
    flush()
  }

  private func tell(
    _ severity: Severity, _ code: String, _ error: HealthErrorRecord, _ message: String,
    at time: Timestamp
  ) {
    let isOfMachine = error.kind == .machine && !error.subject.isEmpty
    let isOfRelay = error.kind == .server && !error.subject.isEmpty
    let event = Event(
      severity: severity, code: code, machine: isOfMachine ? error.subject : nil,
      message: isOfRelay ? "Process server '\(error.subject)': \(message)" : message, time: time)
    state.withLock { state in
      if state.events.count < Self.eventLimit { state.events.append(event) }
    }
  }

  /// Keeps what could not be kept before.
  func flush() {
    state.withLock { state in
      for (key, error) in state.unsaved {
        do throws(CatalogError) {
          if let error {
            try catalog.set(error)
          } else {
            _ = try catalog.clearHealthError(subject: key.subject, code: key.code)
          }
          state.unsaved[key] = nil
        } catch { return }
      }
      while let event = state.events.first {
        do throws(CatalogError) {
          try catalog.addEvent(
            event.severity, event.code, machine: event.machine, event.message, now: event.time)
        } catch { return }
        state.events.removeFirst()
      }
    }
  }
}

extension HealthFinding {
  fileprivate func record(of subject: String, _ now: Timestamp) -> HealthErrorRecord {
    HealthErrorRecord(
      subject: subject, code: code.rawValue, severity: severity, message: message,
      advice: code.advice, since: now)
  }
}

extension HealthErrorRecord {
  /// Whether nothing has changed of it but the time.
  fileprivate func isSame(as other: Self) -> Bool {
    (subject, code, severity.rawValue, message, advice)
      == (other.subject, other.code, other.severity.rawValue, other.message, other.advice)
  }
}
