public import Bytes
internal import FileIO
public import Vault

/// The branches of a vault in service.
public struct VaultBranches: RecoveryBranches {
  private let writable: WritableVault

  /// The branches of that vault.
  public init(_ writable: WritableVault) { self.writable = writable }

  /// Makes the branch of a pin that is durable.
  public func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError) {
    let vault = writable.vault
    guard try !identifiers().contains(pin.branch) else { return }
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    guard let point = snapshot.points.first(where: { $0.sequence == pin.cut }) else {
      throw OperationError(
        .failed, "The recovery point that the disks of '\(machine.name)' are to be made of is gone."
      )
    }
    try writable.changingList { () throws(OperationError) in
      try inVault { () throws(VaultError) in
        _ = try vault.makeBranch(
          NewBranch(id: pin.branch, name: name, point: point, budget: budget), of: machine,
          lock: writable.lock)
      }
    }
  }

  /// Removes a branch with all that was written to it; `.locked` while it is served, or read.
  public func remove(_ branch: Identifier) throws(OperationError) {
    guard try identifiers().contains(branch) else { return }
    try writable.changingList { () throws(OperationError) in
      do throws(VaultError) {
        try writable.vault.removeBranch(branch, lock: writable.lock)
      } catch {
        guard error.code == .inUse else { throw OperationError(error) }
        throw OperationError(.locked, error.message)
      }
    }
  }

  /// All branches that are whole and can be read.
  public func all() throws(OperationError) -> [BranchDescription] {
    try identifiers().compactMap { try? writable.vault.branch($0) }
  }

  private func identifiers() throws(OperationError) -> [Identifier] {
    try inVault { () throws(VaultError) in try writable.vault.branchIdentifiers() }
  }
}
