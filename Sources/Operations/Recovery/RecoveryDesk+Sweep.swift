internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// Branches that nothing stands for any more.
extension RecoveryDesk {
  /// The branches of a machine that can be read and that none of its pins names.
  func unpinnedBranches(
    of machine: Identifier, _ pinned: [Identifier]
  ) throws(OperationError) -> [Identifier] {
    try inVault { () throws(VaultError) in try vault.branchIdentifiers() }.filter { id in
      !pinned.contains(id) && (try? vault.branch(id))?.machine == machine
    }
  }

  /// Removes the branches of a machine at which no job works that another branch has taken the place of, or
  /// that were drills; what else there is may be the only copy of what was written to it, and is told of.
  func sweep(_ machine: Machine, with parts: RecoveryParts) throws(OperationError) {
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: machine.id) }
    // A MANIFEST that can't be read says nothing of what is needed.
    guard record?.running == nil, let pins = try? pins(of: machine) else { return }
    let isReplaced = pins.contains { $0.purpose == .failover }
    for id in try unpinnedBranches(of: machine.id, pins.map(\.branch)) where id != record?.branch {
      guard let branch = try? vault.branch(id) else { continue }
      guard branch.purpose == .drill || isReplaced else {
        note(
          .critical, "disks-without-pin", machine.name,
          "The vault holds disks that '\(machine.name)' was failed over to at one time (branch \(id)), and "
            + "its log does not name them any more. They are kept.")
        continue
      }
      try parts.servers.end(id)
      try parts.branches.remove(id)
    }
  }

  /// Lets go of the points of drills whose disks were never made, or are gone.
  func releaseEmptyDrills(
    of machine: Machine, _ snapshot: MachineSnapshot
  ) throws(OperationError) -> MachineSnapshot {
    let made = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    let empty = snapshot.pins.filter { $0.purpose == .drill && !made.contains($0.branch) }
    guard !empty.isEmpty else { return snapshot }
    do throws(OperationError) {
      try writing(to: machine) { log throws(OperationError) in
        try inVault { () throws(VaultError) in for pin in empty { try log.release(pin.branch) } }
      }
    } catch {
      // A log that can't be written to keeps them; the clean-up of the drill lets them go.
      return snapshot
    }
    return try inVault { () throws(VaultError) in try machine.snapshot() }
  }
}
