internal import Bytes
public import Vault

/// A recovery point, as JSON.
public struct PointDocument: Codable, Sendable {
  /// A disk at a recovery point, as JSON.
  public struct Disk: Codable, Sendable {
    /// Which disk.
    public let number: Int
    /// Bytes.
    public let size: UInt64
  }

  /// The instant that was asked for, and how far the point is from it, as JSON.
  public struct Asked: Codable, Sendable {
    /// The instant.
    public let instant: String
    /// What was asked for, word for word.
    public let spelling: String
    /// Seconds from the point to the instant.
    public let distanceSeconds: Double
    /// Whether the instant lies beyond what the source vouches for.
    public let clamped: Bool

    /// Nil where no instant was asked for.
    public init?(_ resolved: ResolvedPoint, spelling: String) {
      guard let asked = resolved.asked, let distance = resolved.distance else { return nil }
      instant = asked.iso8601
      self.spelling = spelling
      distanceSeconds = Double(distance) / 1_000_000_000
      clamped = resolved.clamped
    }
  }

  /// Names it within its machine.
  public let id: String
  /// The machine's name.
  public let machine: String
  /// The moment it shows.
  public let time: String
  /// `crash` or `app`.
  public let kind: String
  /// `machine` or `per-disk`.
  public let consistency: String
  /// Whether the source was watched while it was read.
  public let sourceWatched: Bool
  /// Whether nothing prunes it.
  public let locked: Bool
  /// The operator's name for it.
  public let label: String?
  /// Its disks.
  public let disks: [Disk]
  /// The instant that was asked for.
  public let asked: Asked?

  /// Describes a point.
  public init(_ point: RecoveryPoint, of machine: String, asked: Asked? = nil) {
    id = point.id
    self.machine = machine
    time = point.time.iso8601
    kind = point.kind.name
    consistency = point.consistency == .machine ? "machine" : "per-disk"
    (sourceWatched, locked, label) = (point.sourceWatched, point.locked, point.label)
    disks = point.disks.map { Disk(number: Int($0.number), size: $0.size) }
    self.asked = asked
  }

  /// What sets it apart, in a few words each.
  public var remarks: [String] {
    var remarks: [String] = []
    if consistency != "machine" { remarks.append("disks of different moments") }
    if !sourceWatched { remarks.append("source not watched while it was read") }
    if locked { remarks.append("locked") }
    return remarks
  }
}

/// The recovery points of a machine, as JSON.
public struct PointListDocument: Codable, Sendable {
  /// The machine's name.
  public let machine: String
  /// Its points, the oldest first.
  public let points: [PointDocument]

  /// Describes points.
  public init(machine: String, points: [RecoveryPoint]) {
    self.machine = machine
    self.points = points.map { PointDocument($0, of: machine) }
  }
}
