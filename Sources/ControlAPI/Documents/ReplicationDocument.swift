public import Capture
internal import Vault

/// What a replication made, as JSON.
public struct ReplicationDocument: Codable, Sendable {
  /// What a cycle did to a disk, as JSON.
  public struct Disk: Codable, Sendable {
    /// Which disk.
    public let number: Int
    /// Bytes.
    public let size: UInt64
    /// `scan` or `reflink`.
    public let capture: String
    /// Bytes that were compared, holes included.
    public let examinedBytes: UInt64
    /// Bytes of pages that differed.
    public let changedBytes: UInt64
    /// Why all of a cloned disk was compared.
    public let comparedWholeBecause: String?
    /// How long writes to the image stood still.
    public let cloneSeconds: Double?
  }

  /// What a cycle did, as JSON.
  public struct Cycle: Codable, Sendable {
    /// The recovery point it made.
    public let point: PointDocument
    /// Whether it finished a cycle that had been interrupted.
    public let resumed: Bool
    /// Bytes that were appended to the vault.
    public let storedBytes: UInt64
    /// How long it took.
    public let seconds: Double
    /// Disk by disk.
    public let disks: [Disk]
    /// What the operator should know, in whole sentences.
    public let advice: [String]
  }

  /// The machine's name.
  public let machine: String
  /// One cycle, or two if the first finished one that had been interrupted.
  public private(set) var cycles: [Cycle] = []

  /// A replication that has made nothing yet.
  public init(machine: String) { self.machine = machine }

  /// Adds a cycle that made its point.
  public mutating func add(_ cycle: CaptureResult) {
    cycles.append(
      Cycle(
        point: PointDocument(cycle.point, of: machine), resumed: cycle.resumed,
        storedBytes: cycle.stored, seconds: Self.seconds(cycle.elapsed),
        disks: cycle.disks.map { disk in
          Disk(
            number: Int(disk.number), size: disk.size, capture: disk.mode.name,
            examinedBytes: disk.examined, changedBytes: disk.changed,
            comparedWholeBecause: disk.whole == .scan ? nil : disk.whole?.rawValue,
            cloneSeconds: disk.cloneTime.map(Self.seconds))
        }, advice: cycle.advice))
  }

  private static func seconds(_ duration: Duration) -> Double {
    let (seconds, attoseconds) = duration.components
    return Double(seconds) + Double(attoseconds / 1_000_000_000_000_000) / 1000
  }
}

/// What may be chosen for a replication, as JSON.
public struct ReplicationOptionsDocument: Codable, Sendable {
  /// A name for the recovery point.
  public var label: String?
  /// Whether a disk may have another size than at the last recovery point; no if nothing is said.
  public var acceptSize: Bool?
  /// Whether everything is compared with the replica; no if nothing is said.
  public var resynchronise: Bool?
  /// Percent of a file system that must be free for clones to be kept there, 0 to 90.
  public var cloneFloor: Int?

  /// These choices.
  public init(_ options: CaptureOptions) {
    label = options.label
    acceptSize = options.acceptSize
    resynchronise = options.resynchronises
    cloneFloor = options.cloneFloorPercent
  }

  var options: CaptureOptions {
    var options = CaptureOptions()
    options.label = label
    options.acceptSize = acceptSize ?? false
    options.resynchronises = resynchronise ?? false
    options.cloneFloorPercent = cloneFloor ?? options.cloneFloorPercent
    return options
  }
}
