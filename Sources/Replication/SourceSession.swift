public import Bytes
internal import Vault

/// The agent's end of a session, without any I/O: it says what to send, and what an answer means.
///
/// Where the service is spoken to through a relay, ``outgoing(_:)`` seals what the agent says, and nothing
/// that matters is believed that the service has not sealed.
public struct SourceSession: Sendable {
  /// What came from the service.
  public enum Event: Sendable {
    /// The session is open.
    case welcomed(Welcome)
    /// There is none, or no longer one.
    case refused(Refusal)
    /// More of the log is durable.
    case stored(Stored)
    /// The answer to the oldest query.
    case digests(Digests)
    /// There is something else to do.
    case ordered(Order)
    /// The machine is to be shut down.
    case shutdown(ShutdownOrder)
    /// The other end is alive.
    case alive(Heartbeat)
    /// The service behind the relay has shown its certificate.
    case introduced
    /// The relay holds more of what was sent.
    case relayed(Relayed)
  }

  /// Judges a certificate in DER that is said to be the service's: what checks its signatures, or nil.
  public typealias Judge = @Sendable (_ certificate: [UInt8]) -> SignatureCheck?

  private enum State: Sendable {
    case greeting
    case open
    case over
  }

  /// What there is beside, where a relay is between.
  private struct Sealing: Sendable {
    let judge: Judge
    var isSigned: SignatureCheck?
    var inbound: Seal
    var outbound: Seal?
  }

  private let hello: Hello
  private let sign: Signing
  private var state = State.greeting
  private var sealing: Sealing?
  /// The newest number that was sent.
  private var sent = SequenceNumber.zero
  /// Groups on their way: their newest numbers and what they take of the window.
  private var flying: [(last: SequenceNumber, cost: Int)] = []
  /// The digests of queries that have no answer yet.
  private var queries: [[UInt8]] = []

  /// What the service answered to the hello.
  public private(set) var welcome: Welcome?
  /// What the agent is to do: the welcome's, until an order came.
  public private(set) var assignment: Assignment?
  /// Everything up to this number is durable.
  public private(set) var durable = SequenceNumber.zero

  /// Starts with `hello`.
  ///
  /// - Parameters:
  ///   - hello: what the agent says first; it is signed here.
  ///   - sign: signs a digest with the machine's private key, or throws `.unsigned`.
  ///   - judge: knows the service by its certificate, if a relay is between.
  public init(hello: Hello, sign: @escaping Signing, through judge: Judge? = nil) {
    var hello = hello
    // Without a signature only a relay's service would not take it, and a group could not be signed either.
    hello.signature = (try? sign(hello.digest())) ?? []
    (self.hello, self.sign) = (hello, sign)
    sealing = judge.map { Sealing(judge: $0, inbound: Seal(.toAgent, nonce: hello.nonce)) }
  }

  /// The frame to begin with.
  public func start() -> Frame { hello.frame() }

  /// Bytes of groups on their way.
  public var inFlight: Int { flying.reduce(0) { $0 + $1.cost } }

  /// Whether a group with `count` bytes of records may be sent now.
  public func hasRoom(for count: Int) -> Bool {
    guard let welcome else { return false }
    return flying.isEmpty || inFlight + count + Group.overhead <= welcome.window
  }

  /// Signs a group and gives its frame.
  ///
  /// - Throws: `.unsigned` if that fails: the session is over.
  public mutating func send(_ group: Group) throws(ProtocolError) -> Frame {
    guard case .open = state, let welcome else { throw Self.notOpen }
    var group = group
    let digest = group.digest(
      vault: welcome.vault, machine: welcome.machine, epoch: welcome.epoch,
      session: welcome.session)
    do throws(ProtocolError) { group.signature = try sign(digest) } catch {
      state = .over
      throw error
    }
    flying.append((group.last, group.cost))
    sent = group.last
    return group.frame()
  }

  /// Counts a query, which will be answered by `digests`.
  public mutating func ask(_ query: some Message) throws(ProtocolError) -> Frame {
    guard case .open = state else { throw Self.notOpen }
    let frame = query.frame()
    queries.append(Seal.digest(of: frame))
    return frame
  }

  private static var notOpen: ProtocolError {
    ProtocolError(.unexpected, "The session with the service is not open.")
  }

