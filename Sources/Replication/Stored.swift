public import Bytes
public import Vault

/// How far the machine's log is durable.
public struct Stored: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.stored

  /// Everything up to this number is.
  public var through: SequenceNumber
  /// The recovery point that the newest group made; nil if it made none.
  public var point: MadePoint?

  /// A recovery point that was made: its number, its time (the source's, moved forward if the log was
  /// later already), and how many of its kind came before it in that second.
  public struct MadePoint: Hashable, Sendable {
    /// The point's number.
    public var sequence: SequenceNumber
    /// Its time.
    public var time: Timestamp
    /// Points of its second and kind before it.
    public var ordinal: UInt16

    /// Names a point.
    public init(_ point: RecoveryPoint) {
      (sequence, time, ordinal) = (point.sequence, point.time, point.ordinal)
    }
  }

  /// Puts the message together.
  public init(through: SequenceNumber, point: MadePoint? = nil) {
    (self.through, self.point) = (through, point)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    through = SequenceNumber(rawValue: try reader.integer())
    point = try reader.flag() ? try MadePoint(from: &reader) : nil
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(through.rawValue)
    writer.flag(point != nil)
    guard let point else { return }
    writer.integer(point.sequence.rawValue)
    writer.integer(point.time.rawValue)
    writer.integer(point.ordinal)
  }
}

extension Stored.MadePoint {
  fileprivate init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    sequence = SequenceNumber(rawValue: try reader.integer())
    time = Timestamp(rawValue: try reader.integer())
    ordinal = try reader.integer()
  }
}
