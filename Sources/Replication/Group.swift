public import Bytes
internal import Crypto
public import Vault

/// One group commit: records that follow each other, what they end with, and the machine's signature.
///
/// The signature covers the vault, the machine, the epoch, the session, the newest number and all the
/// rest, so that whoever stands between agent and service can delay a group but neither change nor
/// invent one, nor bring it into another session than the one it was made in; and since the log takes each
/// number once and in order, an old group sent again is refused.
public struct Group: Message, Hashable {
  /// What a group ends with.
  public enum End: Hashable, Sendable {
    /// Nothing but that its records become durable.
    case commit
    /// A recovery point.
    case mark(NewPoint)
    /// What was stored since the newest recovery point is given up; such a group has no records.
    case abandon
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.group
  /// Bytes of records in a group at the most.
  public static let recordLimit = 7 << 19
  /// A P-256 signature in DER form has at most 72 bytes.
  private static let signatureLimit = 128

  /// The newest number once the group is stored.
  public var last: SequenceNumber
  /// What it ends with.
  public var end: End
  /// The records, one behind the other.
  public var records: [UInt8]
  /// The machine's ECDSA signature of ``digest(vault:machine:epoch:session:)``.
  public var signature: [UInt8] = []

  /// A group that is still to be signed.
  public init(last: SequenceNumber, end: End, records: [UInt8]) {
    (self.last, self.end, self.records) = (last, end, records)
  }

  /// What the group takes of the window.
  public var cost: Int { records.count + Self.overhead }
  /// What a group takes of the window beside its records.
  public static let overhead = 1024

  /// What is signed: a SHA-256 digest.
  public func digest(
    vault: Identifier, machine: Identifier, epoch: UInt32, session: Identifier
  ) -> [UInt8] {
    var writer = ByteWriter(capacity: 256)
    writer.append(contentsOf: "tidemark group 1\n".utf8)
    writer.identifier(vault)
    writer.identifier(machine)
    writer.integer(epoch)
    writer.identifier(session)
    encodeHead(into: &writer)
    var hash = SHA256()
    hash.update(data: writer.bytes)
    records.withUnsafeBytes { hash.update(bufferPointer: $0) }
    return Array(hash.finalize())
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let length = Int(try reader.integer(UInt16.self))
    guard length <= Self.signatureLimit else { throw ByteReader.ShortInput() }
    signature = Array(try reader.bytes(length))
    last = SequenceNumber(rawValue: try reader.integer())
    switch try reader.integer(UInt8.self) {
    case 0: end = .commit
    case 1: end = .mark(try NewPoint(from: &reader))
    case 2: end = .abandon
    default: throw ByteReader.ShortInput()
    }
    let count = Int(try reader.integer(UInt32.self))
    guard count <= Self.recordLimit, end != .abandon || count == 0 else {
      throw ByteReader.ShortInput()
    }
    records = Array(try reader.bytes(count))
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(UInt16(signature.count))
    writer.append(contentsOf: signature)
    encodeHead(into: &writer)
    writer.append(contentsOf: records)
  }

  private func encodeHead(into writer: inout ByteWriter) {
    writer.integer(last.rawValue)
    switch end {
    case .commit: writer.integer(UInt8(0))
    case .mark(let point):
      writer.integer(UInt8(1))
      point.encode(into: &writer)
    case .abandon: writer.integer(UInt8(2))
    }
    writer.integer(UInt32(records.count))
  }
}

extension NewPoint {
  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let kind = PointKind(rawValue: try reader.integer()),
      let consistency = PointConsistency(rawValue: try reader.integer())
    else { throw ByteReader.ShortInput() }
    let watched = try reader.flag()
    let cycle = try reader.integer(UInt64.self)
    let time = Timestamp(rawValue: try reader.integer())
    let label = try reader.shortText()
    let disks = try reader.list(limit: 64) { reader throws(ByteReader.ShortInput) in
      try PointDisk(from: &reader)
    }
    self.init(
      kind: kind, consistency: consistency, sourceWatched: watched,
      label: label.isEmpty ? nil : label, cycle: cycle, disks: disks, time: time)
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(kind.rawValue)
    writer.integer(consistency.rawValue)
    writer.flag(sourceWatched)
    writer.integer(cycle)
    writer.integer(time.rawValue)
    writer.text(label ?? "")
    writer.list(disks) { $1.encode(into: &$0) }
  }
}
