internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// Going on behind a restart, and behind the loss of the catalog.
extension RecoveryDesk {
  /// Brings what the catalog knows in line with what the MANIFESTs say; to be called before any agent is let
  /// in. A machine whose failed-over disks a lost catalog does not know is failed over all the same.
  ///
  /// - Returns: the jobs that go on, which nobody is to end.
  func reconcile() throws(OperationError) -> Set<Int64> {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    for machine in machines {
      // One whose MANIFEST can't be read is told of wherever it is needed.
      guard let snapshot = try? machine.snapshot() else { continue }
      try unlessFull { () throws(OperationError) in try reconcile(machine, snapshot) }
    }
    let records = try inCatalog { () throws(CatalogError) in try catalog.recoveries() }
    for record in records where !machines.contains(where: { $0.id == record.machine }) {
      // Its job removed it, and did not come to note that.
      try unlessFull { () throws(OperationError) in
        try forget(record.machine)
        try noteDone(record)
      }
    }
    let left = try inCatalog { () throws(CatalogError) in try catalog.recoveries() }
    try unlessFull { () throws(OperationError) in
      try endDrills(besides: left.compactMap(\.drill))
    }
    let going = Set(left.filter { $0.running != nil }.compactMap(\.job))
    try unlessFull { () throws(OperationError) in try settleJobs(besides: going) }
    return going
  }

  /// A full disk must not stand in the way of removing what fills it: what can't be noted is at the next start.
  private func unlessFull(_ body: () throws(OperationError) -> Void) throws(OperationError) {
    do throws(OperationError) { try body() } catch {
      guard error.code == .unwritable else { throw error }
    }
  }

  private func forget(_ machine: Identifier) throws(OperationError) {
    _ = try inCatalog { () throws(CatalogError) in
      try catalog.changeRecovery(of: machine, now: clock()) {
        _ -> RecoveryChange<RecoveryRefusal> in .forget
      }
    }
  }

  /// Keeps of the job that removed a machine that it has done that.
  private func noteDone(_ record: RecoveryRecord) throws(OperationError) {
    let now = clock()
    try inCatalog { () throws(CatalogError) in
      guard record.running == RecoveryAction.discard.rawValue,
        var job = try record.job.flatMap({ id throws(CatalogError) in try catalog.job(id) }),
        !job.state.isFinal
      else { return }
      for index in job.tasks.indices where !job.tasks[index].state.isFinal {
        (job.tasks[index].state, job.tasks[index].ended) = (.succeeded, now)
      }
      (job.state, job.ended) = (.succeeded, now)
      try catalog.update(job)
    }
  }

  /// Ends the drills that are not there any more, and whose end nobody came to note.
  private func endDrills(besides running: [Int64]) throws(OperationError) {
    let now = clock()
    try inCatalog { () throws(CatalogError) in
      for drill in try catalog.unendedDrills() where !running.contains(drill.id) {
        try catalog.changeDrill(drill.id) { drill in
          drill.ended = now
          drill.outcome = drill.ready == nil ? .failed : .succeeded
        }
      }
    }
  }

  private func reconcile(
    _ machine: Machine, _ seen: MachineSnapshot
  ) throws(OperationError) {
    let now = clock()
    let name = seen.configuration.name
    let running = try inCatalog { () throws(CatalogError) in
      try catalog.recovery(of: machine.id)?.running
    }
    // The job of a drill goes on, and makes its disks.
    let snapshot = running == nil ? try releaseEmptyDrills(of: machine, seen) : seen
    let made = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    let result = try inCatalog { () throws(CatalogError) in
      try catalog.changeRecovery(of: machine.id, now: now) {
        known -> RecoveryChange<RecoveryRefusal> in
        var known = known
        // What takes no job ended with its process.
        if known?.running.flatMap(RecoveryAction.init)?.takesNoJob == true { known?.running = nil }
        if let known, known.running != nil { return .keep(Self.fenced(known, snapshot)) }
        // A drill without disks is none, whatever its log still says.
        let pins = snapshot.pins.filter { $0.purpose != .drill || made.contains($0.branch) }
        guard let pin = pins.last(where: { $0.purpose == .failover }) ?? pins.last
        else { return Self.unpinned(known, snapshot, machine.id, made, now) }
        var record =
          known ?? RecoveryRecord(machine: machine.id, name: name, state: "", since: now)
        let state = Self.state(of: pin, known, isMade: made.contains(pin.branch))
        if record.state != state.rawValue { record.since = now }
        record.state = state.rawValue
        record.isFenced = pin.purpose == .failover
        record.branch = pin.branch
        if record.point?.cut != pin.cut.rawValue {
          let point = snapshot.points.first { $0.sequence == pin.cut }
          record.point = point.map { ChosenPoint($0, asked: $0.id) }
        }
        return .keep(record)
      }
    }
    guard case .success((let record?, _)) = result else { return }
    tellOfLoss(record, snapshot, made)
  }

