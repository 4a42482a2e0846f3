internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// What drills and failovers ask of the rest of the service.
extension VaultService {
  /// Refuses an action on a machine that is in a drill or a failover, or has something left of one, as its
  /// state says.
  func refuseInRecovery(_ action: RecoveryAction, _ name: String) throws(OperationError) {
    guard let subject = try? recovery.subject(named: name) else { return }
    let (standing, record) = try recovery.standing(of: subject)
    guard record != nil, let objection = standing.objection(to: action) else { return }
    throw objection.error(for: name)
  }

  /// Stops a job of a drill or a failover, where that may be stopped just so.
  func cancel(_ job: JobRecord) throws(OperationError) {
    let name = job.machine ?? ""
    guard job.kind == RecoveryAction.testFailover.name else {
      throw OperationError(
        .refused,
        job.kind == RecoveryAction.failover.name
          ? "Job \(job.id) is a failover. 'tidemark failover cancel \(name) --yes' stops it, and the machine "
            + "will not be replicated again then."
          : "Job \(job.id), \(job.kind), can't be stopped half-way; it ends soon.")
    }
    let subject = try recovery.subject(named: name)
    _ = try recovery.begin(RecoveryDesk.Order(action: .cancel), on: subject)
    jobs.stop(job.id)
  }

  /// Ends the protection of a machine that is failed over: its recovery points go, its disks and what they
  /// are made of stay. False, and nothing, for any other machine.
  func disableFailedOver(_ name: String) throws(OperationError) -> Bool {
    guard let subject = try? recovery.subject(named: name), let machine = subject.machine else {
      return false
    }
    let (standing, record) = try recovery.standing(of: subject)
    guard standing.state.hasFailedOverDisks, let branch = record?.branch else { return false }
    try agentHost.keepingOut(subject.id, isWriting: true) { () throws(OperationError) in
      try inVault { () throws(VaultError) in
        let log = try MachineWriter(machine: machine, in: vault, lock: writable.lock)
        try log.commit(failover: branch)
        try log.close()
      }
    }
    try endProtection(of: subject.id, name)
    let order = RecoveryDesk.Order(action: .disable)
    _ = try recovery.begin(order, on: subject)
    return true
  }

  /// Forgets how a machine was protected, and nothing of its disks.
  func endProtection(of machine: Identifier, _ name: String) throws(OperationError) {
    try forget(machine, name)
    note(.warning, "protection-disabled", machine: name, "Protection of '\(name)' was disabled.")
  }

  /// Removes what is left in the vault of a machine whose failed-over disks were discarded.
  func removeLeftovers(of machine: Identifier, _ name: String) throws(OperationError) {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    guard let found = machines.first(where: { $0.id == machine }) else { return }
    _ = try agentHost.keepingOut(machine, isWriting: false) { () throws(OperationError) in
      try RemoveMachine(name: found.name).run(in: writable)
    }
    try forget(machine, name)
  }
}
