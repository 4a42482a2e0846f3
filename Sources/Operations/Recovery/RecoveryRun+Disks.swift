internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// From a recovery point to disks that can be written to.
extension RecoveryRun {
  /// The point that was asked for, as it is answered at this moment.
  ///
  /// - Throws: `.unknown`.
  func choose(_ snapshot: MachineSnapshot) throws(OperationError) -> ResolvedPoint {
    let text = try record.request?.point ?? "latest"
    return try inVault { () throws(VaultError) in
      try snapshot.resolve(PointSelector(text), now: desk.clock())
    }
  }

  /// Pins the point of a drill; the source is not interrupted by that.
  func pin() throws(OperationError) {
    var attempts = 3
    while try !isPinned() {
      // Looking at the point may take minutes, and a session of the source waits for its log.
      let pin = try newPin(.drill)
      attempts -= 1
      do throws(OperationError) {
        try desk.agents.noting(in: try log) { log throws(OperationError) in
          try inVault { () throws(VaultError) in try log.pin(pin) }
        }
      } catch {
        // The point was removed meanwhile, as its time was over: there may be a later one.
        guard error.code == .unknown, attempts > 0 else { throw error }
      }
    }
    try keepPoint()
  }

  /// The pin of this job's branch, on the point that was asked for as it is answered now, or on the newest good
  /// one before it.
  ///
  /// - Throws: `.refused` if something stands in the way that was not seen of the point that was looked at
  ///   first, and which another one has taken the place of.
  private func newPin(_ purpose: BranchPurpose) throws(OperationError) -> BranchPin {
    guard let branch = try record.branch else { throw noBranch }
    let machine = try log
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    let point = try usable(try choose(snapshot).point, snapshot)
    return BranchPin(branch: branch, cut: point.sequence, purpose: purpose)
  }

  /// Ends replication for good, or, where another point is chosen, what went on from the last one: from
  /// here on the log takes nothing of an older epoch, and the new epoch goes on from the chosen point.
  func endReplication() throws(OperationError) {
    try writing { log throws(OperationError) in
      mayHaveRaised.withLock { $0 = true }
      if try !isPinned() {
        let pin = try newPin(.failover)
        let former = log.pins.first { $0.purpose == .failover }
        _ = try inVault { () throws(VaultError) in
          if let former {
            try log.changePin(former.branch, to: pin)
          } else {
            try log.raiseEpoch(pin)
          }
        }
      }
      try keepFenced()
    }
    // What was being compared with the source is of no use any more.
    desk.agents.forgetResynchronisation(
      of: machine, because: "The machine was failed over, which ends its replication.")
    try keepPoint()
  }

  /// Ends replication for good where a failover is given up, unless it has done that: by an epoch that hides
  /// no recovery point.
  func stopReplication() throws(OperationError) {
    let (machine, record) = (try log, try record)
    let epoch = try inVault { () throws(VaultError) in try machine.snapshot().epoch }
    guard record.request?.epoch.map({ epoch <= $0 }) ?? !record.isFenced else {
      return try keepFenced()
    }
    try writing { log throws(OperationError) in
      _ = try inVault { () throws(VaultError) in try log.raiseEpoch() }
      try keepFenced()
    }
    desk.agents.forgetResynchronisation(
      of: self.machine, because: "Its failover was cancelled, which ends its replication.")
  }

  /// Keeps that nothing is taken from the source any more. Only once that can't be taken back: whoever is
  /// told may fence itself.
  private func keepFenced() throws(OperationError) {
    try desk.change(machine) { $0.isFenced = true }
  }

  /// Whether something was changed that can't be undone any more, as the log says and its MANIFEST.
  func isTouched() throws(OperationError) -> Bool {
    let (machine, record) = (try log, try record)
    if action == .failover, mayHaveRaised.withLock({ $0 }) {
      // An epoch may be durable in the log that did not come to enter the MANIFEST: who opens it next enters it,
      // and turns the source away. Where the log is somebody else's it was opened already.
      do throws(OperationError) { try writing { _ in } } catch {
        guard error.code == .locked else { return true }
      }
    }
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    // A change of point leaves everything as it was while the former disks are pinned, whatever the epoch is.
    guard action == .failover else { return snapshot.pins.contains { $0.branch == record.branch } }
    return record.hasEndedReplication(as: snapshot)
  }

