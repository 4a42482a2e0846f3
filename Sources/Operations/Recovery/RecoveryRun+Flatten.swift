internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// Copying the disks of a failover to plain files.
///
/// The disk server does it, beside whoever uses the disks; that it is wanted stands beside the disks, so a server
/// that takes over goes on by itself. The job asks how far it is, and lets the machine's log go at the end.
extension RecoveryRun {
  /// Between two looks how far the copy is.
  private static let pause = Duration.milliseconds(200)
  /// How long it may not be known how far the copy is.
  private static let patience = Duration.seconds(1800)

  func flatten() throws(OperationError) {
    guard let branch = try record.branch else {
      throw OperationError(.failed, "It is not known what the disks of '\(name)' are.")
    }
    try step(.copyDisks) { () throws(OperationError) in
      do throws(OperationError) { try copy(branch) } catch {
        // Nobody is to become plain files whom no job waits for. Where that can't be told either, it is noticed
        // later (`letGoOfFlat`).
        if !job.isInterrupted, error.code != .cancelled {
          try? parts.servers.cancelFlatten(branch)
        }
        throw error
      }
    }
    // From here on there is nothing to cancel: the disks are plain files.
    try job.step(RecoveryTask.letGo.rawValue) { () throws(OperationError) in
      try desk.letGo(of: branch, of: try log)
    }
  }

  private func copy(_ branch: Identifier) throws(OperationError) {
    try serveAsKept(branch)
    try parts.servers.flatten(branch)
    var known = ContinuousClock.now
    while true {
      if job.isCancelled, try isGivenUp(branch) { try check() }
      switch try parts.servers.copy(of: branch) {
      case .done: return
      case .running(let done, let total):
        if total > 0 {
          known = .now
          job.report(.init(step: "copying", done: done, total: total))
        }
      case .failed(let reason):
        throw OperationError(.failed, "\(reason) The disks go on as they were.")
      // Whoever serves it now knows nothing of it.
      case .idle: if !job.isCancelled { try parts.servers.flatten(branch) }
      // Whoever takes over goes on with what was begun, and only they can give it up.
      case nil: try serveAsKept(branch)
      }
      guard ContinuousClock.now - known < Self.patience else {
        throw OperationError(
          .failed,
          "The disk server did not say for half an hour how far the copy is. It is given up.")
      }
      ProcessSignals.sleep(Self.pause)
    }
  }

  /// Serves the disks; those of a machine that was stopped, be it beside the copy, refuse writes.
  private func serveAsKept(_ branch: Identifier) throws(OperationError) {
    if try record.stopped == branch {
      _ = try parts.servers.serveFrozen(branch)
    } else {
      _ = try parts.servers.serve(branch)
    }
  }

  /// Whether the copy is to end with the job: it goes on while a service is restarted, and what was done can't be
  /// given up any more.
  private func isGivenUp(_ branch: Identifier) throws(OperationError) -> Bool {
    if job.isInterrupted { return true }
    try parts.servers.cancelFlatten(branch)
    switch try parts.servers.copy(of: branch) {
    case .idle, .failed: return true
    case .running, .done, nil: return false
    }
  }
}

extension RecoveryDesk {
  /// Says in a machine's log that a branch is plain files, and holds nothing of the log back.
  func letGo(of branch: Identifier, of machine: Machine) throws(OperationError) {
    guard try inVault({ () throws(VaultError) in try vault.branch(branch).isFlat }) else {
      throw OperationError(.failed, "The disks of '\(machine.name)' are no plain files.")
    }
    try writing(to: machine) { log throws(OperationError) in
      try inVault { () throws(VaultError) in try log.letGo(branch) }
    }
  }

  /// Lets go of what branches stand on that are plain files, where the job that made them that ended before.
  func letGoOfFlat(_ machine: Machine) throws(OperationError) {
    for pin in try pins(of: machine) where !pin.isFlat {
      guard let branch = try? vault.branch(pin.branch), branch.isFlat else { continue }
      try letGo(of: pin.branch, of: machine)
    }
  }
}
