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

  /// Pins the point of a drill.
  func pin(_ purpose: BranchPurpose) throws(OperationError) {
    guard let branch = try record.branch else { throw noBranch }
    let machine = try log
    if try !isPinned() {
      let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
      let point = try choose(snapshot).point
      try writing { log throws(VaultError) in
        try log.pin(BranchPin(branch: branch, cut: point.sequence, purpose: purpose))
      }
    }
    try keepPoint()
  }

  /// Ends replication for good, or, where another point is chosen, what went on from the last one: from
  /// here on the log takes nothing of an older epoch, and the new epoch goes on from the chosen point.
  func endReplication() throws(OperationError) {
    let record = try record
    guard let branch = record.branch else { throw noBranch }
    // Durable first: whatever becomes of the rest, the source is not taken from any more.
    if !record.isFenced { try desk.change(machine) { $0.isFenced = true } }
    do throws(OperationError) {
      let machine = try log
      try writing { log throws(VaultError) in
        guard !log.pins.contains(where: { $0.branch == branch }) else { return }
        let snapshot = try machine.snapshot()
        let text = record.request?.point ?? "latest"
        let point = try snapshot.resolve(PointSelector(text), now: desk.clock()).point
        let pin = BranchPin(branch: branch, cut: point.sequence, purpose: .failover)
        isTouched.withLock { $0 = true }
        let former = log.pins.first { $0.purpose == .failover }
        if let former {
          try log.changePin(former.branch, to: pin)
        } else {
          try log.raiseEpoch(pin)
        }
      }
    } catch {
      // Nothing was changed yet: replication goes on where it was.
      if !isTouched.withLock({ $0 }), !record.isFenced, try !isPinned() {
        try desk.change(self.machine) { $0.isFenced = false }
      }
      throw error
    }
    // What was being compared with the source is of no use any more.
    desk.agents.forgetResynchronisation(of: self.machine)
    try keepPoint()
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
    let served = try parts.servers.serve(pin.branch)
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
    do throws(ComputeError) { try parts.provider.end(in: parts.directory(branch)) } catch {
      throw OperationError(.failed, error.message)
    }
    try parts.servers.end(branch)
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

extension ChosenPoint {
  init(_ point: RecoveryPoint, asked: String) {
    self.init(
      asked: asked, id: point.id, time: point.time, cut: point.sequence.rawValue,
      isApplicationConsistent: point.kind == .application,
      isPerDisk: point.consistency == .perDisk)
  }
}