  /// Takes what came.
  ///
  /// - Throws: a breach of the protocol: the session is over.
  public mutating func receive(_ frame: Frame) throws(ProtocolError) -> Event {
    do throws(ProtocolError) { return try event(try opened(frame)) } catch {
      state = .over
      throw error
    }
  }

  private mutating func event(_ frame: Frame) throws(ProtocolError) -> Event {
    switch (MessageType(rawValue: frame.type), state) {
    case (.welcome, .greeting): return .welcomed(try open(try Welcome(frame)))
    case (.refusal, .greeting), (.refusal, .open):
      let refusal = try Refusal(frame)
      state = .over
      return .refused(refusal)
    case (.heartbeat, .greeting), (.heartbeat, .open): return .alive(try Heartbeat(frame))
    case (.stored, .open): return .stored(try take(try Stored(frame)))
    case (.order, .open):
      let order = try Order(frame)
      assignment = order.assignment
      return .ordered(order)
    case (.shutdownOrder, .open): return .shutdown(try ShutdownOrder(frame))
    case (.introduction, .greeting) where sealing != nil && sealing?.isSigned == nil:
      let certificate = try Introduction(frame).certificate
      guard let isSigned = sealing?.judge(certificate) else {
        throw ProtocolError(
          .forged, "The relay shows a certificate for the service's that is not the service's.")
      }
      sealing?.isSigned = isSigned
      return .introduced
    case (.relayed, .open) where sealing != nil:
      let relayed = try Relayed(frame)
      flying.removeAll { $0.last <= relayed.through }
      return .relayed(relayed)
    case (.digests, .open) where !queries.isEmpty:
      queries.removeFirst()
      return .digests(try Digests(frame))
    default:
      throw ProtocolError(
        .unexpected, "The service sent a frame of type \(frame.type), which has no place here.")
    }
  }

  private mutating func open(_ welcome: Welcome) throws(ProtocolError) -> Welcome {
    guard hello.versions.contains(welcome.version) else {
      throw ProtocolError(
        .version, "The service chose version \(welcome.version), which was not offered.")
    }
    state = .open
    self.welcome = welcome
    (assignment, durable) = (welcome.assignment, welcome.position.sequence)
    if sealing != nil {
      sealing?.outbound = Seal(.toService, nonce: hello.nonce, session: welcome.session)
    }
    return welcome
  }

  private mutating func take(_ stored: Stored) throws(ProtocolError) -> Stored {
    guard stored.through >= durable, durable < sent, stored.through <= sent else {
      throw ProtocolError(
        .malformed, "The service says that number \(stored.through) is stored, which was not sent.")
    }
    durable = stored.through
    flying.removeAll { $0.last <= durable }
    return stored
  }

  /// Seals a frame that is about to be sent, if a relay is between and the frame does not prove itself. To
  /// be called once for each, in the order of sending.
  ///
  /// - Throws: `.unsigned`.
  public mutating func outgoing(_ frame: Frame) throws(ProtocolError) -> Frame {
    switch MessageType(rawValue: frame.type) {
    case .hello, .group, .heartbeat: return frame
    default: return try sealing?.outbound?.close(frame, sign: sign) ?? frame
    }
  }

  /// Opens a frame that came through a relay, unless it is the relay's own to say.
  private mutating func opened(_ frame: Frame) throws(ProtocolError) -> Frame {
    guard let sealing else { return frame }
    switch MessageType(rawValue: frame.type) {
    case .heartbeat, .relayed, .introduction: return frame
    case .refusal where frame.flags & Seal.flag == 0:
      // A relay can break a session off, and say why; but not what is to follow from it.
      guard [.unavailable, .stopping, .busy, .full].contains(try Refusal(frame).code) else { break }
      return frame
    default:
      guard let isSigned = sealing.isSigned else { break }
      var inbound = sealing.inbound
      let query = frame.type == MessageType.digests.rawValue ? queries.first : nil
      let opened = try inbound.open(frame, answering: query, isSigned: isSigned)
      self.sealing?.inbound = inbound
      return opened
    }
    throw ProtocolError(
      .forged, "The relay sent a frame of type \(frame.type) that only the service can send.")
  }
}
