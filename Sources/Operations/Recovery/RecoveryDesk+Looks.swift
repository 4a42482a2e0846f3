internal import Bytes
internal import Catalog
internal import Compute
internal import Dispatch
internal import FileIO
internal import Synchronization
internal import Vault

/// What time brings about: drills that end by themselves, and drills that are due.
extension RecoveryDesk {
  /// Seconds between two tries to clean up a drill whose time is over.
  private static let retrySeconds: Int64 = 600

  /// Looks once: cleans up what has expired.
  func look(at now: Timestamp) {
    guard let parts = parts.withLock({ $0 }), let records = try? catalog.recoveries() else {
      return
    }
    let found = seen(of: records, parts)
    letGoOfFlat(records)
    for record in records { resumeForgotten(record, now) }
    for record in records {
      lookAtDisks(of: record, found[record.machine] ?? Seen(), parts, now)
      guard record.state == RecoveryState.testActive.rawValue else { continue }
      expire(record, now)
    }
  }

  /// Seconds behind which a job that does not run has ended, and is not just about to begin.
  private static let beginSeconds: Int64 = 60

  /// Goes on with what nobody works at any more, as its job ended and could not keep that: else the machine is said
  /// to be busy until the service is started again.
  private func resumeForgotten(_ record: RecoveryRecord, _ now: Timestamp) {
    guard let running = record.running.flatMap(RecoveryAction.init), !running.takesNoJob,
      let id = record.job, !jobs.isLive(id),
      let job = (try? catalog.job(id)) ?? nil,
      now.seconds - job.created.seconds >= Self.beginSeconds,
      // A job ends behind its machine, so one that is seen to be over has noted that, if it could.
      let known = (try? catalog.recovery(of: record.machine)) ?? nil,
      known.running == record.running, known.job == id
    else { return }
    try? goOn(record.machine)
  }

  /// Lets go of what disks stand on that became plain files when no job waited for that any more.
  private func letGoOfFlat(_ records: [RecoveryRecord]) {
    let failed = RecoveryAction.flatten.rawValue
    for record in records where record.running == nil && record.failed == failed {
      guard let branch = record.branch, (try? vault.branch(branch).isFlat) == true,
        let machine = try? vault.machine(named: record.name)
      else { continue }
      try? letGoOfFlat(machine)
    }
  }

  /// What was found of a machine's disks, and of what runs on them.
  private struct Seen: Sendable {
    enum Disks: Sendable { case served(ServedBranch), notServed, unknown }

    /// Whether a job started or stopped the machine before it was looked at.
    var wasPowered = false
    var disks = Disks.unknown
    var machine: MachineObservation?
  }

  /// Looks at the disk servers and machines of all at the same time, so that those that hang take no longer than
  /// one.
  private func seen(
    of records: [RecoveryRecord], _ parts: RecoveryParts
  ) -> [Identifier: Seen] {
    let (group, found) = (DispatchGroup(), Found())
    let queue = DispatchQueue(label: "tidemark.disk-looks", attributes: .concurrent)
    for record in records where !record.isOccupied {
      guard let branch = record.branch else { continue }
      queue.async(group: group) {
        var seen = Seen()
        seen.wasPowered = self.isPowered(record.name)
        do throws(OperationError) {
          seen.disks = try parts.servers.served(branch).map { .served($0) } ?? .notServed
        } catch { seen.disks = .unknown }
        seen.machine = (try? parts.provider(of: record).observe(in: parts.directory(branch))) ?? nil
        let all = seen
        found.machines.withLock { $0[record.machine] = all }
      }
    }
    group.wait()
    return found.machines.withLock { $0 }
  }

  private final class Found: Sendable {
    let machines = Mutex<[Identifier: Seen]>([:])
  }

  /// Says that disks are not served as they should be, that a budget is nearly used up, and that a machine does
  /// not run any more. Looking at it also keeps its console log within its limit.
  private func lookAtDisks(
    of record: RecoveryRecord, _ found: Seen, _ parts: RecoveryParts, _ now: Timestamp
  ) {
    guard let branch = record.branch, !record.isOccupied else { return }
    var findings: [HealthFinding] = []
    switch found.disks {
    case .served(let served):
      if let trouble = served.trouble {
        findings.append(HealthFinding(.diskServerHangs, .critical, trouble))
      }
      if let budget = served.budgetBytes {
        findings += [Self.finding(written: served.writtenBytes, of: budget)].compactMap { $0 }
      }
    case .notServed where record.hasDisks && !isPowered(record.name):
      findings.append(notServed(record, parts.servers.reason(of: branch)))
    case .notServed, .unknown: break
    }
    let seen = found.machine
    if let seen, [.paused, .died].contains(seen.power), !found.wasPowered, !isPowered(record.name),
      let objection = MachineComparison.objection(seen)
    {
      findings.append(HealthFinding(.machineHalted, .critical, objection))
    }
    if let seen, seen.power == .off, !seen.notes.isEmpty {
      let words = (["The machine is off."] + seen.notes).joined(separator: " ")
      findings.append(HealthFinding(.machineHalted, .warning, words))
    }
    health.update(record.name, HealthCode.ofRecoveredDisks, to: findings, at: now)
  }

  /// Whether a job starts or stops a machine at this moment, which may serve its disks anew, and has it halted
  /// until it has begun.
  private func isPowered(_ name: String) -> Bool {
    VaultService.PowerAction.allCases.contains { action in
      let known = (try? catalog.unendedJobs(of: action.rawValue)) ?? []
      return known.contains { $0.machine == name }
    }
  }

  /// What is said of disks that nobody serves; what was said already if nothing is known of it now.
  private func notServed(_ record: RecoveryRecord, _ reason: String?) -> HealthFinding {
    let known = health.current.first { error in
      error.subject == record.name && error.code == HealthCode.disksNotServed.rawValue
    }
    if reason == nil, let known {
      return HealthFinding(.disksNotServed, .critical, known.message)
    }
    return HealthFinding(
      .disksNotServed, .critical,
      "Its disks are not served" + (reason.map { ": \($0)" } ?? ": their server has ended."))
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
