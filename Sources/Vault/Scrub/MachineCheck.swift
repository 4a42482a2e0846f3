public import Bytes

/// Checks everything a vault holds of a machine: the MANIFEST, the log, and its index.
///
/// Needs no lock; the machine may be written to meanwhile (what comes after the start is not checked).
public final class MachineCheck {
  let machine: Machine
  let snapshot: MachineSnapshot
  let log: LogCheck

  /// Prepares the check of a machine.
  ///
  /// - Parameters:
  ///   - machine: the machine.
  ///   - branches: those that stand on it, as they are now. Of one that is missing here everything that it sees
  ///     counts as needed.
  ///   - progress: hears how many bytes are done, and how many there are.
  ///   - cancelled: asked now and then.
  /// - Throws: `.damaged` if the MANIFEST can't be read, so that nothing else can be checked.
  public init(
    _ machine: Machine, branches: [Identifier: BranchCut] = [:],
    progress: @escaping (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws(VaultError) {
    self.machine = machine
    snapshot = try machine.snapshot()
    let configuration = snapshot.configuration
    let standing = snapshot.pins.filter { !$0.isLost && !$0.isFlat }.map { pin in
      LogReaders.Branch(id: pin.branch, limit: pin.cut, cut: branches[pin.branch])
    }
    log = LogCheck(
      CheckReport(name: configuration.name, points: snapshot.points.count),
      at: machine.place(), disks: configuration.disks.map(\.number),
      readers: LogReaders(snapshot: snapshot, branches: standing),
      progress: progress, cancelled: cancelled
    ) { segment, size throws(VaultError) in
      try machine.replay(segment, size: size, configuration)
    }
  }

  /// Checks everything.
  ///
  /// - Throws: `.cancelled`, or the failure of a system call; damage is in the report instead.
  public func run() throws(VaultError) -> CheckReport {
    try log.run(try manifest(), mending: "the next 'tidemark replicate'")
    log.report.newestDamage = try newestDamage()
    return log.report
  }

  /// Checks the index alone, as a writer reads it to merge runs.
  ///
  /// - Throws: as `run` does.
  public func runIndex() throws(VaultError) -> CheckReport {
    try log.runIndex(try manifest())
    log.report.newestDamage = try newestDamage()
    return log.report
  }

  /// Checks the index, and what was stored last of what a recovery point needs: whole segments, the newest
  /// first and two at least, until they make up a number of bytes; or one and more until it `isOver`, which is
  /// asked in between.
  ///
  /// Damage in older records is not found by this.
  /// - Throws: as `run` does.
  func runNewest(
    of point: RecoveryPoint, bytes limit: UInt64, isOver: () -> Bool
  ) throws(VaultError) -> CheckReport {
    try log.runNewest(try manifest(), before: point.sequence, bytes: limit, isOver)
    return log.report
  }

  private func manifest() throws(VaultError) -> Manifest {
    try Manifest.read(machine.manifestPath, identity: machine.identity, on: machine.system)
  }
}
