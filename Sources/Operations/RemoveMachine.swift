internal import Capture
internal import FileIO
public import Vault

/// Removes a machine from a vault, with all its recovery points.
public struct RemoveMachine: Sendable {
  /// The machine's name.
  public var name: String

  /// Describes the machine to remove.
  public init(name: String) { self.name = name }

  /// Looks whether there is such a machine, and whether a drill or a failover of it stands in the way of
  /// removing it; what else does is told by `run`.
  ///
  /// - Throws: `.unknown`; `.refused` with what to do first.
  public func check(in vault: Vault) throws(OperationError) -> MachineSummary {
    let machine = try inVault { () throws(VaultError) in try vault.machine(named: name) }
    do throws(VaultError) { try vault.checkIsFree(machine) } catch {
      // A MANIFEST that can't be read is told of where it is needed.
      guard error.code != .inUse else { throw OperationError(error) }
    }
    return MachineSummary(machine)
  }

  /// Takes the vault's lock, and removes the machine and the clones kept of its disks.
  ///
  /// - Returns: what could not be cleared away beside its disks, in sentences.
  /// - Throws: `.refused` while somebody reads a disk of it, also in a mount.
  public func run(in vault: Vault) throws(OperationError) -> [String] {
    try run(in: try WritableVault(vault))
  }

  /// Removes the machine and the clones kept of its disks.
  ///
  /// - Returns: what could not be cleared away beside its disks, in sentences.
  /// - Throws: `.refused` while somebody reads a disk of it, also in a mount, `.locked` while it
  ///   is written to.
  public func run(in writable: WritableVault) throws(OperationError) -> [String] {
    let vault = writable.vault
    let machine = try inVault { () throws(VaultError) in try vault.machine(named: name) }
    let summary = MachineSummary(machine)
    try writable.writing(to: machine) { () throws(OperationError) in
      try writable.changingList { () throws(OperationError) in
        do throws(VaultError) {
          try vault.removeMachine(named: name, lock: writable.lock)
        } catch {
          let users = error.code == .inUse ? MachineUsers(machine).sentences : []
          throw OperationError(
            OperationError(error).code, ([error.message] + users).joined(separator: " "))
        }
      }
    }
    var left: [String] = []
    for disk in summary.configuration?.disks ?? [] {
      do throws(CaptureError) {
        try SourceCheck.forgetClones(of: disk, machine: summary.id)
      } catch {
        // A source that is gone took its clones along.
        guard error.code != .sourceMissing else { continue }
        left.append("Clones of disk \(disk.number) may be left: \(error.message)")
      }
    }
    return left
  }
}
