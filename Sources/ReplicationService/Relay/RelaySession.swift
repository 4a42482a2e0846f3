internal import Bytes
internal import FileIO
internal import Identity
internal import Replication
internal import Vault

/// A machine's session as a relay carries it: an agent at one end, the service at the other.
///
/// Groups go into the machine's queue and from there to the service, as its window allows; everything else
/// goes straight on. Where the service is lost, the session is *detached*: groups are still taken, until the
/// cache is full. Once it is back and has got what waits, the agent is sent away, so that it begins a session
/// of which the service knows.
final class RelaySession: Sendable {
  private enum Phase: Sendable {
    /// The service has not welcomed the agent yet, which it was asked for at that moment.
    case greeting(ContinuousClock.Instant?)
    /// Both ends are there.
    case open
    /// The service was lost at that moment.
    case detached(ContinuousClock.Instant)
    case over
  }

  private struct State: Sendable {
    var phase = Phase.greeting(nil)
    var upstream: ClientConnection?
    /// The newest number handed to the service.
    var sent = SequenceNumber.zero
    /// Groups on their way to the service.
    var flying: [CachedGroup] = []
    var window = 0
    /// Threads that use the connection with the service; the last one gives the queue back.
    var workers = 0
    /// Whose groups are taken, once the service has welcomed the agent.
    var session: CachedSession?
    /// The newest number the agent has sent.
    var last = SequenceNumber.zero
    /// Bytes of groups that are appended and not synced.
    var unsynced = 0
  }

  let machine: Identifier
  private let certificate: [UInt8]
  private let queue: GroupQueue
  private let agent: Connection
  private let relay: Relay
  private let cancellation = Cancellation()
  private let state = Monitor(State())

  /// How long the other end may take for what it should do at once.
  private static let patience = Duration.seconds(60)
  /// How long the service may take to welcome an agent: it may wait there for an older session to end.
  private static let greetingTime = Duration.seconds(120)

  init(_ peer: PeerIdentity, _ queue: GroupQueue, _ agent: Connection, _ relay: Relay) {
    (machine, certificate) = (queue.machine, peer.certificateDER)
    (self.queue, self.agent, self.relay) = (queue, agent, relay)
  }

  private var isOver: Bool {
    state.withLock { state in
      if case .over = state.phase { return true }
      return false
    }
  }

  private var isGreeting: Bool {
    state.withLock { state in
      if case .greeting = state.phase { return true }
      return false
    }
  }

  private var isOpen: Bool {
    state.withLock { state in
      if case .open = state.phase { return true }
      return false
    }
  }

  /// Brings what is left of older sessions to the service, and then the agent's hello.
  func begin(_ hello: Frame) {
    relay.replace(with: self)?.end(.busy, "Another session of this machine has begun.")
    guard queue.lease(within: Self.patience, isOver: { [self] in isOver }) else {
      return end(.busy, "The relay is still busy with an older session. It is tried again.")
    }
    do throws(TransportError) {
      try RelayDrain(relay, queue).run(cancellation)
      let upstream = try relay.client.connect(
        to: relay.settings.host, port: relay.settings.port, within: relay.settings.attempt,
        cancellation: cancellation)
      try start(upstream)
      let opening = RelayHello(.session, certificate: certificate, session: .random())
      try upstream.send(opening.frame(), within: Self.patience)
      try upstream.send(hello, within: Self.patience)
    } catch {
      if state.withLock({ $0.upstream }) == nil { queue.endLease() }
      end(.unavailable, "The relay can't reach the service: \(error.message)")
    }
  }

  /// Begins to carry what the service says; the connection's last user gives the queue back from now on.
  private func start(_ upstream: ClientConnection) throws(TransportError) {
    state.change { state in
      (state.upstream, state.workers) = (upstream, 1)
      if case .greeting = state.phase { state.phase = .greeting(.now) }
    }
    if isOver { upstream.close() }
    let hasStarted = OwnThread.start { [self] in
      carryDown(from: upstream)
      workerEnded()
    }
    guard !hasStarted else { return }
    upstream.close()
    workerEnded()
    throw TransportError(.unreachable, "The relay has no thread left for another session.")
  }

  private func workerEnded() {
    let isLast = state.change { state in
      state.workers -= 1
      return state.workers == 0
    }
    guard isLast else { return }
    if queue.isEmpty, isOver { _ = try? queue.clear() }
    queue.endLease()
    relay.drainSoon(machine)
  }

