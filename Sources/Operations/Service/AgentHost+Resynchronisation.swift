public import Bytes
internal import Catalog
internal import FileIO
public import Replication
internal import Synchronization
internal import Vault

/// Resynchronisation: what makes it required, when it begins, and what ends it.
///
/// That one is required, or runs, is in the catalog before anybody is told, so that it goes on after
/// a restart. Until its end the machine gets no recovery points: it is ended by the first one that its
/// agent makes once it has told that it compares everything, and that one shows all of it.
extension AgentHost {
  /// What is counted of a resynchronisation that runs.
  struct LiveResynchronisation: Sendable {
    let job: Job
    let name: String
    /// Whether the agent has told, in this session, that it compares everything.
    var hasBegun = false
    /// What earlier attempts of the agent have counted.
    var before = ResynchronisationCount()
    /// What the present attempt has counted so far.
    var now = ResynchronisationCount()

    mutating func count(_ report: Report) -> JobProgress {
      if report.examined < now.examined {
        before.add(now)
        now = ResynchronisationCount()
      }
      now = ResynchronisationCount(
        examined: report.examined, changed: report.changed, digests: report.digests)
      return JobProgress(
        step: "comparing", done: report.examined, total: report.total,
        changed: before.changed &+ now.changed, digests: before.digests &+ now.digests)
    }
  }

  /// Bytes of an attempt: looked at, found unequal and so sent, and digests that were sent.
  struct ResynchronisationCount: Sendable {
    var examined: UInt64 = 0
    var changed: UInt64 = 0
    var digests: UInt64 = 0

    /// An agent that tells nonsense is counted wrongly, and no more than that.
    mutating func add(_ other: Self) {
      changed &+= other.changed
      digests &+= other.digests
    }
  }

  /// Marks a machine as one that has to be resynchronised, says why, and begins with it if it may.
  ///
  /// Nothing is done for one that is being resynchronised: it compares everything.
  public func doubted(_ doubt: Doubt, by machine: Identifier) {
    try? require(machine, because: doubt.text)
  }

  /// - Throws: if the catalog can't be written; the agent, which goes on finding what it found, tells of it
  ///   again.
  func require(_ machine: Identifier, because reason: String) throws(OperationError) {
    guard !reason.isEmpty, let agent = try agent(machine) else { return }
    let (isNew, isAnother) = try deciding.withLock { _ throws(OperationError) in
      try keep(reason, of: agent)
    }
    guard isNew else { return }
    if isAnother {
      note(
        .critical, HealthCode.resynchronisationRequired.rawValue, of: agent.name,
        "Resynchronisation is required for another reason: \(reason)")
    }
    if try !beginIfDue(machine) { order(machine) }
  }

  /// Keeps that a resynchronisation is required; gives whether that is news, and whether it was for another
  /// reason before.
  private func keep(
    _ reason: String, of agent: AgentRecord
  ) throws(OperationError) -> (isNew: Bool, isAnother: Bool) {
    let old = try resynchronisation(of: agent.machine)
    if let old, old.state == .running || old.reason == reason { return (false, false) }
    var record =
      old ?? ResynchronisationRecord(machine: agent.machine, reason: reason, since: clock())
    record.reason = reason
    let kept = record
    // First, for it is kept once there is room where the disk is full now, and the record is not.
    raise(kept, of: agent.name)
    try inCatalog { () throws(CatalogError) in try catalog.set(kept) }
    return (true, old != nil)
  }

  private func raise(_ record: ResynchronisationRecord, of name: String) {
    health.raise(
      HealthFinding(
        .resynchronisationRequired, .critical, "Resynchronisation is required: \(record.reason)"),
      of: name, at: record.since)
  }

  private func agent(_ machine: Identifier) throws(OperationError) -> AgentRecord? {
    try inCatalog { () throws(CatalogError) in try catalog.agent(of: machine) }
  }

