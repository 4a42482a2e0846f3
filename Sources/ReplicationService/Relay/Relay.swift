internal import Bytes
internal import Dispatch
public import FileIO
public import Identity
internal import Replication
internal import Synchronization
internal import Vault

/// A stand-alone process server: takes the sessions of agents, keeps their groups in a cache of its own, and
/// carries them to the service. The page `Protocol` of the module `Replication` tells how it can delay and not
/// forge.
///
/// It listens from the moment it is made; ``run(until:)`` does the rest. Safe from any thread.
public final class Relay: Sendable {
  let settings: RelaySettings
  private let own: Mutex<Client>
  private let files: IdentityFiles
  let budget: CacheBudget
  private let release: String
  private let system: FileSystem
  private let tell: @Sendable (RelayNote) -> Void
  private let meter = LoadMeter()
  private let state: Mutex<State>
  private let listening = Mutex<Listener?>(nil)

  private struct State: Sendable {
    var queues: [Identifier: GroupQueue] = [:]
    var sessions: [Identifier: RelaySession] = [:]
    var revoked: Set<String> = []
    /// When a machine's groups are brought to the service next.
    var nextDrain: [Identifier: ContinuousClock.Instant] = [:]
    var draining: Set<Identifier> = []
    var stored: UInt64 = 0
    var lastTold = ""
    /// When the service was heard last.
    var heard: ContinuousClock.Instant?
  }

  /// Machines whose groups are brought to the service at a time, beside those in session.
  private static let drainLimit = 8

  /// Takes up the cache that an earlier run has left, and listens.
  ///
  /// - Parameters:
  ///   - files: key, certificate and authority of the relay, which it renews.
  ///   - settings: where it listens, whom it serves, and what it may hold.
  ///   - release: this release's version.
  ///   - system: where the cache lies.
  ///   - tell: told what happens; must not block for long.
  /// - Throws: `.credentials`, `.address`; `.cache` if the cache can't be read.
  public init(
    identity files: IdentityFiles, settings: RelaySettings, release: String,
    on system: FileSystem = .system, tell: @escaping @Sendable (RelayNote) -> Void
  ) throws(TransportError) {
    (self.files, self.settings, self.release) = (files, settings, release)
    let credentials: Credentials
    do throws(IdentityError) { credentials = try files.load() } catch {
      throw TransportError(.credentials, error.message)
    }
    (self.system, self.tell) = (system, tell)
    own = Mutex(try Client(credentials: credentials, now: { .now() }))
    let budget = CacheBudget(limit: settings.cacheLimit)
    self.budget = budget
    do throws(CacheError) {
      state = Mutex(State(queues: try Self.queues(in: settings.cache, budget, system)))
    } catch { throw TransportError(.cache, error.message) }
    let listener = try Listener(
      credentials: credentials, settings: settings.listener, now: { .now() },
      isRevoked: { [self] peer in state.withLock { $0.revoked.contains(peer.serial) } },
      report: { report in
        tell(
          RelayNote(
            isWarning: true, message: "Connections were turned away: \(report.reason)",
            fields: ["count": "\(report.count)", "address": report.address]))
      }, makeHandler: { [self] in RelayHandler(peer: $0, relay: self) })
    listening.withLock { $0 = listener }
  }

  private static func queues(
    in directory: String, _ budget: CacheBudget, _ system: FileSystem
  ) throws(CacheError) -> [Identifier: GroupQueue] {
    var queues: [Identifier: GroupQueue] = [:]
    do throws(IOError) {
      if !system.exists(directory) {
        try system.makeDirectory(directory, permissions: 0o700)
        try system.syncDirectory(FileSystem.parent(of: directory))
      }
      for name in try system.list(directory) {
        guard let machine = Identifier(name) else { continue }
        // What can't be read keeps the one machine out, when its agent comes, and no other.
        queues[machine] = try? GroupQueue(machine, in: "\(directory)/\(name)", budget, on: system)
      }
    } catch { throw CacheError(error) }
    return queues
  }

  /// What connects to the service.
  var client: Client { own.withLock { $0 } }

  /// The port that is listened on; 0 once stopped.
  public var port: Int { listening.withLock { $0?.port ?? 0 } }

  /// Bytes in the cache that the service has not stored yet.
  public var pendingBytes: UInt64 { budget.usedBytes }