  // MARK: - Ends

  /// Sends the agent away.
  func end(_ code: Refusal.Code, _ text: String) {
    guard close() else { return }
    try? agent.send(Refusal(code, text).frame(), within: .seconds(2))
    agent.close()
  }

  /// The agent's connection is gone.
  func agentGone() { _ = close() }

  /// Ends everything but the agent's connection; false if that was done before.
  private func close() -> Bool {
    let (isFirst, upstream) = state.change { state -> (Bool, ClientConnection?) in
      if case .over = state.phase { return (false, nil) }
      state.phase = .over
      return (true, state.upstream)
    }
    guard isFirst else { return false }
    cancellation.cancel()
    upstream?.close()
    queue.wake()
    relay.forget(self)
    return true
  }

  private func serviceLost(_ reason: String) {
    let wasOpen = state.change { state in
      guard case .open = state.phase else { return false }
      state.phase = .detached(.now)
      return true
    }
    queue.wake()
    guard wasOpen else {
      return end(.unavailable, "The relay has lost the service: \(reason)")
    }
    relay.note(
      "The service is lost; the cache takes what comes", isWarning: true,
      ["machine": "\(machine)", "reason": reason])
  }

  /// Everything that was in the cache is stored.
  func drained() {
    guard case .detached = state.withLock({ $0.phase }) else { return }
    end(.unavailable, "The relay has found the service again. A new session begins.")
  }

  /// Tells both ends that this one is alive.
  func keepAlive() {
    if agent.isWritable {
      try? agent.send(Heartbeat(clock: .now()).frame(), within: .milliseconds(100))
    }
    switch state.withLock({ $0.phase }) {
    case .over: break
    case .greeting(let since):
      guard let since, since + Self.greetingTime < .now else { return }
      end(.unavailable, "The service has not welcomed the agent in time.")
    case .open:
      guard let upstream = state.withLock({ $0.upstream }), upstream.isWritable else { return }
      try? upstream.send(Heartbeat(clock: .now()).frame(), within: .milliseconds(100))
    case .detached(let since):
      if since + relay.settings.patience < .now {
        end(.unavailable, "The relay has not found the service again for long.")
      } else if queue.isEmpty, relay.hasHeard(since: since) {
        drained()
      }
    }
  }
}

/// From the service to the agent.
extension RelaySession {
  private func carryDown(from upstream: ClientConnection) {
    while !isOver {
      do throws(TransportError) {
        let frame = try upstream.receive(within: .seconds(90))
        try pass(frame, upstream)
      } catch {
        upstream.close()
        return serviceLost(error.message)
      }
    }
  }

  private func pass(
    _ frame: Frame, _ upstream: ClientConnection
  ) throws(TransportError) {
    let content = Seal.content(of: frame)
    switch MessageType(rawValue: frame.type) {
    case .heartbeat: return
    case .welcome: open(content.flatMap { try? Welcome($0) }, upstream)
    case .stored: if let stored = content.flatMap({ try? Stored($0) }) { forget(stored.through) }
    case .refusal:
      try? agent.send(frame, within: Self.patience)
      _ = close()
      return agent.close()
    default: break
    }
    do throws(TransportError) { try agent.send(frame, within: Self.patience) } catch {
      end(.unavailable, "The agent takes nothing.")
    }
  }

  /// The service has welcomed the agent: groups may come.
  private func open(_ welcome: Welcome?, _ upstream: ClientConnection) {
    guard let welcome else { return end(.unavailable, "The service's welcome can't be read.") }
    guard isGreeting else {
      return end(.unavailable, "The service has welcomed the agent twice.")
    }
    let session = CachedSession(
      vault: welcome.vault, machine: machine, session: welcome.session, certificate: certificate)
    do throws(CacheError) { try queue.begin(session) } catch {
      return end(.unavailable, error.message)
    }
    let isOpened = state.change { state in
      guard case .greeting = state.phase else { return false }
      state.phase = .open
      (state.sent, state.last) = (welcome.position.sequence, welcome.position.sequence)
      (state.window, state.session) = (Int(welcome.window), session)
      state.workers += 1
      return true
    }
    guard isOpened else { return }
    let hasStarted = OwnThread.start { [self] in
      carryUp(to: upstream)
      workerEnded()
    }
    guard !hasStarted else { return }
    end(.unavailable, "The relay has no thread left for another session.")
    workerEnded()
  }