  /// Says which disks are missing, or are not named by their machine's log.
  private func tellOfLoss(
    _ record: RecoveryRecord, _ snapshot: MachineSnapshot, _ made: [Identifier]
  ) {
    guard record.running == nil, let branch = record.branch else { return }
    let pin = snapshot.pins.first { $0.branch == branch }
    if pin == nil, made.contains(branch) {
      note(
        .critical, "disks-without-pin", record.name,
        "The disks that '\(record.name)' was failed over to are there, and its log does not name them any "
          + "more, as behind a repair. They are kept.")
    } else if pin?.purpose == .failover, !made.contains(branch) {
      note(
        .critical, "disks-missing", record.name,
        "The disks that '\(record.name)' was failed over to are not there."
          + (pin?.isCommitted == true
            ? "" : " Try it again: 'tidemark failover start \(record.name)'."))
    }
  }

  /// A job goes on from the MANIFEST itself; only whether the source is kept out may be known there alone.
  private static func fenced(
    _ known: RecoveryRecord, _ snapshot: MachineSnapshot
  ) -> RecoveryRecord {
    var record = known
    let isFailover = known.running == RecoveryAction.failover.rawValue
    if isFailover, known.hasEndedReplication(as: snapshot) { record.isFenced = true }
    return record
  }

  /// Where a machine stands whose MANIFEST has a pin.
  private static func state(
    of pin: BranchPin, _ known: RecoveryRecord?, isMade: Bool
  ) -> RecoveryState {
    if let known, known.keepsDisks { return .unprotected }
    if pin.purpose == .drill { return .testActive }
    if pin.isCommitted { return .committed }
    // Its recovery points are there: it can be tried again.
    guard isMade else { return .failoverFailed }
    return known?.state == RecoveryState.failoverFailed.rawValue ? .failoverFailed : .failedOver
  }

  /// What is kept of a machine whose MANIFEST has no pin: it is not drilled, and not failed over, unless the
  /// pin of disks that are there was lost with a MANIFEST that had to be made anew.
  private static func unpinned(
    _ known: RecoveryRecord?, _ snapshot: MachineSnapshot, _ machine: Identifier,
    _ made: [Identifier], _ now: Timestamp
  ) -> RecoveryChange<RecoveryRefusal> {
    // Its disks were removed, and what they were made of was not yet.
    if let known, known.keepsDisks { return .keep(known) }
    if let known, known.branch.map(made.contains) == true,
      RecoveryState(rawValue: known.state)?.hasFailedOverDisks == true
    {
      return .keep(known)
    }
    let isStopped =
      known.map { $0.isFenced || RecoveryState(rawValue: $0.state)?.hasFailedOverDisks == true }
      ?? (snapshot.epoch > 0)
    guard isStopped else { return .forget }
    var record =
      known
      ?? RecoveryRecord(
        machine: machine, name: snapshot.configuration.name, state: "", since: now)
    let isFailed = known?.state == RecoveryState.failoverFailed.rawValue
    record.state = (isFailed ? RecoveryState.failoverFailed : .replicationStopped).rawValue
    (record.isFenced, record.branch) = (true, nil)
    return .keep(record)
  }

  /// Ends the jobs that were done, and whose end nobody came to note.
  private func settleJobs(besides going: Set<Int64>) throws(OperationError) {
    try inCatalog { () throws(CatalogError) in
      for action in RecoveryAction.allCases {
        for var job in try catalog.unendedJobs(of: action.name)
        where !going.contains(job.id) && !job.tasks.isEmpty {
          guard job.tasks.allSatisfy({ $0.state == .succeeded }) else { continue }
          (job.state, job.ended) = (.succeeded, clock())
          try catalog.update(job)
        }
      }
    }
  }

