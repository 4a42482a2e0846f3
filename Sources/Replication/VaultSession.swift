public import Bytes
public import Vault

/// The service's end of a session, without any I/O: it judges what the agent sends.
///
/// Order: a hello; then, once the service has welcomed it, groups and queries. What it gives out is to be
/// done in order; groups are answered by a `Stored` once they are durable, one or several at a time, each
/// query by `Digests`. A connection that begins with a `Renewal` holds nothing else. Where the agent
/// speaks through a relay, ``outgoing(_:)`` seals what the service says, and what the agent says is
/// believed only with its signature.
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
    /// Take note of how far it is with shutting its machine down.
    case shutdown(ShutdownState)
    /// Take note that it is alive.
    case alive(Heartbeat)
    /// Issue a new certificate, if who asks may have one, and end the connection.
    case renew(Renewal)
  }

  /// What the groups of a session are judged by.
  public struct Terms: Sendable {
    /// The vault.
    public let vault: Identifier
    /// The machine.
    public let machine: Identifier
    /// The machine's epoch.
    public let epoch: UInt32
    /// The session.
    public let session: Identifier
    /// Bytes that may be sent ahead.
    public let window: UInt32

    /// Terms of these properties.
    public init(
      vault: Identifier, machine: Identifier, epoch: UInt32, session: Identifier, window: UInt32
    ) {
      (self.vault, self.machine, self.epoch) = (vault, machine, epoch)
      (self.session, self.window) = (session, window)
    }
  }

  private enum State: Sendable {
    case silent
    case greeted
    case open(Terms)
    /// Nothing but groups.
    case draining(Terms)
    case over
  }

  /// What there is beside, where a relay is between.
  private struct Sealing: Sendable {
    let seal: ServiceSeal
    var outbound: Seal?
    var inbound: Seal?
    var nonce: [UInt8] = []
    /// The digests of queries that have no answer yet.
    var queries: [[UInt8]] = []
  }

  private let isSigned: SignatureCheck
  private var state = State.silent
  private var sealing: Sealing?
  /// Groups that came and are not stored yet: their newest numbers and what they take of the window.
  private var waiting: [(last: SequenceNumber, cost: Int)] = []
  /// Bytes of groups that came and are not stored yet.
  public private(set) var pending = 0

  /// Waits for a hello.
  ///
  /// - Parameters:
  ///   - isSigned: whether a signature of a digest is that of the machine's certificate.
  ///   - seal: what the service seals with, if a relay is between.
  public init(isSigned: @escaping SignatureCheck, seal: ServiceSeal? = nil) {
    self.isSigned = isSigned
    sealing = seal.map { Sealing(seal: $0) }
  }

  /// Takes groups of a session that is over, and nothing else.
  public init(draining terms: Terms, isSigned: @escaping SignatureCheck) {
    self.isSigned = isSigned
    state = .draining(terms)
  }

  /// Takes what came.
  ///
  /// - Throws: a breach of the protocol: the session is over, and a refusal of `.protocolBroken` may be
  ///   sent before the connection is closed.
  public mutating func receive(_ frame: Frame) throws(ProtocolError) -> Step {
    do throws(ProtocolError) { return try step(try opened(frame)) } catch {
      state = .over
      throw error
    }
  }

  private mutating func step(_ frame: Frame) throws(ProtocolError) -> Step {
    switch (MessageType(rawValue: frame.type), state) {
    case (.hello, .silent):
      let hello = try Hello(frame)
      try check(hello)
      state = .greeted
      return .greet(hello)
    case (.renewal, .silent):
      let renewal = try Renewal(frame)
      state = .over
      return .renew(renewal)
    case (.heartbeat, .greeted), (.heartbeat, .open), (.heartbeat, .draining):
      return .alive(try Heartbeat(frame))
    case (.report, .open): return .report(try Report(frame))
    case (.doubt, .open): return .doubt(try Doubt(frame))
    case (.shutdownState, .open): return .shutdown(try ShutdownState(frame))
    case (.blockQuery, .open):
      let query = try BlockQuery(frame)
      sealing?.queries.append(Seal.digest(of: frame))
      return .blocks(query)
    case (.pageQuery, .open):
      let query = try PageQuery(frame)
      sealing?.queries.append(Seal.digest(of: frame))
      return .pages(query)
    case (.group, .open(let terms)), (.group, .draining(let terms)):
      let group = try Group(frame)
      try check(group, terms)
      return .store(group)
    default:
      throw ProtocolError(
        .unexpected, "The agent sent a frame of type \(frame.type), which has no place here.")
    }
  }

  private mutating func check(_ hello: Hello) throws(ProtocolError) {
    guard sealing != nil else { return }
    guard isSigned(hello.digest(), hello.signature) else {
      throw ProtocolError(
        .forged, "The hello that a relay brought is not signed by the machine's certificate.")
    }
    sealing?.outbound = Seal(.toAgent, nonce: hello.nonce)
    sealing?.nonce = hello.nonce
  }

  private mutating func check(_ group: Group, _ terms: Terms) throws(ProtocolError) {
    pending += group.cost
    waiting.append((group.last, group.cost))
    guard pending <= terms.window else {
      throw ProtocolError(
        .window, "The agent sent \(pending) bytes ahead; \(terms.window) were allowed.")
    }
    guard fits(group, terms, epoch: terms.epoch) else {
      // It may be that of a session that was open when the machine failed over.
      let older = (terms.epoch - min(terms.epoch, Self.epochsBack))..<terms.epoch
      if older.contains(where: { fits(group, terms, epoch: $0) }) {
        throw ProtocolError(
          .epoch,
          "The group that ends with number \(group.last) is of an older epoch: the machine has failed "
            + "over since.")
      }
      throw ProtocolError(
        .forged,
        "The group that ends with number \(group.last) is not signed by the machine's certificate, or "
          + "not for this session.")
    }
  }

  /// Older epochs that a group is looked for in before it counts as forged.
  private static let epochsBack: UInt32 = 4

  private func fits(_ group: Group, _ terms: Terms, epoch: UInt32) -> Bool {
    let digest = group.digest(
      vault: terms.vault, machine: terms.machine, epoch: epoch, session: terms.session)
    return isSigned(digest, group.signature)
  }

  /// Opens the session.
  public mutating func welcome(_ welcome: Welcome) -> Frame {
    state = .open(
      Terms(
        vault: welcome.vault, machine: welcome.machine, epoch: welcome.epoch,
        session: welcome.session, window: welcome.window))
    if let nonce = sealing?.nonce {
      sealing?.inbound = Seal(.toService, nonce: nonce, session: welcome.session)
    }
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

  /// What to send first, once the hello has come: the service's certificate, where a relay is between.
  public var introduction: Frame? {
    sealing.map { Introduction(certificate: $0.seal.certificate).frame() }
  }

  /// Seals a frame that is about to be sent, if a relay is between. To be called once for each, in the
  /// order of sending.
  public mutating func outgoing(_ frame: Frame) -> Frame {
    guard let seal = sealing?.seal, sealing?.outbound != nil else { return frame }
    switch MessageType(rawValue: frame.type) {
    case .heartbeat, .introduction: return frame
    case .digests:
      let query = sealing?.queries.isEmpty == false ? sealing?.queries.removeFirst() : nil
      return sealing?.outbound?.close(frame, answering: query, sign: seal.sign) ?? frame
    default: return sealing?.outbound?.close(frame, sign: seal.sign) ?? frame
    }
  }

  /// Opens a frame that a relay brought, unless it is of a kind that proves itself, or matters to nobody.
  private mutating func opened(_ frame: Frame) throws(ProtocolError) -> Frame {
    guard sealing != nil else { return frame }
    switch MessageType(rawValue: frame.type) {
    case .hello, .group, .heartbeat: return frame
    default:
      guard var inbound = sealing?.inbound else {
        throw ProtocolError(.unexpected, "A frame of type \(frame.type) came before the welcome.")
      }
      let opened = try inbound.open(frame, isSigned: isSigned)
      sealing?.inbound = inbound
      return opened
    }
  }
}
