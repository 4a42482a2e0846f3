internal import Capture
public import Vault

/// Removes a machine from a vault, with all its recovery points.
public struct RemoveMachine: Sendable {
  /// The machine's name.
  public var name: String

  /// Describes the machine to remove.
  public init(name: String) { self.name = name }

  /// Removes the machine and the clones kept of its disks.
  ///
  /// - Returns: what could not be cleared away beside its disks, in sentences.
  /// - Throws: `.refused` while a mount or another reader has the machine open.
  public func run(in vault: Vault) throws(OperationError) -> [String] {
    let lock = try inVault { () throws(VaultError) in try vault.lock() }
    let summary = try MachineSummary.removable(name, in: vault)
    try inVault { () throws(VaultError) in try vault.removeMachine(named: name, lock: lock) }
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
