public import Bytes

/// Asks the agent to shut the machine down that it replicates, and to make a last recovery point of it then.
public struct ShutdownOrder: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.shutdownOrder

  /// Names the order: the same one may come again in another session.
  public var number: UInt64
  /// Seconds that shutting down may take.
  public var limit: UInt32

  /// Puts the message together.
  public init(number: UInt64, limit: UInt32) { (self.number, self.limit) = (number, limit) }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    (number, limit) = (try reader.integer(), try reader.integer())
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(number)
    writer.integer(limit)
  }
}

/// How far an agent is with an order to shut its machine down.
public struct ShutdownState: Message, Hashable {
  /// What it is about.
  public enum Phase: UInt8, Sendable, CaseIterable {
    /// It waits for the machine to be down.
    case stopping = 1
    /// It makes the last recovery point.
    case lastCycle = 2
    /// It is done.
    case over = 3
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.shutdownState

  /// The order.
  public var number: UInt64
  /// What it is about.
  public var phase: Phase
  /// Whether the machine is down.
  public var isStopped: Bool
  /// Whether a recovery point was made that was begun when shutting down had ended.
  public var hasLastPoint: Bool
  /// How it went, in whole sentences.
  public var text: String

  /// Puts the message together.
  public init(
    number: UInt64, phase: Phase, isStopped: Bool = false, hasLastPoint: Bool = false,
    text: String = ""
  ) {
    (self.number, self.phase) = (number, phase)
    (self.isStopped, self.hasLastPoint, self.text) = (isStopped, hasLastPoint, text)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    number = try reader.integer()
    guard let phase = Phase(rawValue: try reader.integer()) else { throw ByteReader.ShortInput() }
    self.phase = phase
    (isStopped, hasLastPoint) = (try reader.flag(), try reader.flag())
    text = try reader.shortText()
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(number)
    writer.integer(phase.rawValue)
    writer.flag(isStopped)
    writer.flag(hasLastPoint)
    writer.text(text)
  }
}
