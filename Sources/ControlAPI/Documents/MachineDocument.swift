internal import Bytes
internal import Catalog
public import Operations
internal import Vault

/// A machine, as JSON.
public struct MachineDocument: Codable, Sendable {
  /// A disk of a machine, as JSON.
  public struct Disk: Codable, Sendable {
    /// Which disk.
    public let number: Int
    /// The image file or device.
    public let source: String
    /// `scan` or `reflink`.
    public let capture: String
    /// `raw` or `vhd`.
    public let format: String
    /// Bytes, at the newest recovery point.
    public var size: UInt64?
    /// Whether it is not replicated; none if no agent tells of it.
    public var isExcluded: Bool?
    /// `os` or `data`; only where one machine is asked for, as all that follows.
    public var role: String?
    /// `unprotected`, `excluded`, `initialReplication`, `replicated`, `paused`, `resynchronising` or
    /// `resynchronisationRequired`.
    public var replication: String?
    /// What of it could start a machine, at the newest recovery point; none if that was not checked.
    public var bootLayout: BootLayoutDocument?
  }

  /// Its identifier.
  public let id: String
  /// Its name.
  public internal(set) var name: String
  /// `linux` or `windows`.
  public let operatingSystem: String?
  /// Its disks.
  public internal(set) var disks: [Disk]
  /// How many recovery points it has.
  public let points: Int
  /// The id of the oldest.
  public let oldestPoint: String?
  /// The id of the newest.
  public let newestPoint: String?
  /// The newest time its source vouches for.
  public let windowEnd: String?
  /// Bytes its files take in the vault.
  public let storedBytes: UInt64
  /// The id of the newest crash-consistent one.
  public let newestCrashPoint: String?
  /// The id of the newest app-consistent one.
  public let newestAppPoint: String?
  /// Why it can't be read.
  public let problem: String?
  /// `unprotected`, `initialReplication`, `protected`, `paused`, `resynchronising`,
  /// `resynchronisationRequired`, `failedOver`, `replicationStopped`, or `manual` for one without an agent;
  /// none where no service tells, as all that follows.
  public internal(set) var state: String?
  /// `healthy`, `warning` or `critical`; none for one that is not protected.
  public internal(set) var health: String?
  /// Why it is not healthy.
  public internal(set) var reasons: [String]?
  /// How old the newest moment is that it could be brought back to.
  public internal(set) var rpoSeconds: Double?
  /// How old that may be before there is a warning.
  public internal(set) var rpoThresholdSeconds: Int?
  /// Seconds between the beginnings of two cycles.
  public internal(set) var cycleSeconds: Int?
  /// Seconds between two app-consistent points; 0 for none.
  public internal(set) var applicationSeconds: Int?
  /// Its internal address.
  public internal(set) var address: String?
  /// What it calls itself.
  public internal(set) var hostName: String?
  /// The version of its agent.
  public internal(set) var agentVersion: String?
  /// When its agent was last heard of.
  public internal(set) var lastContact: String?
  /// Whether its agent is connected.
  public internal(set) var isConnected: Bool?
  /// What its agent does: `waiting`, `copying`, `cycling` or `resynchronising`.
  public internal(set) var activity: String?
  /// Bytes of its disks that the present cycle has looked at.
  public internal(set) var examinedBytes: UInt64?
  /// Bytes of its disks that the present cycle looks at in all.
  public internal(set) var totalBytes: UInt64?
  /// Why its newest cycle made no recovery point.
  public internal(set) var failure: String?
  /// How it is replicated; none for one that is not protected or has no agent, as what follows.
  public internal(set) var settings: SettingsDocument?
  /// How it stands with its replica.
  public internal(set) var resynchronisation: ResynchronisationDocument?
  /// How it stands in its recovery, and what may be done.
  public internal(set) var recovery: RecoveryDocument?
  /// Whether its machine of a drill or a failover runs; none in a list, or if there is none.
  public internal(set) var power: PowerDocument?
  /// What it is to be once it is recovered; none in a list.
  public internal(set) var target: TargetDocument?
  /// What most of the time went to lately: `reading`, `compressing`, `link` or `vault`; none in a list, or
  /// if there was nothing to do.
  public internal(set) var bottleneck: String?

