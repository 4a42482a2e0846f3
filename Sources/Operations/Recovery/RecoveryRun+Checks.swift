internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// What is looked at before anything is changed, each thing by its name.
extension RecoveryRun {
  /// Looks at everything that a drill or a failover needs, and keeps what was found.
  ///
  /// - Throws: `.refused` with everything that stands in the way.
  func checkPrerequisites() throws(OperationError) {
    var checks: [RecoveryReport.Check] = try checkLog().map { [$0] } ?? []
    checks += try checkPoint()
    checks.append(try checkRoom())
    if let relay = try checkRelay() { checks.append(relay) }
    checks += machineChecks()
    if action != .changePoint { checks.append(checkReplication()) }
    let found = checks
    try report { $0.checks = found }
    noteWarnings(checks)
    var report = RecoveryReport()
    report.checks = checks
    if let failure = report.failure { throw OperationError(.refused, failure) }
  }

  func noteWarnings(_ checks: [RecoveryReport.Check]) {
    for check in checks where check.verdict == .warning {
      desk.note(.warning, "\(action.code)-warning", name, "\(check.name): \(check.found)")
    }
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

  private func checkPoint() throws(OperationError) -> [RecoveryReport.Check] {
    let machine = try log
    do throws(OperationError) {
      let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
      return try lookAt(try choose(snapshot).point)
    } catch {
      guard error.code == .unknown || error.code == .damaged else { throw error }
      return [RecoveryReport.Check("recovery point", .failed, error.message)]
    }
  }

  /// Whether all disks are of one moment at a point.
  func check(_ point: RecoveryPoint) throws(OperationError) -> RecoveryReport.Check {
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

  private func checkReplication() -> RecoveryReport.Check {
    let errors = desk.health.current.filter { $0.kind == .machine && $0.subject == name }
    guard let worst = errors.first else {
      return RecoveryReport.Check("replication health", .ok, "nothing is wrong with it")
    }
    return RecoveryReport.Check("replication health", .warning, worst.message)
  }
}
