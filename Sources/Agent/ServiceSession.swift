internal import Bytes
internal import FileIO
public import Replication
public import ReplicationService
internal import Vault

/// What a session speaks through: a connection with the service.
public protocol FrameLink: Sendable {
  /// Hands a frame over; blocks while too much waits to be sent.
  func send(_ frame: Frame, within duration: Duration) throws(TransportError)
  /// Waits for the next frame; `.timedOut` if none came.
  func receive(within duration: Duration) throws(TransportError) -> Frame
}

extension ClientConnection: FrameLink {}

/// A session with the service, for the one thread that runs cycles. Every wait has a limit.
final class ServiceSession {
  /// How long the service may be silent while something is awaited from it.
  static let patience = Duration.seconds(120)
  /// Between two signs of life of this end.
  static let heartbeat = Duration.seconds(10)

  private let link: any FrameLink
  private var session: SourceSession
  private let heartbeat: Duration
  private let patience: Duration
  private let clock = ContinuousClock()
  /// When something came last that shows that what was sent is dealt with.
  private var lastProgress = ContinuousClock.now
  private var lastHeartbeat: ContinuousClock.Instant
  private var answers: [Digests] = []
  private var point: Stored.MadePoint?
  /// What the service said when it opened the session.
  private(set) var welcome: Welcome
  /// Whether the service has asked for a cycle at once.
  private(set) var isCycleOrdered = false
  /// What the service has ordered to be shut down, until somebody takes it.
  private var shutdownOrder: ShutdownOrder?
  /// When something came from the service last.
  private(set) var lastContact = Timestamp.now()
  /// How long it was waited for the link or the service, so far.
  private(set) var waited = Duration.zero
  /// Bytes of digests that came, so far.
  private(set) var digestBytes: UInt64 = 0
  /// Why the session is over; nil while it lives.
  private(set) var failure: AgentError?

  /// Opens a session; `sign` signs digests with the machine's key, and `judge` knows the service's
  /// certificate, if a relay is between. The times are for tests.
  ///
  /// - Throws: `.refused`, `.protocolBroken`, `.link`.
  init(
    _ link: any FrameLink, hello: Hello, sign: @escaping Signing,
    through judge: SourceSession.Judge? = nil, heartbeat: Duration = ServiceSession.heartbeat,
    patience: Duration = ServiceSession.patience
  ) throws(AgentError) {
    (self.heartbeat, self.patience) = (heartbeat, patience)
    var session = SourceSession(hello: hello, sign: sign, through: judge)
    try onLink { () throws(TransportError) in
      try link.send(session.start(), within: patience)
    }
    welcome = try Self.greet(&session, link, heartbeat, patience)
    (self.link, self.session, lastHeartbeat) = (link, session, clock.now)
  }

  /// Waits for the welcome. A relay that brings older groups to the service first says that it is alive, and
  /// wants to hear that of the agent too.
  private static func greet(
    _ session: inout SourceSession, _ link: any FrameLink, _ heartbeat: Duration,
    _ patience: Duration
  ) throws(AgentError) -> Welcome {
    var (told, heard) = (ContinuousClock.now, ContinuousClock.now)
    while true {
      if .now - told >= heartbeat {
        told = .now
        try onLink { () throws(TransportError) in
          try link.send(Heartbeat(clock: .now()).frame(), within: patience)
        }
      }
      let frame: Frame
      do throws(TransportError) { frame = try link.receive(within: heartbeat) } catch {
        guard error.code == .timedOut, .now - heard < patience else { throw AgentError(error) }
        continue
      }
      heard = .now
      switch try inProtocol({ () throws(ProtocolError) in try session.receive(frame) }) {
      case .welcomed(let welcome): return welcome
      case .refused(let refusal): throw AgentError(refusal)
      case .introduced, .alive: continue
      default:
        throw AgentError(.protocolBroken, "The service answered a hello with something else.")
      }
    }
  }

  /// What the agent is to do now.
  var assignment: Assignment { session.assignment ?? welcome.assignment }

  /// Everything up to this number is durable.
  var durable: SequenceNumber { session.durable }

  /// Sends a group, once the window has room for it.
  func send(_ group: Group) throws(AgentError) {
    try takeWhatCame()
    try wait { session.hasRoom(for: group.records.count) }
    let frame = try remembering { () throws(AgentError) in
      try inProtocol { () throws(ProtocolError) in try session.send(group) }
    }
    try send(frame)
  }

  /// Waits until everything up to `number` is durable; gives the recovery point that ended with it.
  func wait(for number: SequenceNumber) throws(AgentError) -> Stored.MadePoint? {
    try wait { session.durable >= number }
    defer { point = nil }
    return point?.sequence == number ? point : nil
  }

  /// Asks for digests and waits for the answer.
  func ask(_ query: some Message) throws(AgentError) -> Digests {
    try send(try inProtocol { () throws(ProtocolError) in try session.ask(query) })
    try wait { !answers.isEmpty }
    return answers.removeFirst()
  }

  /// Tells the service how the agent is doing.
  func report(_ report: Report) throws(AgentError) { try send(report.frame()) }

