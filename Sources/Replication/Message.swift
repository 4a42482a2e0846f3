public import Bytes

/// What agent and service say to each other. Each message is the payload of one frame; the raw value of
/// its type is the frame's.
///
/// All integers are little-endian; a text is a `u32` length and UTF-8; a list is a `u32` count and its
/// items. What follows the fields that this version knows is passed over, so that a later version of the
/// same protocol can add fields at the end.
public protocol Message: Sendable {
  /// The type of frame it travels in.
  static var type: MessageType { get }

  /// Reads a payload.
  init(from reader: inout ByteReader) throws(ByteReader.ShortInput)

  /// Writes the payload.
  func encode(into writer: inout ByteWriter)
}

/// The types of frames. Those below 64 come from the agent or a relay, the others from the service; but
/// `relayed`, which a relay says to an agent.
public enum MessageType: UInt8, Sendable, CaseIterable {
  /// Who the agent is and what it has.
  case hello = 1
  /// Records, and what they end with.
  case group = 2
  /// Asks for the digests of blocks.
  case blockQuery = 3
  /// Asks for the digests of the pages of blocks.
  case pageQuery = 4
  /// How the agent is doing.
  case report = 5
  /// Nothing but a sign of life, from either end.
  case heartbeat = 6
  /// Asks for a new certificate.
  case renewal = 7
  /// Why the replica may not be what the agent takes it for.
  case doubt = 8
  /// Whose session a relay is about to carry.
  case relayHello = 9
  /// How a relay is doing.
  case relayStatus = 10
  /// How far the agent is with shutting its machine down.
  case shutdownState = 11
  /// Where the log goes on, and what the agent is to do.
  case welcome = 65
  /// Why there is no session, or no longer one.
  case refusal = 66
  /// How far the log is durable.
  case stored = 67
  /// The digests that were asked for.
  case digests = 68
  /// What the agent is to do from now on.
  case order = 69
  /// The new certificate.
  case renewed = 70
  /// The service's certificate, for an agent behind a relay.
  case introduction = 71
  /// What a relay has to know.
  case relayOrders = 72
  /// How far groups are durable in a relay's cache.
  case relayed = 73
  /// Asks the agent to shut its machine down.
  case shutdownOrder = 74
}

/// Why a session can't go on: what the other end sent breaks the protocol.
public struct ProtocolError: Error, Sendable, CustomStringConvertible {
  /// The kinds of breach that callers tell apart.
  public enum Code: String, Sendable, CaseIterable {
    /// A frame of a type that does not belong here.
    case unexpected
    /// A payload that is not what its type says.
    case malformed
    /// A signature that is not that of the machine's certificate.
    case forged
    /// A signature of the machine's certificate, for an older epoch.
    case epoch
    /// No version of the protocol that both ends speak.
    case version
    /// More than the window that was given.
    case window
    /// This end can't sign what it is to send.
    case unsigned
  }

  /// What kind of breach it was.
  public let code: Code
  /// What happened and what to do next.
  public let message: String

  /// Describes a breach.
  public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// The message.
  public var description: String { message }
}

extension Message {
  /// The frame it travels in.
  public func frame() -> Frame {
    var writer = ByteWriter(capacity: 256)
    encode(into: &writer)
    return Frame(type: Self.type.rawValue, payload: writer.bytes)
  }

  /// Reads it from a frame of its type.
  public init(_ frame: Frame) throws(ProtocolError) {
    let read = frame.payload.withUnsafeBytes { bytes -> Self? in
      var reader = ByteReader(bytes)
      return try? Self(from: &reader)
    }
    guard let read, frame.type == Self.type.rawValue else {
      throw ProtocolError(
        .malformed,
        "The other end sent a message '\(Self.type)' that can't be read (\(frame.payload.count) "
          + "bytes). Both ends need the same release of Tidemark.")
    }
    self = read
  }
}

/// The versions of the protocol that this release speaks.
public enum ProtocolVersion {
  /// The oldest one.
  public static let oldest: UInt16 = 1
  /// The newest one.
  public static let newest: UInt16 = 1

  /// The newest version that both ends speak.
  public static func common(_ other: ClosedRange<UInt16>) throws(ProtocolError) -> UInt16 {
    let ours = oldest...newest
    guard ours.overlaps(other) else {
      throw ProtocolError(
        .version,
        "The agent speaks versions \(other.lowerBound) to \(other.upperBound) of the protocol, the "
          + "service \(oldest) to \(newest). Bring both to the same release of Tidemark.")
    }
    return min(ours.upperBound, other.upperBound)
  }
}

extension ByteReader {
  /// Takes a list of at most `limit` items.
  mutating func list<Item>(
    limit: Int, _ item: (inout ByteReader) throws(ShortInput) -> Item
  ) throws(ShortInput) -> [Item] {
    let count = Int(try integer(UInt32.self))
    guard count <= limit else { throw ShortInput() }
    var items: [Item] = []
    for _ in 0..<count { items.append(try item(&self)) }
    return items
  }

  /// Takes a text of at most 4096 bytes, which is kept and shown to people.
  mutating func shortText() throws(ShortInput) -> String {
    let text = try text()
    guard text.utf8.count <= 4096 else { throw ShortInput() }
    return text
  }

  /// Takes a yes or no.
  mutating func flag() throws(ShortInput) -> Bool { try integer(UInt8.self) != 0 }
}

extension ByteWriter {
  /// Appends a list.
  mutating func list<Item>(_ items: [Item], _ item: (inout ByteWriter, Item) -> Void) {
    integer(UInt32(items.count))
    for element in items { item(&self, element) }
  }

  /// Appends a yes or no.
  mutating func flag(_ value: Bool) { integer(UInt8(value ? 1 : 0)) }
}
