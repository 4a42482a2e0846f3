internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization

/// What time brings about: drills that end by themselves, and drills that are due.
extension RecoveryDesk {
  /// Seconds between two tries to clean up a drill whose time is over.
  private static let retrySeconds: Int64 = 600

  /// Looks once: cleans up what has expired.
  func look(at now: Timestamp) {
    guard parts.withLock({ $0 }) != nil, let records = try? catalog.recoveries() else { return }
    for record in records {
      guard record.state == RecoveryState.testActive.rawValue else { continue }
      expire(record, now)
    }
  }

  private func expire(_ record: RecoveryRecord, _ now: Timestamp) {
    guard record.running == nil, let expires = record.request?.expires, expires <= now,
      let id = record.drill, let drill = try? catalog.drill(id)
    else { return }
    let isOver = HealthFinding(
      .drillExpired, .warning,
      "Its drill '\(drill.name)' was to end at \(expires.wholeSeconds), and is not cleaned up yet"
        + (record.failure.map { ": \($0.message)" } ?? "."))
    if record.failed == RecoveryAction.cleanup.rawValue {
      health.raise(isOver, of: record.name, at: now)
      guard (now.seconds - expires.seconds) % Self.retrySeconds < Int64(HealthMonitor.interval)
      else { return }
    }
    var order = Order(
      action: .cleanup, tasks: RecoveryRun.tasks(of: .cleanup, nil), operator: nil)
    order.prepare = { $0.request?.notes = "Cleaned up when its time was over." }
    let subject = Subject(id: record.machine, name: record.name, machine: nil)
    _ = try? begin(order, on: subject)
  }

  /// Says that a protected machine was not drilled for too long.
  func drillFinding(
    of machine: Identifier, protectedSince: Timestamp, at now: Timestamp
  ) -> HealthFinding? {
    guard (try? catalog.recovery(of: machine)) ?? nil == nil else { return nil }
    let last = (try? catalog.lastSuccessfulDrill(of: machine)?.ended) ?? nil
    guard now.seconds - (last ?? protectedSince).seconds >= RecoveryStatus.drillSeconds else {
      return nil
    }
    let words = last.map { "was last drilled at \($0.wholeSeconds)" } ?? "was never drilled"
    return HealthFinding(.drillOverdue, .warning, "It \(words).")
  }
}