  func resynchronisation(
    of machine: Identifier
  ) throws(OperationError) -> ResynchronisationRecord? {
    try inCatalog { () throws(CatalogError) in try catalog.resynchronisation(of: machine) }
  }

  /// Begins with a resynchronisation that is required if its time has come; gives whether it did.
  @discardableResult
  func beginIfDue(_ machine: Identifier) throws(OperationError) -> Bool {
    guard let record = try resynchronisation(of: machine) else { return false }
    if record.state == .running {
      // Its job could not be taken up again when the service started.
      if live.withLock({ $0[machine] == nil }) { try resume(record) }
      return false
    }
    guard !record.isHeld else { return false }
    let settings = try inCatalog { () throws(CatalogError) in try catalog.settings(of: machine) }
    let window = settings.resyncWindow.flatMap { ResynchronisationWindow($0) } ?? .automatic
    guard window.isOpen(at: clock()), !settings.isPaused else { return false }
    _ = try begin(record)
    return true
  }

  /// Begins with a resynchronisation, required or asked for; gives its job.
  func begin(_ record: ResynchronisationRecord) throws(OperationError) -> JobRecord {
    guard let agent = try agent(record.machine) else {
      throw OperationError(.unknown, "The machine is not known here any more.")
    }
    let (job, isNew) = try deciding.withLock { _ throws(OperationError) in
      if let known = live.withLock({ $0[record.machine]?.job }) { return (known, false) }
      return (try open(record, name: agent.name), true)
    }
    guard isNew else { return job.record }
    note(
      .info, "resynchronisation-begun", of: agent.name,
      "Resynchronisation of '\(agent.name)' begins.")
    order(record.machine, isNow: true)
    return job.record
  }

  private func open(
    _ record: ResynchronisationRecord, name: String
  ) throws(OperationError) -> Job {
    let job = try jobs.open("Resynchronise", machine: name, tasks: Self.tasks) { [weak self] in
      try? self?.cancelResynchronisation(of: record.machine)
    }
    var record = record
    (record.state, record.isHeld, record.job) = (.running, false, job.id)
    let kept = record
    do throws(OperationError) {
      try inCatalog { () throws(CatalogError) in try catalog.set(kept) }
    } catch {
      jobs.close(job, .failure(error))
      throw error
    }
    follow(job, of: kept, name: name)
    return job
  }

  private static let tasks = ["Wait for the agent", "Compare with the replica"]

  private func follow(_ job: Job, of record: ResynchronisationRecord, name: String) {
    job.tell(Self.tasks[0], .inProgress)
    live.withLock { $0[record.machine] = LiveResynchronisation(job: job, name: name) }
  }

  /// Goes on with what ran when the process before this one ended; what can't be gone on with now is
  /// when its agent is heard of.
  func resumeResynchronisations() {
    let records = (try? catalog.resynchronisations()) ?? []
    for record in records where record.state == .running { try? resume(record) }
  }

  private func resume(_ record: ResynchronisationRecord) throws(OperationError) {
    guard let agent = try agent(record.machine) else { return }
    let known = try inCatalog { () throws(CatalogError) -> JobRecord? in
      guard let id = record.job else { return nil }
      return try catalog.job(id)
    }
    guard let known, !known.state.isFinal else {
      _ = try begin(record)
      return
    }
    let job = jobs.reopen(known) { [weak self] in
      try? self?.cancelResynchronisation(of: record.machine)
    }
    follow(job, of: record, name: agent.name)
    live.withLock { live in
      live[record.machine]?.before = ResynchronisationCount(
        changed: known.progress?.changed ?? 0, digests: known.progress?.digests ?? 0)
    }
  }

  /// Takes notice of what an agent tells while its machine is resynchronised.
  func count(_ report: Report, by machine: Identifier) {
    guard report.activity == .resynchronising else { return }
    let found = live.withLock { live -> (Job, isFirst: Bool)? in
      guard var one = live[machine] else { return nil }
      let isFirst = !one.hasBegun
      one.hasBegun = true
      one.job.report(one.count(report))
      live[machine] = one
      return (one.job, isFirst)
    }
    guard let (job, isFirst) = found, isFirst else { return }
    job.tell(Self.tasks[0], .succeeded)
    job.tell(Self.tasks[1], .inProgress)
  }