  /// Describes a machine.
  public init(_ machine: MachineSummary) {
    id = machine.id.description
    name = machine.name
    operatingSystem = machine.configuration?.operatingSystem.name
    disks = (machine.configuration?.disks ?? []).map { disk in
      Disk(
        number: Int(disk.number), source: disk.path, capture: disk.capture.name,
        format: disk.format.name, size: machine.size(of: disk.number))
    }
    points = machine.points.count
    oldestPoint = machine.points.first?.id
    newestPoint = machine.points.last?.id
    newestCrashPoint = machine.points.last { $0.kind == .crash }?.id
    newestAppPoint = machine.points.last { $0.kind == .application }?.id
    windowEnd = machine.windowEnd?.iso8601
    storedBytes = machine.stored
    problem = machine.problem?.message
  }

  /// Describes a machine that the vault holds nothing of.
  init(unprotected machine: MachineOverview) {
    (id, name) = (machine.id.description, machine.name)
    operatingSystem = machine.agent?.agent.operatingSystem
    disks = (machine.agent?.agent.disks ?? []).map { Disk($0, isExcluded: nil) }
    (points, storedBytes) = (0, 0)
    (oldestPoint, newestPoint, newestCrashPoint, newestAppPoint) = (nil, nil, nil, nil)
    (windowEnd, problem) = (nil, nil)
  }
}

/// The machines of a vault, as JSON.
public struct MachineListDocument: Codable, Sendable {
  /// The machines, by name.
  public let machines: [MachineDocument]

  init(_ machines: [MachineOverview]) { self.machines = machines.map { MachineDocument($0) } }

  /// Describes machines.
  public init(_ machines: [MachineSummary]) { self.machines = machines.map { MachineDocument($0) } }
}

/// A machine to add, as JSON.
public struct NewMachineDocument: Codable, Sendable {
  /// Its name.
  public var name: String
  /// `linux` or `windows`; `linux` if nothing is said.
  public var operatingSystem: String?
  /// The image files or devices of its disks on the service's host, absolute, disk 0 first.
  public var disks: [String]
  /// `scan` or `reflink`; `scan` if nothing is said.
  public var capture: String?
  /// `raw` or `vhd`; by the name of each file if nothing is said.
  public var diskFormat: String?

  /// A machine of these properties.
  public init(_ machine: AddMachine) {
    name = machine.name
    operatingSystem = machine.operatingSystem.name
    disks = machine.disks
    capture = machine.capture.name
    diskFormat = machine.format?.name
  }

  /// The operation that adds it.
  ///
  /// - Throws: `.refused` for a word that is none of those there are, or a path that depends on a
  ///   working directory.
  func operation() throws(OperationError) -> AddMachine {
    for path in disks where !path.isEmpty && !path.hasPrefix("/") {
      throw OperationError(.refused, "The path of a disk must begin with '/', unlike '\(path)'.")
    }
    return AddMachine(
      name: name,
      operatingSystem: try Self.choice(operatingSystem, "operatingSystem") ?? .linux,
      disks: disks, capture: try Self.choice(capture, "capture") ?? .scan,
      format: try Self.choice(diskFormat, "diskFormat"))
  }

  private static func choice<Value: CaseIterable>(
    _ word: String?, _ field: String
  ) throws(OperationError) -> Value? {
    guard let word else { return nil }
    for value in Value.allCases where String(describing: value) == word { return value }
    let words = Value.allCases.map { "'\($0)'" }.joined(separator: ", ")
    throw OperationError(.refused, "\(field) is one of \(words), not '\(word)'.")
  }
}

/// What was left undone beside an operation's purpose, as JSON.
public struct RemarksDocument: Codable, Sendable {
  /// Whole sentences; empty if nothing was.
  public let remarks: [String]

  /// Describes these remarks.
  public init(_ remarks: [String] = []) { self.remarks = remarks }
}
