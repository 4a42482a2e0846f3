internal import Bytes
internal import Catalog
internal import Compute
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
      lookAtDisks(of: record, now)
      guard record.state == RecoveryState.testActive.rawValue else { continue }
      expire(record, now)
    }
  }

  /// Says that a budget is nearly used up, and that a machine does not run any more. Looking at it also keeps
  /// its console log within its limit.
  private func lookAtDisks(of record: RecoveryRecord, _ now: Timestamp) {
    guard let parts = parts.withLock({ $0 }), let branch = record.branch, record.running == nil
    else { return }
    var findings: [HealthFinding] = []
    if let served = (try? parts.servers.served(branch)) ?? nil, let budget = served.budgetBytes {
      findings += [Self.finding(written: served.writtenBytes, of: budget)].compactMap { $0 }
    }
    let seen = (try? parts.provider(of: record).observe(in: parts.directory(branch))) ?? nil
    if let seen, [.paused, .died].contains(seen.power),
      let objection = MachineComparison.objection(seen)
    {
      findings.append(HealthFinding(.machineHalted, .critical, objection))
    }
    health.update(record.name, [.diskBudget, .machineHalted], to: findings, at: now)
  }

  /// What is said of a budget of which so much was used; nil below 80 %.
  static func finding(written: UInt64, of budget: UInt64) -> HealthFinding? {
    // What is written next needs room, too: a part of it is never used.
    let isOver = written + max(2 << 20, min(budget / 50, 8 << 20)) >= budget
    guard isOver || written >= budget / 5 * 4 else { return nil }
    let numbers =
      "\(written >> 20) of the \(budget >> 20) MiB that may be written to its disks are used"
    return HealthFinding(
      .diskBudget, isOver ? .critical : .warning,
      isOver
        ? "\(numbers): writes fail, and its machine is halted by them."
        : "\(numbers). When all is, writes fail, and its machine is halted by them.")
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
