public import Bytes
internal import Catalog
internal import Dispatch
internal import Synchronization
public import Vault

/// Damage that is met while a log is written to.
extension AgentHost {
  /// Looks what the damage hurts, once for each that is told of: a replica that can't be read in full has to
  /// be resynchronised, and of what hurts older recovery points only, an event tells.
  public func damaged(_ machine: Identifier, _ reason: String) {
    let isNew = state.withLock { $0.damages.updateValue(reason, forKey: machine) != reason }
    guard isNew else { return }
    // The agent goes on meanwhile: the index of a large machine takes a while.
    DispatchQueue.global().async { [self] in
      do {
        try lookAtDamage(of: machine, reason)
      } catch {
        // It is looked into again when it is met again.
        state.withLock { $0.damages[machine] = nil }
      }
    }
  }

  private func lookAtDamage(
    of id: Identifier, _ reason: String
  ) throws(OperationError) {
    vault.forgetIndexPages()
    let found = try inVault { () throws(VaultError) -> (Machine, CheckReport)? in
      guard let machine = try vault.machines().first(where: { $0.id == id }) else { return nil }
      return (machine, try MachineCheck(machine).runIndex())
    }
    guard let (machine, report) = found else { return }
    if let damage = report.newestDamage {
      return try require(id, because: damage.reasonToResynchronise)
    }
    note(
      .warning, "vault-damaged", of: machine.name,
      "\(reason) The newest recovery point is whole; 'tidemark verify \(machine.name)' tells which are "
        + "hurt.")
  }
}

extension Damage {
  /// Why a machine whose newest recovery point it hurts has to be resynchronised.
  public var reasonToResynchronise: String {
    let place = disk.map { "disk \($0)" } ?? "the disks"
    return
      "The vault can't read all it has stored of \(place) at the newest recovery point: \(what) "
      + "('\(file)' at \(offset))."
  }
}
