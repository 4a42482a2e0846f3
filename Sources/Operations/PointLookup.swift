public import Bytes
public import Vault

/// Finds a recovery point, or a disk of one.
public struct PointLookup: Sendable {
  /// The machine at the time of the look.
  public let snapshot: MachineSnapshot
  /// The point that answers, and how far it is from what was asked.
  public let resolved: ResolvedPoint

  /// Finds the point that a person calls `text`: `latest`, `latest-app-consistent`, an id, a label
  /// or an instant.
  ///
  /// - Throws: `.unknown`.
  public init(
    _ text: String, of machine: String, in vault: Vault, now: Timestamp
  ) throws(OperationError) {
    let snapshot = try inVault { () throws(VaultError) in
      try vault.machine(named: machine).snapshot()
    }
    self.snapshot = snapshot
    resolved = try inVault { () throws(VaultError) in
      try snapshot.resolve(PointSelector(text), now: now)
    }
  }

  /// The point.
  public var point: RecoveryPoint { resolved.point }

  /// A disk at the point: the one of that number, or the only one there is.
  ///
  /// - Throws: `.unknown`, or `.refused` if there are several and none was named.
  public func disk(_ number: DiskNumber?) throws(OperationError) -> DiskReader {
    let chosen: DiskNumber
    if let number {
      chosen = number
    } else {
      guard let only = point.disks.first, point.disks.count == 1 else {
        let numbers = point.disks.map { String($0.number) }.joined(separator: ", ")
        throw OperationError(
          .refused, "Recovery point '\(point.id)' has the disks \(numbers); choose with --disk.")
      }
      chosen = only.number
    }
    return try inVault { () throws(VaultError) in try snapshot.disk(chosen, at: point) }
  }
}
