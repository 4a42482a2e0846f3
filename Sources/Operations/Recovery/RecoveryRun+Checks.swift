internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization
internal import Vault

/// What is looked at before anything is changed, each thing by its name.
extension RecoveryRun {
  /// Looks at everything that a drill or a failover needs, and keeps what was found.
  ///
  /// - Throws: `.refused` with everything that stands in the way.
  func checkPrerequisites() throws(OperationError) {
    var checks: [RecoveryReport.Check] = try checkLog().map { [$0] } ?? []
    checks += [try checkPoint(), try checkRoom(), checkDamage()]
    if let relay = try checkRelay() { checks.append(relay) }
    checks += machineChecks()
    if action != .changePoint { checks.append(checkReplication()) }
    let found = checks
    try report { $0.checks = found }
    for check in checks where check.verdict == .warning {
      desk.note(.warning, "\(action.code)-warning", name, "\(check.name): \(check.found)")
    }
    var report = RecoveryReport()
    report.checks = checks
    if let failure = report.failure { throw OperationError(.refused, failure) }
  }

  /// Whether the log can be gone on with; nil if so. One that can't, for it is damaged, is made anew of what is
  /// whole in it if the operator has said that a failover is to go on: the newest points may be lost by that.
  private func checkLog() throws(OperationError) -> RecoveryReport.Check? {
    let (title, machine) = ("log of the machine", try log)
    do throws(VaultError) {
      if let shortfall = try machine.snapshot().shortfall { throw shortfall }
      return nil
    } catch {
      guard error.code == .damaged || error.cause?.isMissing == true else {
        throw OperationError(error)
      }
      guard action == .failover, try record.request?.isConfirmed == true else {
        let advice = action == .failover ? " To fail over to what is left, add --yes." : ""
        return RecoveryReport.Check(title, .failed, error.message + advice)
      }
      let made = try desk.agents.keepingOut(self.machine, isWriting: true) {
        () throws(OperationError) in
        try inVault { () throws(VaultError) in
          try Rebuild.run(machine, in: desk.vault, lock: desk.writable.lock)
        }
      }
      let words =
        ["\(error.message) It was made anew, with \(made.points) recovery points."] + made.warnings
      return RecoveryReport.Check(title, .warning, words.joined(separator: " "))
    }
  }

  private func checkPoint() throws(OperationError) -> RecoveryReport.Check {
    let machine = try log
    do throws(OperationError) {
      let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
      let point = try choose(snapshot).point
      checked.withLock { $0 = point.id }
      return try check(point)
    } catch {
      guard error.code == .unknown || error.code == .damaged else { throw error }
      return RecoveryReport.Check("recovery point", .failed, error.message)
    }
  }

  private func check(_ point: RecoveryPoint) throws(OperationError) -> RecoveryReport.Check {
    let title = "recovery point"
    guard point.consistency == .perDisk else {
      return RecoveryReport.Check(title, .ok, "\(point.id), of \(point.time.iso8601)")
    }
    let what = "At \(point.id) each disk is of another moment."
    let isConfirmed = try record.request?.isConfirmed == true
    let isMeant = action == .testFailover || isConfirmed
    return isMeant
      ? RecoveryReport.Check(title, .warning, what)
      : RecoveryReport.Check(
        title, .failed, what + " Choose another point, or add --yes to use this one.")
  }

  /// Looks at the point that is about to be used, unless it is the one that was looked at first: since then
  /// the source may have made another one, which a relay has brought.
  ///
  /// - Throws: `.refused`.
  func checkChosen(
    _ point: RecoveryPoint, _ snapshot: MachineSnapshot
  ) throws(OperationError) {
    guard checked.withLock({ $0 }) != point.id else { return }
    var report = RecoveryReport()
    report.checks = [try check(point), checkDamage(of: point, snapshot)]
    if let failure = report.failure { throw OperationError(.refused, failure) }
  }

  private func checkRoom() throws(OperationError) -> RecoveryReport.Check {
    let space = try inVault { () throws(VaultError) in try desk.vault.space() }
    let found = "\(space.free >> 20) of \(space.total >> 20) MiB are free in the vault"
    let reserve = Vault.reserve(of: space.total)
    guard space.free > reserve else {
      return RecoveryReport.Check(
        "room for writes", .failed,
        "\(found), and \(reserve >> 20) are kept to mend a full vault. Make room there.")
    }
    return RecoveryReport.Check("room for writes", .ok, found)
  }

  private func checkDamage() -> RecoveryReport.Check {
    do throws(OperationError) {
      let machine = try log
      let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
      return checkDamage(of: try choose(snapshot).point, snapshot)
    } catch {
      // That there is no such point is said where the point is looked for.
      let isKnown = error.code != .unknown
      return RecoveryReport.Check(
        Self.damageTitle, isKnown ? .failed : .notChecked, error.message)
    }
  }

  private static let damageTitle = "integrity of the recovery point"

  /// Whether the vault can read all it has stored of a point, as far as its indexes tell.
  private func checkDamage(
    of point: RecoveryPoint, _ snapshot: MachineSnapshot
  ) -> RecoveryReport.Check {
    let title = Self.damageTitle
    do throws(OperationError) {
      let machine = try log
      let report = try inVault { () throws(VaultError) in try MachineCheck(machine).runIndex() }
      let hurt = Set(report.damages.flatMap(\.points))
      guard let damage = report.damages.first(where: { $0.points.contains(point.id) }) else {
        return RecoveryReport.Check(title, .ok, "its index is whole")
      }
      let good = snapshot.points.last { !hurt.contains($0.id) }
      let advice =
        good.map { "The newest good point is \($0.id): choose it with --point \($0.id)." }
        ?? "No other point is whole."
      return RecoveryReport.Check(
        title, .failed, "\(damage.what) ('\(damage.file)' at \(damage.offset)). \(advice)")
    } catch {
      return RecoveryReport.Check(title, .failed, error.message)
    }
  }

  private func checkReplication() -> RecoveryReport.Check {
    let errors = desk.health.current.filter { $0.kind == .machine && $0.subject == name }
    guard let worst = errors.first else {
      return RecoveryReport.Check("replication health", .ok, "nothing is wrong with it")
    }
    return RecoveryReport.Check("replication health", .warning, worst.message)
  }
}
