internal import Bytes
internal import Catalog
internal import FileIO
internal import Vault

/// Branches that nothing stands for any more.
extension RecoveryDesk {
  /// The disks that a machine was failed over to which neither its log nor its record names: they may be the
  /// only copy of what was written to them, so they are removed only by who was told of them.
  func unnamedDisks(
    of machine: Identifier, _ record: RecoveryRecord?
  ) throws(OperationError) -> [Identifier] {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    // A MANIFEST that can't be read names none.
    let pins = (try? machines.first { $0.id == machine }?.snapshot())?.pins ?? []
    let named = pins.map(\.branch) + [record?.branch].compactMap { $0 }
    return try agents.failedOverDisks(
      of: machine, besides: named + (record?.replacedDisks ?? []))
  }

  /// Whether there are such disks of a machine whose replication is stopped, where they can be removed.
  func hasUnnamedDisks(
    of machine: Identifier, _ record: RecoveryRecord?
  ) throws(OperationError) -> Bool {
    guard record?.state == RecoveryState.replicationStopped.rawValue else { return false }
    return try !unnamedDisks(of: machine, record).isEmpty
  }

  /// Such disks for people: which, of when.
  func words(ofUnnamed disks: [Identifier]) -> String {
    disks.map { id in
      guard let known = try? vault.branch(id) else { return "branch \(id), which can't be read" }
      return "branch \(id) of \(known.created.wholeSeconds)"
    }.joined(separator: "; ")
  }

  /// Removes the branches of a machine at which no job works that another branch has taken the place of, as is
  /// noted, or that were drills; what else there is may be the only copy of what was written to it, and is told
  /// of.
  func sweep(_ machine: Machine, with parts: RecoveryParts) throws(OperationError) {
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: machine.id) }
    // A MANIFEST that can't be read says nothing of what is needed.
    guard record?.running == nil, let pins = try? pins(of: machine) else { return }
    for id in try unnamedDisks(of: machine.id, record) {
      note(
        .critical, "disks-without-pin", machine.name,
        "The vault holds disks that '\(machine.name)' was failed over to at one time (branch \(id)), and "
          + "its log does not name them any more. They are kept. \(Self.unnamedAdvice)")
    }
    let needed = pins.map(\.branch) + [record?.branch].compactMap { $0 }
    let replaced = record?.replaced ?? []
    let made = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    for id in made where !needed.contains(id) {
      guard replaced.contains(id) || isDrill(id, of: machine.id) else { continue }
      try parts.servers.end(id)
      try parts.branches.remove(id)
    }
    if record?.replaced != nil { try change(machine.id) { $0.replaced = nil } }
  }

  /// What to do about disks that nothing names.
  static let unnamedAdvice =
    "'tidemark vault rebuild', while the service does not run, has the log name them again, unless another "
    + "failover was begun since."

  private func isDrill(_ branch: Identifier, of machine: Identifier) -> Bool {
    guard let known = try? vault.branch(branch) else { return false }
    return known.machine == machine && known.purpose == .drill
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
      // A log that can't be written to keeps them until it is mended.
      return snapshot
    }
    return try inVault { () throws(VaultError) in try machine.snapshot() }
  }
}
