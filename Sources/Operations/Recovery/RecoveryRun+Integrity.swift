internal import Bytes
internal import Catalog
internal import Synchronization
internal import Vault

/// Whether what the vault has stored of a recovery point can be read.
extension RecoveryRun {
  /// A point that was looked at.
  struct CheckedPoint: Sendable {
    /// The id of the one that was asked for.
    let asked: String
    /// The id of the one that is used: another one where that is damaged, and the operator has said to go on.
    var used: String
  }

  private static let title = "integrity of the recovery point"
  /// Bytes of the newest records that are read before anything is changed, and which no replication and no
  /// verify may have read since they came. No further segment is begun behind them: reading is a part of the
  /// second that a failover may take.
  private static let newestBytes: UInt64 = 64 << 20
  /// Seconds behind which no further segment is begun.
  private static let newestTime = Duration.seconds(10)

  /// Looks at a point: whether its disks are of one moment, and whether its index and what came last to it are
  /// whole. Keeps which point is used.
  func lookAt(_ point: RecoveryPoint) throws(OperationError) -> [RecoveryReport.Check] {
    checked.withLock { $0 = CheckedPoint(asked: point.id, used: point.id) }
    let first = try check(point)
    do throws(OperationError) {
      return [first] + (try lookForDamage(of: point))
    } catch {
      guard error.code != .cancelled else { throw error }
      return [first, RecoveryReport.Check(Self.title, .failed, error.message)]
    }
  }

  /// The point to use where this one is asked for, which is looked at unless it was the one that was looked at
  /// first: since then the source may have made another one, which a relay has brought.
  ///
  /// - Throws: `.refused`.
  func usable(
    _ point: RecoveryPoint, _ snapshot: MachineSnapshot
  ) throws(OperationError) -> RecoveryPoint {
    if checked.withLock({ $0?.asked }) != point.id {
      var report = RecoveryReport()
      report.checks = try lookAt(point)
      if let failure = report.failure { throw OperationError(.refused, failure) }
      noteWarnings(report.checks)
    }
    let used = checked.withLock { $0?.used }
    guard let found = snapshot.points.first(where: { $0.id == used }) else {
      throw OperationError(.unknown, "The recovery point '\(used ?? point.id)' is gone.")
    }
    return found
  }

  private func lookForDamage(
    of point: RecoveryPoint
  ) throws(OperationError) -> [RecoveryReport.Check] {
    let (machine, clock) = (try log, ContinuousClock())
    let deadline = clock.now + Self.newestTime
    let check = try inVault { () throws(VaultError) in
      try PointCheck(
        point, of: machine, bytes: Self.newestBytes, isOver: { clock.now >= deadline },
        cancelled: { [job] in job.isCancelled })
    }
    guard let damage = check.damage else {
      let found = "its index and what was stored last are whole"
      return [RecoveryReport.Check(Self.title, .ok, found)]
    }
    let what =
      "At \(point.id), \(damage.what) ('\(damage.file)' at \(damage.offset)). "
      + (check.good.map { "The newest good point is \($0.id)" } ?? "No older point is whole")
    return try decide(what, of: point, instead: check.good)
  }

  /// What is done about a damage: nothing goes on over it unless the operator has said so of a failover. What is
  /// said of a change of point is that what was written is discarded.
  private func decide(
    _ what: String, of point: RecoveryPoint, instead good: RecoveryPoint?
  ) throws(OperationError) -> [RecoveryReport.Check] {
    let request = try record.request
    let selector = PointSelector(request?.point ?? "latest")
    let isConfirmed = request?.isConfirmed == true && action == .failover
    switch (selector, good) {
    case (.latest, let good?) where isConfirmed:
      checked.withLock { $0?.used = good.id }
      let found = what + ", and it is used instead."
      return [RecoveryReport.Check(Self.title, .warning, found), try check(good)]
    case (.name, _) where isConfirmed:
      let found = what + ". It is used as it is: reads of what is damaged fail."
      return [RecoveryReport.Check(Self.title, .warning, found)]
    default:
      let advice = advice(on: point, askedAs: selector, instead: good)
      return [RecoveryReport.Check(Self.title, .failed, what + advice + ".")]
    }
  }

  /// What the operator can do about it.
  private func advice(
    on point: RecoveryPoint, askedAs selector: PointSelector, instead good: RecoveryPoint?
  ) -> String {
    var ways = good.map { ["choose it with --point \($0.id)"] } ?? []
    if action == .failover {
      switch selector {
      case .latest where good != nil: ways.append("add --yes to fail over to it")
      case .name: ways.append("add --yes to use this one as it is")
      default: ways.append("'--point \(point.id) --yes' uses this one as it is")
      }
    }
    return ways.isEmpty ? "" : ": " + ways.joined(separator: ", or ")
  }
}