  /// Tells the service how the relay is doing, brings it what is left, and keeps agents patient, until it is
  /// cancelled; then it stops listening. Blocks.
  public func run(until cancellation: Cancellation) {
    let control = DispatchQueue(label: "relay.control")
    let done = DispatchSemaphore(value: 0)
    control.async { [self] in
      reportForever(cancellation)
      done.signal()
    }
    var nextHeartbeat = ContinuousClock.now
    while !cancellation.wait(for: .milliseconds(200)) {
      startDrains(cancellation)
      guard nextHeartbeat <= .now else { continue }
      nextHeartbeat = .now + settings.heartbeat
      for session in state.withLock({ Array($0.sessions.values) }) { session.keepAlive() }
      listening.withLock { $0 }?.cut(because: "expired") { $0.notAfter < .now() }
    }
    let listener = listening.withLock { listener in
      defer { listener = nil }
      return listener
    }
    for session in state.withLock({ Array($0.sessions.values) }) {
      session.end(.stopping, "The relay is stopping.")
    }
    try? listener?.stop(within: .seconds(20))
    _ = done.wait(timeout: .now() + 15)
  }

  func note(_ message: String, isWarning: Bool = false, _ fields: [String: String] = [:]) {
    tell(RelayNote(isWarning: isWarning, message: message, fields: fields))
  }
}

/// Machines: their groups and sessions.
extension Relay {
  /// The groups of a machine.
  func queue(of machine: Identifier) throws(CacheError) -> GroupQueue {
    if let known = state.withLock({ $0.queues[machine] }) { return known }
    let made = try GroupQueue(
      machine, in: "\(settings.cache)/\(machine)", budget, on: system)
    let (kept, isMade) = state.withLock { state in
      if let known = state.queues[machine] { return (known, false) }
      state.queues[machine] = made
      return (made, true)
    }
    // Two that came at once have counted the same groups.
    if !isMade { budget.give(made.pendingBytes) }
    return kept
  }

  /// Makes a session the machine's only one; gives the one before.
  func replace(with session: RelaySession) -> RelaySession? {
    state.withLock { $0.sessions.updateValue(session, forKey: session.machine) }
  }

  /// Forgets a session that has ended, unless there is a newer one.
  func forget(_ session: RelaySession) {
    state.withLock { state in
      if state.sessions[session.machine] === session { state.sessions[session.machine] = nil }
    }
  }

  /// Whether the service has told the relay something since then.
  func hasHeard(since moment: ContinuousClock.Instant) -> Bool {
    state.withLock { $0.heard.map { $0 > moment } ?? false }
  }

  /// Counts what the service has stored.
  func stored(_ bytes: UInt64) { state.withLock { $0.stored += bytes } }

  /// Has a machine's groups brought to the service soon.
  func drainSoon(_ machine: Identifier) { state.withLock { $0.nextDrain[machine] = .now } }

  private func startDrains(_ cancellation: Cancellation) {
    let due = state.withLock { state -> [GroupQueue] in
      let now = ContinuousClock.now
      let waiting = state.queues.values.filter { queue in
        !queue.isEmpty && !state.draining.contains(queue.machine)
          && state.nextDrain[queue.machine] ?? now <= now
      }
      let chosen = waiting.prefix(max(0, Self.drainLimit - state.draining.count))
      for queue in chosen { state.draining.insert(queue.machine) }
      return Array(chosen)
    }
    for queue in due {
      DispatchQueue(label: "relay.drain").async { [self] in
        drainOnce(queue, cancellation)
        state.withLock { state in
          state.draining.remove(queue.machine)
          state.nextDrain[queue.machine] = .now + settings.pause
        }
      }
    }
  }

  private func drainOnce(_ queue: GroupQueue, _ cancellation: Cancellation) {
    // A session that lives brings its groups itself.
    guard queue.lease(within: .zero) else { return }
    defer { queue.endLease() }
    do throws(TransportError) {
      try RelayDrain(self, queue).run(cancellation)
    } catch {
      return complain("What the cache holds can't be brought to the service: \(error.message)")
    }
    state.withLock { $0.sessions[queue.machine] }?.drained()
  }