  /// Notes that the agent's session is over: another one has to say anew that it compares.
  func paused(_ machine: Identifier) {
    let job = live.withLock { live -> Job? in
      guard live[machine]?.hasBegun == true else { return nil }
      live[machine]?.hasBegun = false
      return live[machine]?.job
    }
    try? job?.keep()
  }

  /// Ends a resynchronisation with the recovery point that it has made.
  func completed(_ machine: Identifier, with point: RecoveryPoint) {
    let ended = deciding.withLock { _ -> LiveResynchronisation? in
      guard let one = live.withLock({ $0[machine] }), one.hasBegun else { return nil }
      // What can't be noted is done again: to compare once more is never wrong.
      guard (try? catalog.removeResynchronisation(of: machine)) != nil else { return nil }
      live.withLock { $0[machine] = nil }
      health.clear(one.name, .resynchronisationRequired, at: .now())
      return one
    }
    guard let ended else { return }
    // Damage that was met meanwhile was none of its business any more; it is looked at when it is met again.
    state.withLock { $0.damages[machine] = nil }
    var total = ended.before
    total.add(ended.now)
    ended.job.tell(Self.tasks[1], .succeeded)
    jobs.close(ended.job, .success(()))
    note(
      .info, "resynchronisation-ended", of: ended.name,
      "'\(ended.name)' is resynchronised as of recovery point \(point.id): \(total.changed) bytes "
        + "differed and were sent, with \(total.digests) bytes of digests.")
    order(machine)
  }

  /// Stops a resynchronisation: it is required again, what it has stored is given up, and only a
  /// person begins it again.
  ///
  /// - Throws: `.refused` if none runs.
  func cancelResynchronisation(of machine: Identifier) throws(OperationError) {
    let ended = try deciding.withLock { _ throws(OperationError) in
      try stop(machine)
    }
    if let ended {
      ended.job.tell(Self.tasks[ended.hasBegun ? 1 : 0], .cancelled)
      jobs.close(
        ended.job, .failure(OperationError(.cancelled, "The resynchronisation was cancelled.")))
      note(
        .warning, "resynchronisation-cancelled", of: ended.name,
        "Resynchronisation of '\(ended.name)' was cancelled, and is still required. 'tidemark machine "
          + "resynchronise \(ended.name)' begins it anew.")
    }
    try keepingOut(machine, isWriting: true) { () throws(OperationError) in try abandon(machine) }
  }

  /// Keeps that the resynchronisation that runs is only required now; gives it.
  private func stop(_ machine: Identifier) throws(OperationError) -> LiveResynchronisation? {
    guard var record = try resynchronisation(of: machine), record.state == .running else {
      throw OperationError(
        .refused,
        "No resynchronisation of the machine runs. 'tidemark machine show' tells how it stands.")
    }
    (record.state, record.isHeld, record.job) = (.required, true, nil)
    let kept = record
    try inCatalog { () throws(CatalogError) in try catalog.set(kept) }
    let ended = live.withLock { $0.removeValue(forKey: machine) }
    // One that a person has begun on a sound replica is required from now on, for its half is given up.
    if let ended { raise(kept, of: ended.name) }
    return ended
  }

  /// Forgets the doubts about a machine that is no longer replicated, for a reason that is a sentence.
  func forgetResynchronisation(
    of machine: Identifier, because words: String = "The protection of the machine was disabled."
  ) {
    let ended = live.withLock { $0.removeValue(forKey: machine) }
    if let ended {
      let reason = OperationError(.cancelled, words)
      jobs.close(ended.job, .failure(reason))
    }
    let name = (try? agent(machine))?.name
    try? catalog.removeResynchronisation(of: machine)
    if let name { health.clear(name, .resynchronisationRequired, at: .now()) }
  }
}
