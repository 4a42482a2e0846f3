public import Bytes

/// How a recovery point was taken.
public enum PointKind: UInt8, Sendable {
  /// The disks as they were at one moment, as after a power cut.
  case crash = 0
  /// The applications had written out what they held.
  case application = 1

  /// The word used in names: `crash` or `app`.
  public var name: String { self == .crash ? "crash" : "app" }
}

/// How far the disks of a point agree with each other.
public enum PointConsistency: UInt8, Sendable {
  /// All disks are of one moment.
  case machine = 0
  /// Each disk is of one moment, but not of the same.
  case perDisk = 1
}

/// A disk as a recovery point knows it.
public struct PointDisk: Hashable, Sendable {
  /// Which disk.
  public var number: DiskNumber
  /// Its size at that point, in bytes.
  public var size: UInt64

  /// A disk of this number and size.
  public init(number: DiskNumber, size: UInt64) {
    self.number = number
    self.size = size
  }

  static func encode(_ disks: [PointDisk], into writer: inout ByteWriter) {
    writer.integer(UInt32(disks.count))
    for disk in disks {
      writer.integer(UInt32(disk.number))
      writer.integer(disk.size)
    }
  }

  static func decode(from reader: inout ByteReader) throws(ByteReader.ShortInput) -> [PointDisk] {
    let count = try reader.integer(UInt32.self)
    guard count <= Format.diskLimit else { throw ByteReader.ShortInput() }
    var disks: [PointDisk] = []
    for _ in 0..<count {
      let number = try reader.integer(UInt32.self)
      disks.append(
        PointDisk(number: DiskNumber(truncatingIfNeeded: number), size: try reader.integer()))
    }
    return disks
  }
}

/// A moment the disks of a machine can be brought back to.
public struct RecoveryPoint: Hashable, Sendable {
  /// The cut: everything up to this number belongs to the point.
  public let sequence: SequenceNumber
  /// When the disks were as the point shows them.
  public let time: Timestamp
  /// Crash-consistent or app-consistent.
  public let kind: PointKind
  /// Whether its disks are of one moment.
  public let consistency: PointConsistency
  /// False if it could not be told whether the source changed while it was read.
  public let sourceWatched: Bool
  /// The operator's name for it.
  public let label: String?
  /// Retention leaves it alone.
  public internal(set) var locked: Bool
  /// The disks it holds, by number.
  public let disks: [PointDisk]
  /// How many points of the same second and kind came before it.
  public let ordinal: UInt16
  /// The capture cycle that made it.
  let cycle: UInt64

  /// Its name: `20261120T103000Z-crash`; the second one of a second is `…-crash-2`.
  public var id: String {
    time.compact + "-" + kind.name + (ordinal == 0 ? "" : "-\(ordinal + 1)")
  }

  /// The size of a disk at this point; nil if the point does not hold the disk.
  public func size(of disk: DiskNumber) -> UInt64? {
    disks.first { $0.number == disk }?.size
  }
}

extension RecoveryPoint {
  /// The payload of the point's mark record.
  func encode() -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.integer(kind.rawValue)
    writer.integer(consistency.rawValue)
    writer.integer(UInt8(sourceWatched ? 1 : 0))
    writer.integer(UInt8(0))
    writer.integer(ordinal)
    writer.integer(UInt16(0))
    writer.integer(cycle)
    PointDisk.encode(disks, into: &writer)
    writer.text(label ?? "")
    return writer.bytes
  }

  /// Reads the payload of a mark record; nil if it is not one.
  init?(sequence: SequenceNumber, time: Timestamp, payload: [UInt8]) {
    let point = payload.withUnsafeBytes { bytes -> RecoveryPoint? in
      var reader = ByteReader(bytes)
      return try? RecoveryPoint(sequence: sequence, time: time, from: &reader)
    }
    guard let point else { return nil }
    self = point
  }

  private init(
    sequence: SequenceNumber, time: Timestamp, from reader: inout ByteReader
  ) throws(ByteReader.ShortInput) {
    guard let kind = PointKind(rawValue: try reader.integer()),
      let consistency = PointConsistency(rawValue: try reader.integer())
    else { throw ByteReader.ShortInput() }
    let watched = try reader.integer(UInt8.self) & 1 != 0
    try reader.skip(1)
    let ordinal = try reader.integer(UInt16.self)
    try reader.skip(2)
    let cycle = try reader.integer(UInt64.self)
    let disks = try PointDisk.decode(from: &reader)
    let label = try reader.text()
    self.init(
      sequence: sequence, time: time, kind: kind, consistency: consistency,
      sourceWatched: watched, label: label.isEmpty ? nil : label, locked: false, disks: disks,
      ordinal: ordinal, cycle: cycle)
  }
}

extension RecoveryPoint {
  /// The point that `new` became at a service elsewhere; see `NewPoint` for what the numbers mean.
  public init(_ new: NewPoint, sequence: SequenceNumber, time: Timestamp, ordinal: UInt16) {
    self.init(
      sequence: sequence, time: time, kind: new.kind, consistency: new.consistency,
      sourceWatched: new.sourceWatched, label: new.label, locked: false,
      disks: new.disks.sorted { $0.number < $1.number }, ordinal: ordinal, cycle: new.cycle)
  }
}
