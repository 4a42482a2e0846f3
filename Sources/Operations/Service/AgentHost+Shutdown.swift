public import Bytes
internal import Catalog
internal import Dispatch
public import Replication
internal import ReplicationService
internal import Synchronization

/// What became of an attempt to shut a machine's source down.
public struct SourceShutdown: Sendable {
  /// Whether its agent was sent the order: it may go down even where nothing was heard of that.
  public let wasAsked: Bool
  /// Whether its agent says that it is down.
  public let isStopped: Bool
  /// Whether the agent made a recovery point after that, which holds everything.
  public let hasLastPoint: Bool
  /// How it went, in whole sentences.
  public let message: String
}

/// An order to shut a source down that somebody waits for.
struct PendingShutdown: Sendable {
  let number: UInt64
  /// What the agent told last.
  var state: ShutdownState?
}

extension AgentHost {
  /// What an agent may take longer than was allowed, to tell how it went.
  private static let grace = Duration.seconds(5)

  /// Has a machine's agent shut its source down and make a last recovery point, also behind a relay. Blocks.
  ///
  /// Never throws: whatever goes wrong is told in what it gives, for a failover goes on without.
  /// - Parameters:
  ///   - machine: the machine.
  ///   - seconds: how long shutting down may take; the agent kills its hook then.
  ///   - cycleSeconds: how long the last recovery point may take after that.
  ///   - contactSeconds: how long it is waited for an agent that is not connected: it may just be coming back.
  ///   - progress: hears each time the agent gets on.
  ///   - isCancelled: asked all the time; the agent is not called back.
  /// - Returns: what became of it, at the latest when both times and 15 seconds are over.
  public func shutDownSource(
    of machine: Identifier, within seconds: Int, lastCycleWithin cycleSeconds: Int = 120,
    contactWithin contactSeconds: Int = 10,
    progress: (ShutdownState) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) -> SourceShutdown {
    let order = ShutdownOrder(
      number: .random(in: 1...UInt64.max), limit: UInt32(clamping: max(1, seconds)))
    shutdowns.withLock { $0[machine] = PendingShutdown(number: order.number) }
    defer {
      shutdowns.withLock { pending in
        if pending[machine]?.number == order.number { pending[machine] = nil }
      }
    }
    var wait = ShutdownWait(order, cycleSeconds: cycleSeconds, grace: Self.grace)
    while !isCancelled() {
      if let connection = greetedConnection(of: machine) {
        if wait.isNew(connection) {
          try? connection.send(order.frame(), within: .seconds(2))
        }
      } else if wait.wasSilent(for: .seconds(contactSeconds)) {
        return SourceShutdown(
          wasAsked: false, isStopped: false, hasLastPoint: false,
          message: "Its agent is not connected, so the source was not asked to shut down.")
      }
      let pending = shutdowns.withLock { $0[machine] }
      if let told = pending?.state, told.number == order.number, wait.isNews(told) {
        progress(told)
      }
      if let end = wait.end() { return end }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(50))
    }
    return SourceShutdown(
      wasAsked: wait.wasAsked, isStopped: wait.last?.isStopped ?? false, hasLastPoint: false,
      message: "It was no longer waited for the source to shut down.")
  }

  /// The connection of a session whose agent has its welcome: nothing may come before that.
  private func greetedConnection(of machine: Identifier) -> Connection? {
    state.withLock { state in
      guard !state.draining.contains(machine), state.newcomers[machine] == nil else { return nil }
      return state.sessions[machine]
    }
  }

  /// Keeps how far the agent is.
  public func isShuttingDown(_ machine: Identifier, _ state: ShutdownState) {
    shutdowns.withLock { pending in
      guard pending[machine]?.number == state.number else { return }
      pending[machine]?.state = state
    }
  }
}

/// How long it is waited for what of a shutdown.
private struct ShutdownWait {
  private let order: ShutdownOrder
  private let cycleTime: Duration
  private let start = ContinuousClock.now
  private var deadline: ContinuousClock.Instant
  private var connection: ObjectIdentifier?
  private(set) var last: ShutdownState?

  init(_ order: ShutdownOrder, cycleSeconds: Int, grace: Duration) {
    self.order = order
    cycleTime = .seconds(max(0, cycleSeconds)) + grace
    deadline = start + .seconds(Int(order.limit)) + grace
  }

  /// Whether the agent has come back since the order was sent, or was not sent it yet.
  mutating func isNew(_ connection: Connection) -> Bool {
    defer { self.connection = ObjectIdentifier(connection) }
    return self.connection != ObjectIdentifier(connection)
  }

  /// Whether the order was sent to anybody.
  var wasAsked: Bool { connection != nil }

  /// Whether nobody was there to be asked for so long.
  func wasSilent(for time: Duration) -> Bool {
    !wasAsked && ContinuousClock.now - start >= time
  }

  /// Takes notice of what the agent tells; whether that is something else than before.
  mutating func isNews(_ state: ShutdownState) -> Bool {
    guard state != last else { return false }
    if state.phase == .lastCycle, last?.phase != .lastCycle { deadline = .now + cycleTime }
    last = state
    return true
  }

  /// What became of it; nil while it is to be waited for.
  func end() -> SourceShutdown? {
    if let last, last.phase == .over {
      return SourceShutdown(
        wasAsked: true, isStopped: last.isStopped, hasLastPoint: last.hasLastPoint,
        message: last.text)
    }
    guard ContinuousClock.now >= deadline else { return nil }
    let isStopped = last?.isStopped ?? false
    let message =
      switch last?.phase {
      case nil: "Its agent did not answer the order to shut the source down in time."
      case .stopping: "The source was still running when the time to shut it down was over."
      case .lastCycle, .over:
        "The last recovery point was not made in time. \(last?.text ?? "")"
      }
    return SourceShutdown(
      wasAsked: wasAsked, isStopped: isStopped, hasLastPoint: false, message: message)
  }
}