  private func forget(_ number: SequenceNumber) {
    let before = queue.pendingBytes
    queue.drop(through: number)
    relay.stored(before - min(before, queue.pendingBytes))
    state.change { state in state.flying.removeAll { $0.last <= number } }
  }
}

/// From the agent to the service.
extension RelaySession {
  /// Does what a frame of the agent asks for. Blocks while the cache is full.
  func received(_ frame: Frame) {
    guard !isOver else { return }
    switch MessageType(rawValue: frame.type) {
    case .group: take(frame)
    case .blockQuery, .pageQuery:
      // An answer is of what was sent before the question.
      let hasSent = queue.waitUntilSent(
        within: relay.settings.patience, { [self] number in state.withLock { $0.sent >= number } },
        isOver: { [self] in !isOpen })
      guard hasSent, send(frame) else {
        return end(.unavailable, "The relay can't ask the service.")
      }
    case .report, .doubt, .shutdownState:
      // Sealed frames are counted: without this one, none that follows would be believed. One that comes
      // while the service is lost needs no bringing, for another session will begin.
      guard send(frame) || (!isOpen && frame.type == MessageType.report.rawValue) else {
        return end(.unavailable, "The relay can't tell the service.")
      }
    case .heartbeat:
      try? agent.send(Heartbeat(clock: .now()).frame(), within: .seconds(5))
      _ = send(frame)
    default: end(.unavailable, "The agent sent a frame of type \(frame.type) to a relay.")
    }
  }

  /// Sends a frame on, if the service is there.
  private func send(_ frame: Frame) -> Bool {
    guard isOpen, let upstream = state.withLock({ $0.upstream }) else { return false }
    return (try? upstream.send(frame, within: Self.patience)) != nil
  }

  private func take(_ frame: Frame) {
    let (session, last) = state.withLock { ($0.session, $0.last) }
    guard let session, let group = try? Group(frame), group.last > last else {
      return end(.unavailable, "The agent sent a group that is none, or out of turn.")
    }
    let size = UInt64(frame.payload.count)
    let deadline = ContinuousClock.now + relay.settings.patience
    while !relay.budget.take(size, within: .milliseconds(500)) {
      if isOver { return }
      if deadline < .now { return end(.full, "The relay's cache is full.") }
    }
    do throws(CacheError) {
      try queue.append(group.last, cost: group.cost, frame.payload, of: session)
    } catch {
      relay.budget.give(size)
      return lost(error)
    }
    let unsynced = state.change { state in
      state.last = group.last
      state.unsynced += frame.payload.count
      return state.unsynced
    }
    if unsynced >= Self.syncSize { caughtUp() }
  }

  /// Bytes that are appended before one fdatasync, while more wait.
  private static let syncSize = 6 << 20

  /// Makes durable what was appended, and tells the agent so.
  func caughtUp() {
    let (last, count) = state.withLock { ($0.last, $0.unsynced) }
    guard count > 0, !isOver else { return }
    do throws(CacheError) { try queue.sync() } catch { return lost(error) }
    state.withLock { $0.unsynced = 0 }
    // Where room is scarce only what is stored frees the agent's window.
    guard !relay.budget.isScarce else { return }
    try? agent.send(Relayed(through: last).frame(), within: Self.patience)
  }

  /// The cache takes nothing.
  private func lost(_ error: CacheError) {
    if error.code != .over { relay.complain(error.message) }
    end(error.code == .full ? .full : .unavailable, error.message)
  }

  private func carryUp(to upstream: ClientConnection) {
    while isOpen {
      let sent = state.withLock { $0.sent }
      guard
        let group = queue.waitForNext(
          after: sent, within: .seconds(1), isOver: { [self] in !isOpen }),
        waitForWindow(group)
      else { continue }
      do {
        let payload = try queue.read(group)
        state.change { $0.flying.append(group) }
        try upstream.send(
          Frame(type: Group.type.rawValue, payload: payload), within: Self.patience)
        state.change { $0.sent = group.last }
        queue.wake()
      } catch let error as CacheError {
        return end(.unavailable, error.message)
      } catch {
        // The one that receives learns of it too, and says why.
        return upstream.close()
      }
    }
  }

  private func waitForWindow(_ group: CachedGroup) -> Bool {
    state.wait(until: .now + .seconds(1)) { state -> Bool? in
      guard case .open = state.phase else { return false }
      let cost = state.flying.reduce(group.cost) { $0 + $1.cost }
      return state.flying.isEmpty || cost <= state.window ? true : nil
    } ?? false
  }
}
