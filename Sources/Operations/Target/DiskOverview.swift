internal import Bytes
internal import Catalog
public import ImageFormats
internal import Vault

/// A disk of a machine, and what there is to know of it before it is recovered.
public struct DiskOverview: Sendable {
  /// How a disk is replicated.
  public enum Replication: String, Sendable, CaseIterable {
    /// Its machine is not protected.
    case unprotected
    /// It is left out.
    case excluded
    /// No recovery point has it yet.
    case initialReplication
    /// The newest recovery point has it.
    case replicated
    /// Its machine is paused.
    case paused
    /// It is compared with its replica.
    case resynchronising
    /// It waits to be compared with its replica.
    case resynchronisationRequired
  }

  /// Which disk.
  public let number: Int
  /// Whether it holds the operating system.
  public let isSystem: Bool
  /// How it is replicated.
  public let replication: Replication
  /// What of it could start a machine, at the newest recovery point; nil if nobody could look.
  public let bootLayout: BootLayout?
}

extension VaultService {
  /// The disks of a machine, by number. Reads the first sectors of each that the newest recovery point has.
  ///
  /// - Throws: `.unknown`.
  public func disks(of machine: MachineOverview) throws(OperationError) -> [DiskOverview] {
    let target = try target(of: machine.name)
    let kept = machine.summary?.configuration?.disks.map { Int($0.number) } ?? []
    let told = machine.agent?.agent.disks.map(\.number) ?? []
    return Set(kept + told).sorted().map { number in
      DiskOverview(
        number: number, isSystem: number == target.systemDisk,
        replication: machine.replication(of: number, isKept: kept.contains(number)),
        bootLayout: bootLayout(of: number, machine.summary))
    }
  }

  /// Damage is told by whoever reads the disk for its own sake: here it is one that nobody could look at.
  private func bootLayout(of number: Int, _ summary: MachineSummary?) -> BootLayout? {
    guard let summary, let point = summary.points.last else { return nil }
    let disk = DiskNumber(truncatingIfNeeded: number)
    guard point.size(of: disk) != nil,
      let snapshot = try? vault.machine(named: summary.name).snapshot(),
      let content = try? snapshot.disk(disk, at: point)
    else { return nil }
    return try? BootLayout(of: content)
  }
}

extension MachineOverview {
  fileprivate func replication(of disk: Int, isKept: Bool) -> DiskOverview.Replication {
    guard state != .unprotected else { return .unprotected }
    guard isKept else { return .excluded }
    switch state {
    case .paused: return .paused
    case .resynchronising: return .resynchronising
    case .resynchronisationRequired: return .resynchronisationRequired
    case .unprotected, .initialReplication, .protected, .manual:
      return hasPoint(of: disk) ? .replicated : .initialReplication
    // Nothing is replicated any more, and a commit has removed the recovery points.
    case .failedOver, .replicationStopped: return hasPoint(of: disk) ? .replicated : .unprotected
    }
  }

  private func hasPoint(of disk: Int) -> Bool {
    summary?.points.last?.size(of: DiskNumber(truncatingIfNeeded: disk)) != nil
  }
}
