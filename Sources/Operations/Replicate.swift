public import Capture
public import Vault

/// Runs a cycle of replication for a machine, which makes a recovery point.
public struct Replicate: Sendable {
  /// The machine's name.
  public var machine: String
  /// What is chosen for the cycle.
  public var options: CaptureOptions

  /// Describes the cycle.
  public init(machine: String, options: CaptureOptions = CaptureOptions()) {
    (self.machine, self.options) = (machine, options)
  }

  /// Entries of runs that are merged after a cycle at the most, so that no cycle takes long for the
  /// sake of the next readers.
  private static let mergeBudget = 4_000_000

  /// Takes the vault's lock, and runs the cycle.
  ///
  /// Otherwise as with a lock that is held already.
  public func run(
    in vault: Vault, progress: @escaping (CaptureProgress) -> Void,
    cancelled: @escaping () -> Bool, made: (CaptureResult) -> Void
  ) throws(OperationError) {
    try run(in: try WritableVault(vault), progress: progress, cancelled: cancelled, made: made)
  }

  /// Runs the cycle, and another one if the first only finished one that had been interrupted.
  ///
  /// Once the recovery point is told, runs are merged for the sake of readers; stopping that is safe.
  /// - Parameters:
  ///   - writable: where the machine is.
  ///   - isAllowed: asked once this is the machine's only writer; what it throws ends it.
  ///   - progress: called often while disks are read.
  ///   - cancelled: asked often; once it says true the work ends with `.cancelled`.
  ///   - made: called for each recovery point, as soon as it is durable.
  /// - Throws: `.incomplete` if the recovery point was made, but merging failed; `.locked` if the
  ///   machine is written to already.
  public func run(
    in writable: WritableVault, isAllowed: () throws(OperationError) -> Void = {},
    progress: @escaping (CaptureProgress) -> Void, cancelled: @escaping () -> Bool,
    made: (CaptureResult) -> Void
  ) throws(OperationError) {
    try checkLabel()
    let name = machine
    let machine = try inVault { () throws(VaultError) in
      try writable.vault.machine(named: name)
    }
    try writable.writing(to: machine) { () throws(OperationError) in
      try isAllowed()
      try cycle(machine, in: writable, progress: progress, cancelled: cancelled, made: made)
    }
  }

  private func cycle(
    _ machine: Machine, in writable: WritableVault,
    progress: @escaping (CaptureProgress) -> Void, cancelled: @escaping () -> Bool,
    made: (CaptureResult) -> Void
  ) throws(OperationError) {
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    try checkLabelIsFree(snapshot)
    let writer = try inVault { () throws(VaultError) in
      try MachineWriter(machine: machine, in: writable.vault, lock: writable.lock)
    }
    let cycle = CaptureCycle(
      machine: machine.id, disks: snapshot.configuration.disks, options: options,
      progress: progress, cancelled: cancelled)
    do throws(CaptureError) {
      let target = LocalTarget(writer)
      let first = try cycle.run(with: target)
      made(first)
      if first.resumed { made(try cycle.run(with: target)) }
    } catch {
      // What the cycle stored becomes durable, for the next one to find; its own failure is told.
      try? writer.close()
      throw OperationError(error)
    }
    try finish(writer, cancelled: cancelled)
  }

  private func finish(
    _ writer: MachineWriter, cancelled: () -> Bool
  ) throws(OperationError) {
    do throws(VaultError) {
      do throws(VaultError) {
        try writer.mergeRuns(entryBudget: Self.mergeBudget, cancelled: cancelled)
      } catch  where error.code == .cancelled {}
      try writer.close()
    } catch {
      throw OperationError(
        .incomplete,
        "The recovery point was made, but the index could not be tidied: \(error.message) "
          + "The next replication tries again.")
    }
  }

  private func checkLabel() throws(OperationError) {
    guard let label = options.label, let objection = PointSelector.objection(toLabel: label)
    else { return }
    throw OperationError(.refused, "A recovery point can't be labelled '\(label)': \(objection).")
  }

  private func checkLabelIsFree(_ snapshot: MachineSnapshot) throws(OperationError) {
    guard let label = options.label,
      let other = snapshot.points.last(where: { $0.label == label })
    else { return }
    throw OperationError(
      .refused,
      "Recovery point '\(other.id)' has the label '\(label)' already. Choose another label.")
  }
}
