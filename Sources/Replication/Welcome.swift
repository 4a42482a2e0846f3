public import Bytes
public import Codecs
public import Vault

/// What the agent is to do, for as long as no order says otherwise.
public struct Assignment: Hashable, Sendable {
  /// What a machine's replication is about.
  public enum State: UInt8, Sendable, CaseIterable {
    /// Nobody has enabled it: the agent waits.
    case unprotected = 0
    /// A cycle at each interval.
    case protected = 1
    /// An operator has paused it: the agent waits.
    case paused = 2
    /// The replica is doubtful: everything is compared with it before the next recovery point.
    case resynchronising = 3
    /// The replica is doubtful, and nobody has begun to compare: the agent waits.
    case required = 4
  }

  /// What to do.
  public var state: State
  /// Seconds from the start of one cycle to that of the next.
  public var interval: UInt32
  /// Seconds from one app-consistent cut to the next; 0 for none.
  public var applicationInterval: UInt32
  /// Bytes the agent may send a second; 0 for no limit.
  public var bandwidth: UInt64
  /// The disks to send, by number.
  public var disks: [DiskNumber]

  /// An assignment of these properties.
  public init(
    state: State, interval: UInt32 = 300, applicationInterval: UInt32 = 3600,
    bandwidth: UInt64 = 0, disks: [DiskNumber]
  ) {
    (self.state, self.interval) = (state, interval)
    (self.applicationInterval, self.bandwidth) = (applicationInterval, bandwidth)
    self.disks = disks
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let state = State(rawValue: try reader.integer()) else { throw ByteReader.ShortInput() }
    self.state = state
    interval = try reader.integer()
    applicationInterval = try reader.integer()
    bandwidth = try reader.integer()
    disks = try reader.list(limit: 64) { reader throws(ByteReader.ShortInput) in
      try reader.integer()
    }
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(state.rawValue)
    writer.integer(interval)
    writer.integer(applicationInterval)
    writer.integer(bandwidth)
    writer.list(disks) { $0.integer($1) }
  }
}

/// What the service answers to a hello: where the machine's log goes on.
public struct Welcome: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.welcome

  /// The version of the protocol both speak from now on.
  public var version: UInt16
  /// The service's release.
  public var release: String
  /// The service's clock.
  public var clock: Timestamp
  /// The vault.
  public var vault: Identifier
  /// The machine in it that the agent speaks for.
  public var machine: Identifier
  /// How the vault compresses.
  public var codec: Codec
  /// The epoch; everything the agent sends belongs to it.
  public var epoch: UInt32
  /// Names the session; random. Groups are signed for one session, and no other takes them.
  public var session: Identifier
  /// Where the log goes on.
  public var position: LogPosition
  /// The cycle that made the newest recovery point; nil if there is none.
  public var cycle: UInt64?
  /// Whether something was stored since.
  public var hasUnmarkedWrites: Bool
  /// Whether what was stored since goes up to `position.newest`.
  public var hasCursor: Bool
  /// The disks of the newest recovery point.
  public var disks: [PointDisk]
  /// Bytes of groups that may be on their way at a time.
  public var window: UInt32
  /// What the agent is to do.
  public var assignment: Assignment

  /// Puts the message together.
  public init(
    version: UInt16, release: String, clock: Timestamp, vault: Identifier, machine: Identifier,
    codec: Codec, epoch: UInt32, session: Identifier = .random(), position: LogPosition,
    cycle: UInt64?, hasUnmarkedWrites: Bool, hasCursor: Bool, disks: [PointDisk], window: UInt32,
    assignment: Assignment
  ) {
    (self.version, self.release, self.clock) = (version, release, clock)
    (self.vault, self.machine, self.codec, self.epoch) = (vault, machine, codec, epoch)
    self.session = session
    (self.position, self.cycle, self.hasUnmarkedWrites) = (position, cycle, hasUnmarkedWrites)
    (self.hasCursor, self.disks, self.window) = (hasCursor, disks, window)
    self.assignment = assignment
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    version = try reader.integer()
    release = try reader.shortText()
    clock = Timestamp(rawValue: try reader.integer())
    vault = try reader.identifier()
    machine = try reader.identifier()
    guard let codec = Codec(rawValue: try reader.integer()) else { throw ByteReader.ShortInput() }
    self.codec = codec
    epoch = try reader.integer()
    session = try reader.identifier()
    position = try LogPosition(from: &reader)
    let cycle = try reader.integer(UInt64.self)
    self.cycle = try reader.flag() ? cycle : nil
    hasUnmarkedWrites = try reader.flag()
    hasCursor = try reader.flag()
    disks = try reader.list(limit: 64) { reader throws(ByteReader.ShortInput) in
      try PointDisk(from: &reader)
    }
    window = try reader.integer()
    assignment = try Assignment(from: &reader)
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(version)
    writer.text(release)
    writer.integer(clock.rawValue)
    writer.identifier(vault)
    writer.identifier(machine)
    writer.integer(codec.rawValue)
    writer.integer(epoch)
    writer.identifier(session)
    position.encode(into: &writer)
    writer.integer(cycle ?? 0)
    writer.flag(cycle != nil)
    writer.flag(hasUnmarkedWrites)
    writer.flag(hasCursor)
    writer.list(disks) { $1.encode(into: &$0) }
    writer.integer(window)
    assignment.encode(into: &writer)
  }
}

