internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization
internal import Vault

/// The work of one job of a drill or a failover: its parts in their order, each of which can be done twice,
/// and what is undone where one fails.
final class RecoveryRun: Sendable {
  let desk: RecoveryDesk
  let job: Job
  let action: RecoveryAction
  let machine: Identifier
  let name: String
  let parts: RecoveryParts
  /// The recovery point that was looked at in this process.
  let checked = Mutex<CheckedPoint?>(nil)
  /// Whether this job may have told the log of another epoch, in this process or an earlier one.
  let mayHaveRaised: Mutex<Bool>
  /// Whether the machine was powered up in this process.
  let hasBooted = Mutex(false)

  init(
    _ desk: RecoveryDesk, _ job: Job, _ action: RecoveryAction, of record: RecoveryRecord
  ) throws(OperationError) {
    (self.desk, self.job, self.action) = (desk, job, action)
    (machine, name) = (record.machine, record.name)
    mayHaveRaised = Mutex(
      job.record.tasks.contains {
        $0.name == RecoveryTask.endReplication.rawValue && $0.state != .notStarted
      })
    parts = try desk.tools()
  }

  /// What is kept of the machine at this moment.
  var record: RecoveryRecord {
    get throws(OperationError) {
      let record = try inCatalog { () throws(CatalogError) in
        try desk.catalog.recovery(of: machine)
      }
      guard let record else {
        throw OperationError(.failed, "What is kept of the recovery of '\(name)' is gone.")
      }
      return record
    }
  }

  /// The machine's log.
  var log: Machine {
    get throws(OperationError) {
      let machines = try inVault { () throws(VaultError) in try desk.vault.machines() }
      guard let found = machines.first(where: { $0.id == machine }) else {
        throw OperationError(.unknown, "The vault holds nothing of '\(name)'.")
      }
      return found
    }
  }

  /// Stops the work where somebody wants that.
  func check() throws(OperationError) {
    guard !job.isCancelled else {
      throw OperationError(.cancelled, "\(action.name) of '\(name)' was stopped.")
    }
  }

  /// Runs a part, unless an earlier process has done it.
  func step(
    _ task: RecoveryTask, _ body: () throws(OperationError) -> Void
  ) throws(OperationError) {
    try check()
    try job.step(task.rawValue, body)
  }

  /// Does all of it, and keeps how it ended.
  func perform() throws(OperationError) {
    do throws(OperationError) {
      // A cancel that was decided in an earlier process.
      if try record.running == RecoveryAction.cancel.rawValue, action != .cancel {
        throw OperationError(.cancelled, "\(action.name) of '\(name)' was cancelled.")
      }
      try work()
      try finish()
    } catch {
      guard !job.isInterrupted else { throw error }
      throw undo(error)
    }
  }

  private func work() throws(OperationError) {
    switch action {
    case .testFailover: try testFailover()
    case .failover: try failover()
    case .changePoint: try changePoint()
    case .commit, .completeMigration: try commit()
    case .flatten: try flatten()
    case .cleanup, .cancel: try removal()
    case .discard:
      try removal()
      try step(.removeMachine) { () throws(OperationError) in
        try desk.service().removeLeftovers(of: machine, name)
      }
    default: throw OperationError(.failed, "There is no job for \(action.name).")
    }
  }

  /// Keeps that all is done, unless it was cancelled at the last moment.
  private func finish() throws(OperationError) {
    let (now, action) = (desk.clock(), action)
    if action == .testFailover {
      try changeDrill { $0.ready = now }
    } else if action == .cleanup {
      try endDrill(nil)
    }
    if action != .testFailover, action != .flatten {
      desk.health.update(
        name, HealthCode.ofRecoveredDisks.union([.drillExpired]), to: [], at: now)
    }
    // Those are other disks, or none.
    if action != .commit, action != .completeMigration {
      desk.health.clear(name, .disksDamaged, at: now)
    }
    let isKept = try desk.settle(machine, .succeeded(action), while: action) { record in
      (record.formerBranch, record.job) = (nil, nil)
      record.request?.former = nil
      if action == .completeMigration { record.isFenced = true }
    }
    guard isKept else {
      throw OperationError(.cancelled, "\(action.name) of '\(name)' was cancelled.")
    }
    desk.note(
      [.testFailover, .cleanup, .flatten].contains(action) ? .info : .warning,
      "\(action.code)-succeeded", name, "\(action.name) of '\(name)' succeeded.")
  }

  /// Undoes what can be undone behind a failure, and keeps what is left; gives what the job ends with.
  private func undo(_ error: OperationError) -> OperationError {
    let wasCancelled = (try? record.running) == RecoveryAction.cancel.rawValue && action != .cancel
    var error = error
    do throws(OperationError) {
      switch action {
      case .testFailover: try undoTestFailover(error, wasCancelled: wasCancelled)
      case .failover where wasCancelled:
        try undoFailover()
        error = adviseOnSource(error)
      default: try undoOther(&error)
      }
    } catch let second {
      error = OperationError(error.code, "\(error.message) \(second.message)")
      _ = try? fail(error, isUndone: false)
    }
    return error
  }