  /// The order to shut the source down, if one came since this was asked last.
  func takeShutdownOrder() -> ShutdownOrder? {
    defer { shutdownOrder = nil }
    return shutdownOrder
  }

  /// Tells the service how far the agent is with shutting the source down.
  func tell(_ state: ShutdownState) throws(AgentError) { try send(state.frame()) }

  /// Tells the service why the replica is doubtful.
  func raise(_ doubt: Doubt) throws(AgentError) { try send(doubt.frame()) }

  /// Takes what came, and says now and then that the agent is alive, which the service answers: through a
  /// long cycle without changes nothing else comes from there. Gives whether something came.
  @discardableResult
  func keepAlive() throws(AgentError) -> Bool {
    let hasNews = try takeWhatCame()
    try beat()
    return hasNews
  }

  private func beat() throws(AgentError) {
    guard clock.now - lastHeartbeat >= heartbeat else { return }
    lastHeartbeat = clock.now
    try send(Heartbeat(clock: .now()).frame())
  }

  /// Waits for what only the other end can bring about. What takes long there is no reason to fail, nor to
  /// fall silent here: who is between gives up on an agent that says nothing.
  ///
  /// - Throws: `.link` once nothing has come for as long as this end is patient, or nothing but signs of life
  ///   for much longer: who is between gives up on a service that is lost well before that.
  private func wait(until isDone: () -> Bool) throws(AgentError) {
    var heard = clock.now
    lastProgress = clock.now
    while !isDone() {
      try beat()
      if try take(within: min(heartbeat, patience), isPatient: true) {
        heard = clock.now
        guard clock.now - lastProgress < patience * 8 else {
          throw givenUp("The other end is alive, and has brought nothing further")
        }
      } else if clock.now - heard >= patience {
        throw givenUp("Nothing has come from the service")
      }
    }
  }

  private func givenUp(_ what: String) -> AgentError {
    let time = Int((clock.now - lastProgress).inSeconds)
    let error = explained(AgentError(.link, "\(what) for \(time) seconds."))
    if failure == nil { failure = error }
    return error
  }

  /// Waits for orders, at most so long, and keeps the session alive meanwhile.
  func idle(for duration: Duration) throws(AgentError) {
    // What came while nobody waited may be an order.
    guard try !keepAlive() else { return }
    try take(within: min(duration, heartbeat), isPatient: true)
  }

  /// Forgets that a cycle was ordered: it begins.
  func beginCycle() { isCycleOrdered = false }

  private func send(_ frame: Frame) throws(AgentError) {
    try remembering { () throws(AgentError) in
      let sealed = try inProtocol { () throws(ProtocolError) in try session.outgoing(frame) }
      try onLink { () throws(TransportError) in try link.send(sealed, within: patience) }
    }
  }

  /// Runs `body`, measures it, and keeps why it failed: the cycle above only knows that the session is over.
  private func remembering<Result>(
    _ body: () throws(AgentError) -> Result
  ) throws(AgentError) -> Result {
    let start = clock.now
    defer { waited += clock.now - start }
    do throws(AgentError) { return try body() } catch {
      if failure == nil { failure = explained(error) }
      throw failure ?? error
    }
  }

  /// A service that refuses closes at once: what it said of that may be read only after a failed send.
  private func explained(_ error: AgentError) -> AgentError {
    guard error.code == .link else { return error }
    let deadline = clock.now + .seconds(2)
    while clock.now < deadline, let frame = try? link.receive(within: .milliseconds(200)) {
      if case .refused(let refusal)? = try? session.receive(frame) { return AgentError(refusal) }
    }
    return error
  }

  @discardableResult
  private func takeWhatCame() throws(AgentError) -> Bool {
    var hasNews = false
    while try take(within: .zero, isPatient: true) { hasNews = true }
    return hasNews
  }

  /// Takes the next frame; false if none came and that is no failure.
  @discardableResult
  private func take(within duration: Duration, isPatient: Bool = false) throws(AgentError) -> Bool {
    try remembering { () throws(AgentError) in
      try next(within: duration, isPatient: isPatient)
    }
  }

  private func next(within duration: Duration, isPatient: Bool) throws(AgentError) -> Bool {
    let frame: Frame
    do throws(TransportError) { frame = try link.receive(within: duration) } catch {
      guard isPatient, error.code == .timedOut else { throw AgentError(error) }
      return false
    }
    lastContact = .now()
    let event = try inProtocol { () throws(ProtocolError) in try session.receive(frame) }
    switch event {
    case .refused(let refusal): throw AgentError(refusal)
    case .stored(let stored):
      lastProgress = clock.now
      if let made = stored.point { point = made }
    case .digests(let digests):
      answers.append(digests)
      digestBytes += UInt64(digests.cost)
    case .shutdown(let order): shutdownOrder = order
    case .ordered(let order): isCycleOrdered = isCycleOrdered || order.isNow
    case .relayed: lastProgress = clock.now
    case .alive, .welcomed, .introduced: break
    }
    return true
  }
}
