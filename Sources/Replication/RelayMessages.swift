public import Bytes

/// What a relay says first on a connection that carries one machine's session, or what is left of one.
public struct RelayHello: Message, Hashable {
  /// What the connection is for.
  public enum Purpose: UInt8, Sendable, CaseIterable {
    /// The agent is connected, and its hello follows.
    case session = 0
    /// Only groups follow, those that the relay still has of a session that is over.
    case drain = 1
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.relayHello
  /// Bytes of a certificate at the most.
  public static let certificateBytes = 16384

  /// What the connection is for.
  public var purpose: Purpose
  /// The agent's certificate, in DER.
  public var certificate: [UInt8]
  /// The session that is drained, as its welcome named it; anything for a session that is to begin.
  public var session: Identifier

  /// Puts the message together.
  public init(_ purpose: Purpose, certificate: [UInt8], session: Identifier) {
    (self.purpose, self.certificate, self.session) = (purpose, certificate, session)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let purpose = Purpose(rawValue: try reader.integer()) else {
      throw ByteReader.ShortInput()
    }
    self.purpose = purpose
    session = try reader.identifier()
    certificate = try reader.blob(limit: Self.certificateBytes)
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(purpose.rawValue)
    writer.identifier(session)
    writer.blob(certificate)
  }
}

/// How busy a process server is.
public struct ServerLoad: Codable, Hashable, Sendable {
  /// Thousandths of the processors' time that were used, over the last quarter of an hour.
  public var processor: UInt32
  /// Thousandths of the memory that were used, over the last quarter of an hour.
  public var memory: UInt32
  /// Bytes that its cache can still take.
  public var cacheFree: UInt64
  /// Bytes that its cache can take in all.
  public var cacheSize: UInt64
  /// Bytes in its cache that the service has not stored yet.
  public var pendingBytes: UInt64
  /// Seconds until they will be, at the rate of the last quarter of an hour.
  public var pendingSeconds: UInt32
  /// Machines whose agents are connected to it.
  public var machines: UInt32

  /// A load of these numbers.
  public init(
    processor: UInt32, memory: UInt32, cacheFree: UInt64, cacheSize: UInt64,
    pendingBytes: UInt64 = 0, pendingSeconds: UInt32 = 0, machines: UInt32
  ) {
    (self.processor, self.memory) = (processor, memory)
    (self.cacheFree, self.cacheSize) = (cacheFree, cacheSize)
    (self.pendingBytes, self.pendingSeconds) = (pendingBytes, pendingSeconds)
    self.machines = machines
  }
}

/// What a relay tells of itself on a connection of its own, every half minute and when it is asked to.
public struct RelayStatus: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.relayStatus
  /// Addresses at the most.
  public static let addressLimit = 256

  /// The relay's release.
  public var release: String
  /// Its clock.
  public var clock: Timestamp
  /// The names and addresses that agents reach it by, the best one first.
  public var addresses: [String]
  /// The port it listens on.
  public var port: UInt16
  /// How busy it is.
  public var load: ServerLoad

  /// Puts the message together.
  public init(
    release: String, clock: Timestamp, addresses: [String], port: UInt16, load: ServerLoad
  ) {
    (self.release, self.clock, self.addresses) = (release, clock, addresses)
    (self.port, self.load) = (port, load)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    release = try reader.shortText()
    clock = Timestamp(rawValue: try reader.integer())
    addresses = try reader.list(limit: Self.addressLimit) { reader throws(ByteReader.ShortInput) in
      try reader.shortText()
    }
    port = try reader.integer()
    load = ServerLoad(
      processor: try reader.integer(), memory: try reader.integer(),
      cacheFree: try reader.integer(), cacheSize: try reader.integer(),
      pendingBytes: try reader.integer(), pendingSeconds: try reader.integer(),
      machines: try reader.integer())
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.text(release)
    writer.integer(clock.rawValue)
    writer.list(addresses) { $0.text($1) }
    writer.integer(port)
    writer.integer(load.processor)
    writer.integer(load.memory)
    for bytes in [load.cacheFree, load.cacheSize, load.pendingBytes] { writer.integer(bytes) }
    writer.integer(load.pendingSeconds)
    writer.integer(load.machines)
  }
}

/// What the service tells a relay: as the answer to a status, and whenever some of it changes.
public struct RelayOrders: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.relayOrders
  private static let revokedLimit = 1 << 16

  /// The service's clock.
  public var clock: Timestamp
  /// Whether a status is wanted at once.
  public var isStatusWanted: Bool
  /// The numbers of certificates that are revoked and not over yet.
  public var revoked: [String]

  /// Puts the message together.
  public init(clock: Timestamp, isStatusWanted: Bool = false, revoked: [String]) {
    (self.clock, self.isStatusWanted, self.revoked) = (clock, isStatusWanted, revoked)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    clock = Timestamp(rawValue: try reader.integer())
    isStatusWanted = try reader.flag()
    revoked = try reader.list(limit: Self.revokedLimit) { reader throws(ByteReader.ShortInput) in
      try reader.shortText()
    }
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(clock.rawValue)
    writer.flag(isStatusWanted)
    writer.list(Array(revoked.suffix(Self.revokedLimit))) { $0.text($1) }
  }
}

/// How far a relay has made groups durable in its cache. It frees the agent's window and nothing else:
/// only what the service has stored is safe.
public struct Relayed: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.relayed

  /// Everything up to this number is in the relay's cache, or at the service.
  public var through: SequenceNumber

  /// Puts the message together.
  public init(through: SequenceNumber) { self.through = through }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    through = SequenceNumber(rawValue: try reader.integer())
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) { writer.integer(through.rawValue) }
}

/// The service's certificate, which comes before the first sealed frame.
public struct Introduction: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.introduction

  /// The certificate in DER.
  public var certificate: [UInt8]

  /// Puts the message together.
  public init(certificate: [UInt8]) { self.certificate = certificate }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    certificate = try reader.blob(limit: RelayHello.certificateBytes)
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) { writer.blob(certificate) }
}

/// Where a machine's agent is to go: a relay, or the service itself.
public struct ServerPlace: Codable, Hashable, Sendable {
  /// The relay; nil for the service.
  public var relay: Identifier?
  /// The names and addresses to try, in this order; none for the service, which the agent knows.
  public var hosts: [String]
  /// The port.
  public var port: UInt16

  /// The service itself.
  public static let service = ServerPlace(relay: nil, hosts: [], port: 0)

  /// A place of these properties.
  public init(relay: Identifier?, hosts: [String], port: UInt16) {
    (self.relay, self.hosts, self.port) = (relay, hosts, port)
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let id = try reader.identifier()
    relay = try reader.flag() ? id : nil
    port = try reader.integer()
    hosts = try reader.list(limit: RelayStatus.addressLimit) {
      reader throws(ByteReader.ShortInput) in
      try reader.shortText()
    }
  }

  func encode(into writer: inout ByteWriter) {
    writer.identifier(relay ?? Identifier(high: 0, low: 0))
    writer.flag(relay != nil)
    writer.integer(port)
    writer.list(hosts) { $0.text($1) }
  }
}

extension ByteReader {
  /// Takes bytes behind their `u32` count.
  mutating func blob(limit: Int) throws(ShortInput) -> [UInt8] {
    let count = Int(try integer(UInt32.self))
    guard count <= limit else { throw ShortInput() }
    return Array(try bytes(count))
  }
}

extension ByteWriter {
  /// Appends bytes behind their `u32` count.
  mutating func blob(_ bytes: [UInt8]) {
    integer(UInt32(bytes.count))
    append(contentsOf: bytes)
  }
}
