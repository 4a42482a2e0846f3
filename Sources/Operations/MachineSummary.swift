public import Bytes
public import Catalog
internal import FileIO
public import Vault

/// A machine in a vault, as lists show it.
public struct MachineSummary: Sendable {
  /// Its identifier.
  public let id: Identifier
  /// Its name; its identifier if its MANIFEST can't be read.
  public let name: String
  /// What it is; nil if its MANIFEST can't be read.
  public let configuration: MachineConfiguration?
  /// Its recovery points, the oldest first.
  public let points: [RecoveryPoint]
  /// The newest time its source vouches for.
  public let windowEnd: Timestamp?
  /// Bytes its files take in the vault.
  public let stored: UInt64
  /// Why it can't be read; nil if it can.
  public let problem: OperationError?
  /// Where it stands in its recovery as far as its MANIFEST tells, which knows no jobs; nil if that tells of no
  /// drill and of no failover.
  public let recovery: RecoveryStanding?
  /// The branch that its recovery stands on; nil if there is none.
  public let branch: Identifier?
  /// The recovery point of that, by its id; nil if there is none, or a commit has deleted it.
  public let recoveredFrom: ChosenPoint?

  /// The size of a disk at the newest recovery point that has it.
  public func size(of disk: DiskNumber) -> UInt64? {
    points.last { $0.size(of: disk) != nil }?.size(of: disk)
  }

  /// Looks at one machine.
  public init(_ machine: Machine) {
    id = machine.id
    stored = (try? machine.occupiedBytes()) ?? 0
    do throws(VaultError) {
      let snapshot = try machine.snapshot()
      name = snapshot.configuration.name
      configuration = snapshot.configuration
      points = snapshot.points
      windowEnd = snapshot.windowEnd
      problem = nil
      recovery = RecoveryStanding(snapshot)
      let pin = snapshot.recoveryPin
      branch = pin?.branch
      recoveredFrom = snapshot.points.first { $0.sequence == pin?.cut }.map {
        ChosenPoint($0, asked: $0.id)
      }
    } catch {
      name = machine.name
      configuration = nil
      points = []
      windowEnd = nil
      problem = OperationError(error)
      (recovery, branch, recoveredFrom) = (nil, nil, nil)
    }
  }

  /// All machines of a vault, by name.
  public static func all(in vault: Vault) throws(OperationError) -> [MachineSummary] {
    try inVault { () throws(VaultError) in try vault.machines() }.map { MachineSummary($0) }
  }

  /// The machine of that name.
  ///
  /// - Throws: `.unknown`, or `.damaged` if its MANIFEST can't be read.
  public static func named(
    _ name: String, in vault: Vault
  ) throws(OperationError) -> MachineSummary {
    let summary = try removable(name, in: vault)
    if let problem = summary.problem { throw problem }
    return summary
  }

  /// Looks whether there is a machine of that name.
  ///
  /// - Throws: `.unknown`.
  public static func check(_ name: String, in vault: Vault) throws(OperationError) {
    _ = try inVault { () throws(VaultError) in try vault.machine(named: name) }
  }

  /// The machine of that name, damaged or not.
  ///
  /// - Throws: `.unknown`.
  public static func removable(
    _ name: String, in vault: Vault
  ) throws(OperationError) -> MachineSummary {
    MachineSummary(try inVault { () throws(VaultError) in try vault.machine(named: name) })
  }
}

/// A vault, as `vault info` shows it.
public struct VaultSummary: Sendable {
  /// Its directory.
  public let path: String
  /// What `vault.json` says.
  public let description: VaultDescription
  /// Its machines, by name.
  public let machines: [MachineSummary]
  /// Bytes free where it lies.
  public let free: UInt64
  /// Bytes of the file system it lies on.
  public let total: UInt64

  /// Looks at a vault.
  public init(_ vault: Vault) throws(OperationError) {
    path = vault.path
    description = vault.description
    machines = try MachineSummary.all(in: vault)
    (free, total) = try inVault { () throws(VaultError) in try vault.space() }
  }

  /// Bytes the machines' files take.
  public var stored: UInt64 { machines.reduce(0) { $0 + $1.stored } }
}

extension RecoveryStanding {
  /// Where a machine stands as its MANIFEST alone tells; nil if it is just protected, or is not.
  init?(_ snapshot: MachineSnapshot) {
    guard let pin = snapshot.recoveryPin else {
      guard snapshot.epoch > 0 else { return nil }
      self.init(.replicationStopped)
      return
    }
    self.init(pin.purpose == .drill ? .testActive : pin.isCommitted ? .committed : .failedOver)
    isFlat = pin.isFlat
  }
}

extension MachineSnapshot {
  /// What the machine's failover stands on, or else its drill.
  fileprivate var recoveryPin: BranchPin? {
    pins.last { $0.purpose == .failover } ?? pins.last
  }
}
