public import Bytes

/// Where a log goes on: what the encoder of the next record has to know of those before.
///
/// It is also the cursor of a copy that was broken off: disks are copied one after another, each from
/// its first block up, so everything before `newest` is stored.
public struct LogPosition: Hashable, Sendable {
  /// The newest number given out.
  public internal(set) var sequence: SequenceNumber
  /// The newest record's time; times never go back within a log.
  public internal(set) var time: Timestamp
  var hint: RecordHint

  /// The beginning of a log.
  public static let start = LogPosition(
    sequence: .zero, time: Timestamp(rawValue: 0), hint: RecordHint())

  /// The disk that the newest record with content is about, and the blocks; nil if there is none.
  public var newest: (disk: DiskNumber, blocks: Range<UInt64>)? {
    guard hint.sequence > 0 else { return nil }
    let first = UInt64(hint.block)
    return (DiskNumber(truncatingIfNeeded: hint.disk), first..<first + UInt64(hint.count))
  }

  /// Passes a data or zero record.
  mutating func pass(_ header: RecordHeader) {
    (sequence, time, hint) = (header.sequence, header.time, RecordHint(header))
  }

  /// Passes the number that a new epoch or incarnation takes.
  mutating func passBranching() { sequence = sequence.next }

  /// Passes a mark made at `moment`, which becomes the newest record.
  public mutating func passMark(at moment: Timestamp) {
    sequence = sequence.next
    time = max(time, moment)
  }
}

extension LogPosition {
  /// Appends its 36 bytes.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(sequence.rawValue)
    writer.integer(time.rawValue)
    writer.integer(hint.sequence)
    writer.integer(hint.disk)
    writer.integer(hint.block)
    writer.integer(hint.count)
  }

  /// Takes what `encode` wrote.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    sequence = SequenceNumber(rawValue: try reader.integer())
    time = Timestamp(rawValue: try reader.integer())
    hint = RecordHint(
      sequence: try reader.integer(), disk: try reader.integer(), block: try reader.integer(),
      count: try reader.integer())
    guard hint.sequence <= sequence.rawValue else { throw ByteReader.ShortInput() }
  }
}
