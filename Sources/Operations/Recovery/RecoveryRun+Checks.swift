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
    let damage = try damageOfLog()
    var checks = [try checkRoom()]
    if let relay = try checkRelay() { checks.append(relay) }
    if let disks = try checkUnnamedDisks() { checks.append(disks) }
    // What a log tells of the machine that can't be read at all is looked at behind its mending.
    let isReadable = damage == nil || (try? log.snapshot()) != nil
    if isReadable { checks += machineChecks() }
    if action != .changePoint { checks.append(checkReplication()) }
    if damage != nil, let missing = try missingPoint() { checks.insert(missing, at: 0) }
    // What can't be taken back comes only where nothing else stands in the way.
    let isFree = !checks.contains { $0.verdict == .failed }
    let mended = try damage.map { damage throws(OperationError) in
      try mend(damage, isFree: isFree)
    }
    if mended?.verdict != .failed {
      checks = try checkPoint() + checks
      if !isReadable { checks += machineChecks() }
    }
    if let mended { checks.insert(mended, at: 0) }
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

  /// Why the log can't be gone on with; nil if it can. Of some damage only a writer hears.
  func damageOfLog() throws(OperationError) -> VaultError? {
    let machine = try log
    do throws(VaultError) {
      if let shortfall = try machine.snapshot().shortfall { throw shortfall }
    } catch {
      guard Self.isDamage(error) else { throw OperationError(error) }
      return error
    }
    guard action != .testFailover else { return nil }
    do throws(VaultError) { try desk.agents.tryLog(of: machine) } catch {
      // What else keeps a writer out, as a full vault does, is another check's, or is told by who writes.
      return Self.isDamage(error) ? error : nil
    }
    return nil
  }

  static func isDamage(_ error: VaultError) -> Bool {
    error.code == .damaged || error.cause?.isMissing == true
  }

  /// What is said of a point that a damaged log does not have; nil if it has one that was asked for, or does not
  /// tell its points.
  private func missingPoint() throws(OperationError) -> RecoveryReport.Check? {
    guard let snapshot = try? log.snapshot() else { return nil }
    do throws(OperationError) { _ = try choose(snapshot) } catch {
      guard error.code == .unknown else { throw error }
      return RecoveryReport.Check("recovery point", .failed, error.message)
    }
    return nil
  }

  /// Makes a damaged log anew of what is whole in it if the operator has said that a failover is to go on, and
  /// nothing else stands in the way: the newest points may be lost by that, and all that are left are locked.
  private func mend(
    _ damage: VaultError, isFree: Bool
  ) throws(OperationError) -> RecoveryReport.Check {
    let (title, machine) = ("log of the machine", try log)
    guard action == .failover, try record.request?.isConfirmed == true else {
      let advice =
        action == .failover
        ? " To fail over to what is left, for which the log is made anew, add --yes." : ""
      return RecoveryReport.Check(title, .failed, damage.message + advice)
    }
    guard isFree else {
      return RecoveryReport.Check(
        title, .failed, damage.message + " It is made anew once nothing else stands in the way.")
    }
    // Whoever goes on with this job behind a kill finds it whole, and has nothing to tell.
    desk.note(
      .warning, "log-made-anew", name,
      "The log of '\(name)' is made anew for its failover: \(damage.message)")
    let made = try desk.agents.keepingOut(self.machine, isWriting: true) {
      () throws(OperationError) in
      try inVault { () throws(VaultError) in
        try Rebuild.run(machine, in: desk.vault, lock: desk.writable.lock)
      }
    }
    let words =
      ["\(damage.message) It was made anew, with \(made.points) recovery points."] + made.warnings
    return RecoveryReport.Check(title, .warning, words.joined(separator: " "))
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
    if let budget = try record.request?.budget, budget > space.free - reserve {
      return RecoveryReport.Check(
        "room for writes", .warning,
        "\(found), and \(reserve >> 20) are kept to mend a full vault. \(budget >> 20) MiB may be written as "
          + "was asked for: writes fail before that, unless there is more room then.")
    }
    return RecoveryReport.Check("room for writes", .ok, found)
  }

  /// What is said of disks of an earlier failover that nothing names: another epoch lets no log name them again.
  private func checkUnnamedDisks() throws(OperationError) -> RecoveryReport.Check? {
    guard action != .testFailover else { return nil }
    let record = try record
    let disks = try desk.unnamedDisks(of: machine, record)
    guard !disks.isEmpty else { return nil }
    let title = "disks of an earlier failover"
    let found =
      "The vault holds disks that '\(name)' was failed over to, and its log does not name them any more: "
      + "\(desk.words(ofUnnamed: disks))."
    guard record.request?.isConfirmed != true else {
      return RecoveryReport.Check(title, .warning, found + " They are kept.")
    }
    return RecoveryReport.Check(
      title, .failed,
      found + " \(RecoveryDesk.unnamedAdvice) To fail over beside them, which are kept, add --yes.")
  }

  private func checkReplication() -> RecoveryReport.Check {
    let errors = desk.health.current.filter { $0.kind == .machine && $0.subject == name }
    guard let worst = errors.first else {
      return RecoveryReport.Check("replication health", .ok, "nothing is wrong with it")
    }
    return RecoveryReport.Check("replication health", .warning, worst.message)
  }
}