  /// Hands on what an agent asks for in the place of its certificate, and what the service answers. Blocks
  /// for a short while.
  func renew(_ frame: Frame) throws(TransportError) -> Frame {
    let upstream = try client.connect(
      to: settings.host, port: settings.port, within: settings.attempt)
    defer { upstream.close() }
    try upstream.send(frame, within: .seconds(10))
    let deadline = ContinuousClock.now + .seconds(20)
    while true {
      let answer = try upstream.receive(within: max(.zero, deadline - .now))
      if answer.type != MessageType.heartbeat.rawValue { return answer }
    }
  }

  func complain(_ message: String) {
    let isNews = state.withLock { state in
      defer { state.lastTold = message }
      return state.lastTold != message
    }
    if isNews { note(message, isWarning: true) }
  }
}

/// What the service is told, and tells.
extension Relay {
  /// Gets a new certificate once two thirds of the life of the one in use are over; what fails is tried
  /// again at the next connection, an hour later at the latest.
  private func renewIfDue(_ cancellation: Cancellation) {
    guard let old = try? files.load(), old.needsRenewal(at: .now()) else { return }
    do {
      let new = try CertificateRenewal(
        of: files, at: settings.host, port: settings.port, now: { .now() }
      ).run(cancellation: cancellation)
      let client = try Client(credentials: new, now: { .now() })
      own.withLock { $0 = client }
      try listening.withLock({ $0 })?.replace(credentials: new)
      note("Renewed the certificate", ["serial": new.identity.serial])
    } catch { complain("The relay's certificate could not be renewed: \(error)") }
  }

  private func reportForever(_ cancellation: Cancellation) {
    var backoff = Backoff()
    while !cancellation.isCancelled {
      renewIfDue(cancellation)
      do throws(TransportError) {
        let connection = try client.connect(
          to: settings.host, port: settings.port, within: settings.attempt,
          cancellation: cancellation)
        defer { connection.close() }
        try cancellation.during({ connection.close() }) { () throws(TransportError) in
          try report(on: connection, &backoff, cancellation)
        }
      } catch {
        guard !cancellation.isCancelled else { return }
        complain("The service can't be told how the relay is doing: \(error.message)")
        _ = cancellation.wait(for: min(backoff.next(), settings.statusInterval))
      }
    }
  }

  private func report(
    on connection: ClientConnection, _ backoff: inout Backoff, _ cancellation: Cancellation
  ) throws(TransportError) {
    let renewal = ContinuousClock.now + .seconds(3600)
    while !cancellation.isCancelled, .now < renewal {
      try connection.send(status().frame(), within: .seconds(30))
      let next = ContinuousClock.now + settings.statusInterval
      var isWanted = false
      while !isWanted, .now < next {
        let frame: Frame
        do throws(TransportError) {
          frame = try connection.receive(within: next - .now)
        } catch {
          guard error.code == .timedOut else { throw error }
          break
        }
        isWanted = try obey(frame)
        backoff.reset()
      }
    }
  }

  /// Obeys the service; gives whether it wants a status at once.
  private func obey(_ frame: Frame) throws(TransportError) -> Bool {
    if let refusal = try? Refusal(frame) {
      throw TransportError(.rejected, "The service refuses the relay: \(refusal.text)")
    }
    guard let orders = try? RelayOrders(frame) else {
      throw TransportError(.malformed, "The service sent what no relay understands.")
    }
    let revoked = Set(orders.revoked)
    let isNews = state.withLock { state in
      defer { (state.revoked, state.heard, state.lastTold) = (revoked, .now, "") }
      return state.revoked != revoked
    }
    if isNews { listening.withLock { $0 }?.cut { revoked.contains($0.serial) } }
    return orders.isStatusWanted
  }

  private func status() -> RelayStatus {
    let (stored, machines) = state.withLock { ($0.stored, $0.sessions.count) }
    meter.note(stored: stored, pending: budget.usedBytes)
    let use = meter.use
    let room = budget.limit - min(budget.limit, budget.usedBytes)
    let disk = (try? system.space(at: settings.cache))?.free ?? 0
    return RelayStatus(
      release: release, clock: .now(), addresses: settings.addresses,
      port: UInt16(clamping: settings.advertised ?? port),
      load: ServerLoad(
        processor: use.processor, memory: use.memory, cacheFree: min(room, disk),
        cacheSize: budget.limit, pendingBytes: budget.usedBytes,
        pendingSeconds: meter.pendingSeconds, machines: UInt32(clamping: machines)))
  }
}