extension PointDisk {
  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    self.init(number: try reader.integer(), size: try reader.integer())
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(number)
    writer.integer(size)
  }
}

/// A new assignment for a session that is open.
public struct Order: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.order

  /// What to do from now on.
  public var assignment: Assignment
  /// Whether a cycle is to begin at once.
  public var isNow: Bool

  /// Puts the message together.
  public init(assignment: Assignment, isNow: Bool) {
    (self.assignment, self.isNow) = (assignment, isNow)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    assignment = try Assignment(from: &reader)
    isNow = try reader.flag()
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    assignment.encode(into: &writer)
    writer.flag(isNow)
  }
}

/// Why the service does not go on with a session.
public struct Refusal: Message, Error, Hashable {
  /// What the agent can do about it.
  public enum Code: UInt8, Sendable, CaseIterable {
    /// It broke the protocol, or sent records that do not fit: a new session starts from what is stored.
    case protocolBroken = 1
    /// The vault is full: try again later; nothing is lost.
    case full = 2
    /// The vault can't be written for another reason: try again later.
    case unavailable = 3
    /// Another session of this machine is open, and alive.
    case busy = 4
    /// The machine has failed over, or was replaced: its epoch is older than the vault's.
    case epoch = 5
    /// The clocks of both ends are more than five minutes apart.
    case clock = 6
    /// The machine is not known, or no longer.
    case unknown = 7
    /// The service is stopping.
    case stopping = 8
    /// The machine is enrolled, and nobody has enabled its protection: ask again from time to time.
    case unprotected = 9
    /// The machine's process server is another one, which is named: go there.
    case moved = 10
    /// Its failover was cancelled, so nothing of it is taken until its protection was disabled and enabled
    /// anew. Nothing runs in its place: it is not to fence itself.
    case ended = 11
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.refusal

  /// The kind of reason.
  public var code: Code
  /// What is wrong and what to do, for a person.
  public var text: String
  /// Where to go, with `.moved`.
  public var place: ServerPlace?

  /// Puts the message together.
  public init(_ code: Code, _ text: String, place: ServerPlace? = nil) {
    (self.code, self.text, self.place) = (code, text, place)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let code = Code(rawValue: try reader.integer()) else { throw ByteReader.ShortInput() }
    self.code = code
    text = try reader.shortText()
    place = try reader.flag() ? try ServerPlace(from: &reader) : nil
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(code.rawValue)
    writer.text(text)
    writer.flag(place != nil)
    place?.encode(into: &writer)
  }
}

/// A sign of life, with the sender's clock.
public struct Heartbeat: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.heartbeat

  /// The sender's clock.
  public var clock: Timestamp

  /// Puts the message together.
  public init(clock: Timestamp) { self.clock = clock }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    clock = Timestamp(rawValue: try reader.integer())
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) { writer.integer(clock.rawValue) }
}
