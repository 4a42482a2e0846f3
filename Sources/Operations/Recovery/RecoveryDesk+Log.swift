internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// What drills and failovers change in a machine's log.
extension RecoveryDesk {
  /// Runs `body` as the only writer of a machine's log; a session of its agent ends for that.
  func writing<Result>(
    to machine: Machine, _ body: (MachineWriter) throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try agents.writing(to: machine, body)
  }

  /// Makes a failover final: all recovery points are deleted, for the disks that are left do not need them.
  ///
  /// - Throws: `.refused` unless those disks are whole; else as the vault does. What failed behind the
  ///   commit is no failure of it.
  func commit(failover branch: Identifier, of machine: Machine) throws(OperationError) {
    do throws(OperationError) {
      try writing(to: machine) { log throws(OperationError) in
        try checkWhole(branch, log.pins, machine.name)
        try inVault { () throws(VaultError) in try log.commit(failover: branch) }
      }
    } catch {
      // It may be durable in the log, and have failed to enter the MANIFEST: who opens the log next enters it.
      if ![.refused, .locked].contains(error.code) { try? writing(to: machine) { _ in } }
      guard try pins(of: machine).contains(where: { $0.branch == branch && $0.isCommitted }) else {
        throw error
      }
    }
  }

  func pins(of machine: Machine) throws(OperationError) -> [BranchPin] {
    try inVault { () throws(VaultError) in try machine.snapshot().pins }
  }

  /// Refuses to delete recovery points that are the only copy.
  private func checkWhole(
    _ branch: Identifier, _ pins: [BranchPin], _ name: String
  ) throws(OperationError) {
    guard let pin = pins.first(where: { $0.branch == branch }), !pin.isCommitted else { return }
    let advice =
      "Its recovery points are kept. Choose another one with 'tidemark failover change-point \(name) "
      + "--point POINT', which makes new disks."
    let description: BranchDescription
    do throws(VaultError) { description = try vault.branch(branch) } catch {
      throw OperationError(
        .refused, "The disks of '\(name)' can't be read: \(error.message) \(advice)")
    }
    guard description.cut == pin.cut else {
      throw OperationError(
        .refused,
        "The disks of '\(name)' are of another recovery point than its log says. \(advice)")
    }
  }

  /// Does something that takes no job (`takesNoJob`), while nothing else is begun that changes where the machine
  /// stands; unless that is required, also where this can't be noted.
  func alone<Result>(
    _ action: RecoveryAction, on subject: Subject, isNoteRequired: Bool = true,
    _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    do throws(OperationError) { _ = try begin(Order(action: action), on: subject) } catch {
      guard !isNoteRequired, error.code != .refused else { throw error }
    }
    do throws(OperationError) {
      let result = try body()
      try settle(subject.id, .succeeded(action))
      return result
    } catch {
      let failure = JobFailure(code: error.code.rawValue, message: error.message)
      var pins: [BranchPin]?
      if let machine = subject.machine { pins = try? self.pins(of: machine) }
      let isCommitted = pins?.contains { $0.isCommitted } == true
      _ = try? settle(
        subject.id, isCommitted ? .succeeded(.commit) : .failed(action, isUndone: true)
      ) { ($0.failure, $0.failed) = (failure, action.rawValue) }
      throw error
    }
  }
}

extension RecoveryAction {
  /// Whether it is done by who asks for it, and ends with that process.
  var takesNoJob: Bool { self == .disable }
}
