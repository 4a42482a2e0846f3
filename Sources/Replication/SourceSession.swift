public import Bytes
internal import Vault

/// The agent's end of a session, without any I/O: it says what to send, and what an answer means.
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
    /// The service is alive.
    case alive(Heartbeat)
  }

  private enum State: Sendable {
    case greeting
    case open
    case over
  }

  private let hello: Hello
  private let sign: @Sendable (_ digest: [UInt8]) throws(ProtocolError) -> [UInt8]
  private var state = State.greeting
  /// Groups on their way: their newest numbers and what they take of the window.
  private var flying: [(last: SequenceNumber, cost: Int)] = []
  private var queries = 0

  /// What the service answered to the hello.
  public private(set) var welcome: Welcome?
  /// What the agent is to do: the welcome's, until an order came.
  public private(set) var assignment: Assignment?
  /// Everything up to this number is durable.
  public private(set) var durable = SequenceNumber.zero

  /// Starts with `hello`; `sign` signs a digest with the machine's private key, or throws `.unsigned`.
  public init(
    hello: Hello, sign: @escaping @Sendable ([UInt8]) throws(ProtocolError) -> [UInt8]
  ) {
    (self.hello, self.sign) = (hello, sign)
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
      vault: welcome.vault, machine: welcome.machine, epoch: welcome.epoch)
    do throws(ProtocolError) { group.signature = try sign(digest) } catch {
      state = .over
      throw error
    }
    flying.append((group.last, group.cost))
    return group.frame()
  }

  /// Counts a query, which will be answered by `digests`.
  public mutating func ask(_ query: some Message) throws(ProtocolError) -> Frame {
    guard case .open = state else { throw Self.notOpen }
    queries += 1
    return query.frame()
  }

  private static var notOpen: ProtocolError {
    ProtocolError(.unexpected, "The session with the service is not open.")
  }

  /// Takes what came.
  ///
  /// - Throws: a breach of the protocol: the session is over.
  public mutating func receive(_ frame: Frame) throws(ProtocolError) -> Event {
    do throws(ProtocolError) { return try event(frame) } catch {
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
    case (.digests, .open) where queries > 0:
      queries -= 1
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
    return welcome
  }

  private mutating func take(_ stored: Stored) throws(ProtocolError) -> Stored {
    guard stored.through >= durable, let newest = flying.last, stored.through <= newest.last else {
      throw ProtocolError(
        .malformed, "The service says that number \(stored.through) is stored, which was not sent.")
    }
    durable = stored.through
    flying.removeAll { $0.last <= durable }
    return stored
  }
}