  /// Gives a failover up: the source is not replicated any more, whatever had been begun.
  private func undoFailover() throws(OperationError) {
    try stopReplication()
    try removeDisks()
    try desk.settle(machine, .succeeded(.cancel)) { record in
      (record.branch, record.formerBranch, record.job) = (nil, nil, nil)
      record.replaced = nil
    }
    desk.note(
      .warning, "replication-stopped", name,
      "The failover of '\(name)' was cancelled; it is not replicated any more.")
  }

  private func undoTestFailover(
    _ error: OperationError, wasCancelled: Bool
  ) throws(OperationError) {
    try removeDisks()
    try endDrill(wasCancelled ? .cancelled : .failed)
    if wasCancelled {
      try desk.settle(machine, .succeeded(.cancel)) { $0.job = nil }
    } else {
      try fail(error, isUndone: true)
    }
  }

  private func undoOther(_ error: inout OperationError) throws(OperationError) {
    if action == .flatten { return try fail(error, isUndone: false) }
    if action != .discard, let pin = try pins().last(where: \.isCommitted) {
      // Whatever failed, the failover is final, and its disks are those that it was committed with.
      let isChange = action == .changePoint
      if isChange { goOn(pin.branch) }
      return try fail(error, as: .succeeded(.commit)) { record in
        (record.branch, record.formerBranch) = (pin.branch, nil)
        if isChange { record.takeBackRequest() }
      }
    }
    guard action == .failover || action == .changePoint else {
      return try fail(error, isUndone: false)
    }
    let isTouched = try isTouched()
    if !isTouched, action == .changePoint, let former = try record.formerBranch {
      goOn(former)
    }
    if !isTouched, action == .failover { error = adviseOnSource(error) }
    try fail(error, isUndone: !isTouched)
    if isTouched { try desk.change(machine) { $0.isFenced = true } }
  }

  /// Keeps that the action failed, and that its machine is as it was before if it `isUndone`.
  private func fail(_ error: OperationError, isUndone: Bool) throws(OperationError) {
    try fail(error, as: .failed(action, isUndone: isUndone)) { record in
      guard isUndone else { return }
      (record.branch, record.formerBranch) = (record.formerBranch, nil)
      // What it runs by, and what it joins, is what it was, whatever was asked for of another point.
      record.takeBackRequest()
    }
  }

  /// Keeps where the machine stands behind a failure, and that failure.
  private func fail(
    _ error: OperationError, as event: RecoveryEvent,
    _ change: @escaping @Sendable (inout RecoveryRecord) -> Void = { _ in }
  ) throws(OperationError) {
    let failure = JobFailure(code: error.code.rawValue, message: error.message)
    let failed = action.rawValue
    try desk.settle(machine, event) { record in
      (record.failure, record.failed, record.job) = (failure, failed, nil)
      change(&record)
    }
  }

  /// Whether the machine's MANIFEST holds a pin for the branch of this job.
  func isPinned() throws(OperationError) -> Bool {
    let branch = try record.branch
    return try pins().contains { $0.branch == branch }
  }

  func pins() throws(OperationError) -> [BranchPin] {
    try desk.pins(of: try log)
  }

  /// Changes what is kept of the drill, if there is one.
  func changeDrill(
    _ body: @escaping @Sendable (inout DrillRecord) -> Void
  ) throws(OperationError) {
    guard let drill = try record.drill else { return }
    try inCatalog { () throws(CatalogError) in _ = try desk.catalog.changeDrill(drill, body) }
  }

  /// Keeps how the drill ended: a success if it had begun and is gone without a trace.
  func endDrill(_ outcome: DrillRecord.Outcome?) throws(OperationError) {
    let (now, record) = (desk.clock(), try record)
    try changeDrill { drill in
      drill.ended = drill.ended ?? now
      drill.outcome = outcome ?? (drill.ready == nil ? .failed : .succeeded)
      drill.notes = record.request?.notes ?? drill.notes
      drill.endedBy = record.operator
    }
  }
}

extension RecoveryAction {
  /// What events of it are called.
  var code: String {
    switch self {
    case .testFailover: "test-failover"
    case .cleanup: "test-failover-cleanup"
    case .failover: "failover"
    case .changePoint: "change-point"
    case .commit: "commit"
    case .flatten: "failover-flatten"
    case .completeMigration: "complete-migration"
    case .cancel: "failover-cancel"
    case .discard: "failover-discard"
    default: rawValue
    }
  }
}
