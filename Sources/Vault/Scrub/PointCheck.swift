/// What reading what a recovery point needs has found, as far as that was read: its index, and what came last.
public struct PointCheck: Sendable {
  /// The first damage that hurts the point; nil if none was found.
  public let damage: Damage?
  /// The newest point of which none was found, this one or one before it; nil if there is none.
  public let good: RecoveryPoint?

  /// Checks a point, and where it is hurt those before it, until one is not; each by what came last to it.
  ///
  /// Of each the whole index is read, and segments as they are, the newest first and two at least, or one if the
  /// time is over. Needs no lock; blocks for as long as reading takes.
  /// - Parameters:
  ///   - point: the point.
  ///   - machine: its machine.
  ///   - limit: bytes of a point behind which no further segment of it is begun.
  ///   - isOver: whether the time is, behind which none is either; asked in between.
  ///   - cancelled: asked now and then.
  /// - Throws: `.damaged` if the MANIFEST can't be read; `.cancelled`, or the failure of a system call.
  public init(
    _ point: RecoveryPoint, of machine: Machine, bytes limit: UInt64, isOver: () -> Bool,
    cancelled: @escaping () -> Bool
  ) throws(VaultError) {
    var hurt: Set<String> = []
    var first: Damage?
    var candidate: RecoveryPoint? = point
    while let next = candidate {
      let check = try MachineCheck(machine, cancelled: cancelled)
      let report = try check.runNewest(of: next, bytes: limit, isOver: isOver)
      hurt.formUnion(report.damages.flatMap(\.points))
      first = first ?? report.damages.first { $0.points.contains(point.id) }
      guard hurt.contains(next.id) else { break }
      candidate = check.snapshot.points.last {
        $0.sequence < next.sequence && !hurt.contains($0.id)
      }
    }
    (damage, good) = (first, candidate)
  }
}