  /// Keeps which point the branch stands on, as the MANIFEST says.
  private func keepPoint() throws(OperationError) {
    let (machine, record) = (try log, try record)
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    guard let pin = snapshot.pins.first(where: { $0.branch == record.branch }),
      let point = snapshot.points.first(where: { $0.sequence == pin.cut })
    else { return }
    let chosen = ChosenPoint(point, asked: record.request?.point ?? point.id)
    try desk.change(self.machine) { $0.point = chosen }
    let branch = pin.branch
    try changeDrill { ($0.point, $0.branch) = (chosen, branch) }
    desk.note(
      .info, "point-chosen", name,
      "\(action.name) of '\(name)' uses the recovery point \(point.id).")
  }

  /// Makes the branch, and serves it.
  func makeBranch() throws(OperationError) {
    let record = try record
    guard let pin = try pins().first(where: { $0.branch == record.branch }) else { throw noBranch }
    try parts.branches.make(
      pin, named: try branchName(record), of: try log, budget: record.request?.budget)
    try check()
    let served: ServedBranch
    do throws(OperationError) { served = try parts.servers.serve(pin.branch) } catch {
      // One that was killed as it was being started.
      try check()
      served = try parts.servers.serve(pin.branch)
    }
    try report { $0.directory = served.directory }
  }

  private func branchName(_ record: RecoveryRecord) throws(OperationError) -> String {
    guard let drill = record.drill else { return name }
    let known = try inCatalog { () throws(CatalogError) in try desk.catalog.drill(drill) }
    return known?.name ?? name
  }

  /// Ends what runs on a branch, and then whatever serves it.
  func stop(_ branch: Identifier?) throws(OperationError) {
    guard let branch else { return }
    try checkOwner(of: branch)
    do throws(ComputeError) { try parts.provider.end(in: parts.directory(branch)) } catch {
      throw OperationError(.failed, error.message)
    }
    if let served = try? parts.servers.served(branch), let warning = served.endWarning {
      try job.note(warning)
    }
    try parts.servers.end(branch)
  }

  /// Whether what runs on a branch is this vault's.
  ///
  /// - Throws: `.refused` if it is that of one with the same identifiers.
  func checkOwner(of branch: Identifier) throws(OperationError) {
    do throws(OperationError) { _ = try parts.servers.served(branch) } catch {
      guard error.code != .refused else { throw error }
    }
  }

  private var noBranch: OperationError {
    OperationError(.failed, "What the disks of '\(name)' stand on is gone from its MANIFEST.")
  }

  /// Keeps more of what was found.
  func report(
    _ body: @escaping @Sendable (inout RecoveryReport) -> Void
  ) throws(OperationError) {
    var report = RecoveryReport(json: job.record.result) ?? RecoveryReport()
    body(&report)
    guard let json = report.json else { return }
    try job.publish(json)
    // The clean-up of a drill adds to what its beginning has found.
    try changeDrill { drill in
      var report = RecoveryReport(json: drill.report) ?? RecoveryReport()
      body(&report)
      drill.report = report.json
    }
  }
}

extension RecoveryRecord {
  /// Lets another branch take the place of the one that the disks are now.
  mutating func replaceDisks(by branch: Identifier) {
    if let formerBranch { replaced = (replaced ?? []) + [formerBranch] }
    (formerBranch, self.branch) = (self.branch, branch)
  }

  /// The branches that another one takes the place of, as was asked for.
  var replacedDisks: [Identifier] { (replaced ?? []) + [formerBranch].compactMap { $0 } }

  /// Whether an action is about the disks alone that nothing names any more: there is no failover to cancel.
  func isForUnnamedDisks(_ action: RecoveryAction) -> Bool {
    action == .cancel && state == RecoveryState.replicationStopped.rawValue
  }

  /// Whether the failover or the change of point that is kept here has changed the MANIFEST, which says this.
  func hasEndedReplication(as snapshot: MachineSnapshot) -> Bool {
    snapshot.pins.contains { $0.branch == branch }
      || request?.epoch.map { snapshot.epoch > $0 } == true
  }
}

extension ChosenPoint {
  init(_ point: RecoveryPoint, asked: String) {
    self.init(
      asked: asked, id: point.id, time: point.time, cut: point.sequence.rawValue,
      isApplicationConsistent: point.kind == .application,
      isPerDisk: point.consistency == .perDisk)
  }
}
