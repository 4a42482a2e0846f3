internal import Capture
public import Vault

/// Removes a machine from a vault, with all its recovery points.
public struct RemoveMachine: Sendable {
  /// The machine's name.
  public var name: String

  /// Describes the machine to remove.
  public init(name: String) { self.name = name }

  /// Takes the vault's lock, and removes the machine and the clones kept of its disks.
  ///
  /// - Returns: what could not be cleared away beside its disks, in sentences.
  /// - Throws: `.refused` while a mount or another reader has the machine open.
  public func run(in vault: Vault) throws(OperationError) -> [String] {
    try run(in: try WritableVault(vault))
  }

  /// Removes the machine and the clones kept of its disks.
  ///
  /// - Returns: what could not be cleared away beside its disks, in sentences.
  /// - Throws: `.refused` while a mount or another reader has the machine open, `.locked` while it
  ///   is written to.
  public func run(in writable: WritableVault) throws(OperationError) -> [String] {
    let vault = writable.vault
    let machine = try inVault { () throws(VaultError) in try vault.machine(named: name) }
    let summary = MachineSummary(machine)
    try writable.writing(to: machine) { () throws(OperationError) in
      try writable.changingList { () throws(OperationError) in
        try inVault { () throws(VaultError) in
          try vault.removeMachine(named: name, lock: writable.lock)
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
