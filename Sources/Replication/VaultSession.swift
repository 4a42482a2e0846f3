public import Bytes
public import Vault

/// The service's end of a session, without any I/O: it judges what the agent sends.
///
/// Order: a hello; then, once the service has welcomed it, groups and queries. What it gives out is to be
/// done in order; groups are answered by a `Stored` once they are durable, one or several at a time, each
/// query by `Digests`. A connection that begins with a `Renewal` holds nothing else.
public struct VaultSession: Sendable {
  /// What the service is to do.
  public enum Step: Sendable {
    /// Look at who it is, and welcome or refuse.
    case greet(Hello)
    /// Store the group, whose signature is the machine's.
    case store(Group)
    /// Answer with digests.
    case blocks(BlockQuery)
    case pages(PageQuery)
    /// Take note of how the agent is doing.
    case report(Report)
    /// Take note of why the replica may be another than the agent takes it for.
    case doubt(Doubt)
    /// Take note that it is alive.
    case alive(Heartbeat)
    /// Issue a new certificate, if who asks may have one, and end the connection.
    case renew(Renewal)
  }

  private enum State: Sendable {
    case silent
    case greeted
    case open(Welcome)
    case over
  }

  private let isSigned: @Sendable (_ digest: [UInt8], _ signature: [UInt8]) -> Bool
  private var state = State.silent
  /// Groups that came and are not stored yet: their newest numbers and what they take of the window.
  private var waiting: [(last: SequenceNumber, cost: Int)] = []
  /// Bytes of groups that came and are not stored yet.
  public private(set) var pending = 0

  /// Waits for a hello; `isSigned` tells whether a signature of a digest is that of the machine's
  /// certificate.
  public init(isSigned: @escaping @Sendable ([UInt8], [UInt8]) -> Bool) {
    self.isSigned = isSigned
  }

  /// Takes what came.
  ///
  /// - Throws: a breach of the protocol: the session is over, and a refusal of `.protocolBroken` may be
  ///   sent before the connection is closed.
  public mutating func receive(_ frame: Frame) throws(ProtocolError) -> Step {
    do throws(ProtocolError) { return try step(frame) } catch {
      state = .over
      throw error
    }
  }

  private mutating func step(_ frame: Frame) throws(ProtocolError) -> Step {
    switch (MessageType(rawValue: frame.type), state) {
    case (.hello, .silent):
      let hello = try Hello(frame)
      state = .greeted
      return .greet(hello)
    case (.renewal, .silent):
      let renewal = try Renewal(frame)
      state = .over
      return .renew(renewal)
    case (.heartbeat, .greeted), (.heartbeat, .open): return .alive(try Heartbeat(frame))
    case (.report, .open): return .report(try Report(frame))
    case (.doubt, .open): return .doubt(try Doubt(frame))
    case (.blockQuery, .open): return .blocks(try BlockQuery(frame))
    case (.pageQuery, .open): return .pages(try PageQuery(frame))
    case (.group, .open(let welcome)):
      let group = try Group(frame)
      try check(group, welcome)
      return .store(group)
    default:
      throw ProtocolError(
        .unexpected, "The agent sent a frame of type \(frame.type), which has no place here.")
    }
  }

  private mutating func check(
    _ group: Group, _ welcome: Welcome
  ) throws(ProtocolError) {
    pending += group.cost
    waiting.append((group.last, group.cost))
    guard pending <= welcome.window else {
      throw ProtocolError(
        .window, "The agent sent \(pending) bytes ahead; \(welcome.window) were allowed.")
    }
    let digest = group.digest(
      vault: welcome.vault, machine: welcome.machine, epoch: welcome.epoch)
    guard isSigned(digest, group.signature) else {
      throw ProtocolError(
        .forged,
        "The group that ends with number \(group.last) is not signed by the machine's certificate.")
    }
  }

  /// Opens the session.
  public mutating func welcome(_ welcome: Welcome) -> Frame {
    state = .open(welcome)
    return welcome.frame()
  }

  /// Ends the session.
  public mutating func refuse(_ refusal: Refusal) -> Frame {
    state = .over
    return refusal.frame()
  }

  /// Tells that everything is durable up to the end of a group that came.
  public mutating func stored(through last: SequenceNumber, point: RecoveryPoint?) -> Frame {
    let count = waiting.prefix { $0.last <= last }.count
    pending -= waiting.prefix(count).reduce(0) { $0 + $1.cost }
    waiting.removeFirst(count)
    return Stored(through: last, point: point.map(Stored.MadePoint.init)).frame()
  }
}