  /// Makes drills and failovers with these parts from now on, goes on with those that were under way, and
  /// serves the disks again that should be.
  func use(_ parts: RecoveryParts) throws(OperationError) {
    self.parts.withLock { $0 = parts }
    let records = try inCatalog { () throws(CatalogError) in try catalog.recoveries() }
    for record in records {
      // What takes no disks away may take hours, or serves none: its machine does not wait for that.
      if let branch = record.branch, record.leaves(branch), serveAgain(record, with: parts) {
        powerAgain(record, with: parts)
      }
      // What can't begin now, as on a full disk, is begun at the next look.
      if record.running != nil { try? resume(record) }
    }
    for machine in try inVault({ () throws(VaultError) in try vault.machines() }) {
      // What can't be removed now is in nobody's way but the disk's.
      try? sweep(machine, with: parts)
      try? letGoOfFlat(machine)
    }
  }

  /// Lets the job of a machine go on where it does not run: in a process whose service is not there.
  func goOn(_ machine: Identifier) throws(OperationError) {
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: machine) }
    guard let record, record.running != nil else { return }
    try resume(record)
  }

  private func resume(_ record: RecoveryRecord) throws(OperationError) {
    let known = try inCatalog { () throws(CatalogError) in
      try record.job.flatMap { id throws(CatalogError) in try catalog.job(id) }
    }
    if let known, !known.state.isFinal { return run(known, of: record) }
    // What the job came to is not kept: another one does what is left.
    guard let action = record.running.flatMap(RecoveryAction.init) else { return }
    let tasks = RecoveryRun.tasks(of: action, record.request).map(\.rawValue)
    let job = try inCatalog { () throws(CatalogError) in
      try catalog.addJob(kind: action.name, machine: record.name, tasks: tasks, now: clock())
    }
    run(job, of: try change(record.machine) { $0.job = job.id })
  }

  /// Serves the disks of a drill or a failover that were not ended by anybody; what can't be served is told.
  ///
  /// - Returns: whether they can be used.
  private func serveAgain(_ record: RecoveryRecord, with parts: RecoveryParts) -> Bool {
    guard let branch = record.branch, record.hasDisks else { return false }
    do throws(OperationError) {
      guard record.stopped != branch else {
        _ = try parts.servers.serveFrozen(branch)
        return false
      }
      _ = try parts.servers.serve(branch)
      return true
    } catch {
      health.raise(
        HealthFinding(
          .disksNotServed, .critical, "Its disks can't be served: \(error.message)"),
        of: record.name, at: clock())
      return false
    }
  }

  /// Starts a machine again that ran when its process ended, as with its host; one that was stopped, that powered
  /// itself down, that ran on another host, or whose drill is over stays as it is.
  private func powerAgain(_ record: RecoveryRecord, with parts: RecoveryParts) {
    guard let branch = record.branch,
      let seen = (try? parts.provider.observe(in: parts.directory(branch))) ?? nil
    else { return }
    let isTest = record.state == RecoveryState.testActive.rawValue
    if seen.power == .off, !seen.notes.isEmpty {
      note(
        .warning, "machine-not-started", record.name,
        "'\(record.name)' stays off. \(seen.notes.joined(separator: " ")) 'tidemark machine start "
          + "\(record.name)\(isTest ? " --test" : "")' starts it.")
    }
    // A stop that the last process of the service did not live to see is not waited for any more.
    if seen.power == .on { try? parts.provider.startAgain(in: parts.directory(branch)) }
    guard seen.power == .died else { return }
    if isTest, let expires = record.request?.expires, expires <= clock() { return }
    note(
      .warning, "machine-started-again", record.name,
      (["'\(record.name)' was powered on, and does not run. It is started again."] + seen.notes)
        .joined(separator: " "))
    do throws(OperationError) {
      _ = try service().startMachine(record.name, isTest: isTest, by: nil)
    } catch {
      note(
        .critical, "machine-start-failed", record.name,
        "'\(record.name)' can't be started again: \(error.message)")
    }
  }

  /// Begins the work of a job that is durable.
  func run(_ job: JobRecord, of record: RecoveryRecord) {
    guard let action = RecoveryAction.allCases.first(where: { $0.name == job.kind }) else { return }
    jobs.resume(job) { [self] job throws(OperationError) in
      try RecoveryRun(self, job, action, of: record).perform()
    }
  }
}

extension RecoveryRecord {
  /// Whether there are disks of a drill or a failover, which are to be served.
  var hasDisks: Bool {
    guard branch != nil, let state = RecoveryState(rawValue: state) else { return false }
    return state == .testActive || state.hasFailedOverDisks || keepsDisks
  }
}
