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

  /// Stops a job of a drill or a failover for an operator, where that may be stopped just so.
  func cancel(_ job: JobRecord, by operator: String?) throws(OperationError) {
    let name = job.machine ?? ""
    if job.kind == RecoveryAction.flatten.name { return jobs.stop(job.id) }
    guard job.kind == RecoveryAction.testFailover.name else {
      throw OperationError(
        .refused,
        job.kind == RecoveryAction.failover.name
          ? "Job \(job.id) is a failover. 'tidemark failover cancel \(name) --yes' stops it, and the machine "
            + "will not be replicated again then."
          : "Job \(job.id), \(job.kind), can't be stopped half-way; it ends soon.")
    }
    let subject = try recovery.subject(named: name)
    _ = try stopped(RecoveryDesk.Order(action: .cancel, operator: `operator`), subject)
  }

  /// Ends the protection of a machine that is failed over: its recovery points go, its disks and what they
  /// are made of stay. False, and nothing, for any other machine.
  func disableFailedOver(_ name: String) throws(OperationError) -> Bool {
    guard let subject = try? recovery.subject(named: name), let machine = subject.machine else {
      return false
    }
    let (standing, record) = try recovery.standing(of: subject)
    guard standing.state.hasFailedOverDisks, let branch = record?.branch else { return false }
    try recovery.alone(.disable, on: subject) { () throws(OperationError) in
      try recovery.commit(failover: branch, of: machine)
      try endProtection(of: subject.id, name)
    }
    return true
  }

  /// Refuses to remove a machine whose disks run at the recovery site.
  func refuseFailedOver(_ name: String) throws(OperationError) {
    guard let subject = try? recovery.subject(named: name),
      try recovery.standing(of: subject).standing.state.hasFailedOverDisks
    else { return }
    throw OperationError(
      .refused,
      "The machine '\(name)' is failed over. 'tidemark machine disable \(name)' ends its protection and "
        + "keeps its disks; 'tidemark failover discard \(name)' then removes them and the machine.")
  }

  /// Forgets how a machine was protected, and nothing of its disks.
  func endProtection(of machine: Identifier, _ name: String) throws(OperationError) {
    try forgetProtection(of: machine, name)
    note(.warning, "protection-disabled", machine: name, "Protection of '\(name)' was disabled.")
  }

  /// Removes a machine while no drill or failover of it is begun. Where that can't be noted, as in a full
  /// vault, it is removed all the same: the vault itself refuses to remove what a branch stands on.
  func removing(
    _ name: String, _ body: () throws(OperationError) -> [String]
  ) throws(OperationError) -> [String] {
    guard let subject = try? recovery.subject(named: name), subject.machine != nil else {
      return try body()
    }
    return try recovery.alone(.disable, on: subject, isNoteRequired: false, body)
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
