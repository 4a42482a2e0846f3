internal import NIOCore
internal import NIOPosix
public import Replication

/// What the service does with a connection. Calls come one after another, from different threads of a
/// pool, never from an event loop, so a handler may block (on the disk, or in `send`); while it does, no
/// more than a bounded number of bytes is read from the peer.
public protocol ConnectionHandler: Sendable {
  /// The first call.
  func connected(_ connection: Connection)
  /// A frame came. The bytes count as consumed when this returns.
  func received(_ frame: Frame, on connection: Connection)
  /// Nothing more waits for now, and frames came since the last such call: what was put off is done.
  func caughtUp(on connection: Connection)
  /// The last call, after every frame that came was handed over (unless the connection was cut).
  ///
  /// `error` is nil if one of both ends just closed the connection.
  func closed(_ connection: Connection, error: TransportError?)
}

extension ConnectionHandler {
  /// Nothing was put off.
  public func caughtUp(on connection: Connection) {}
}

/// The service's inbox of one connection: hands events to the handler, in order, on the pool's threads.
final class Mailbox: Inbox {
  private enum Event: Sendable {
    case connected
    case frame(Frame)
    case closed(TransportError?)
  }

  private struct State: Sendable {
    var events: Waiting<Event>
    /// Whether a thread has been asked for, or is at work.
    var isScheduled = false
    /// Whether frames were handled since the handler was told that nothing waits.
    var isBehind = false
    var isEnded = false
  }

  private let state: Monitor<State>
  private let connection: Connection
  private let handler: any ConnectionHandler
  private let pool: NIOThreadPool
  private let finished: @Sendable () -> Void

  /// Events handled before other connections get their turn.
  private static let turn = 16

  /// `finished` is called once, after the handler's last call.
  init(
    _ connection: Connection, limit: Int, handler: any ConnectionHandler, pool: NIOThreadPool,
    finished: @escaping @Sendable () -> Void
  ) {
    state = Monitor(State(events: Waiting(limit: limit)))
    (self.connection, self.handler, self.pool, self.finished) = (
      connection, handler, pool, finished
    )
    add { $0.append(.connected, bytes: 0) }
  }

  func deliver(_ frames: [Frame]) {
    add { events in
      for frame in frames { events.append(.frame(frame), bytes: frame.heldSize) }
    }
  }

  var isFull: Bool { state.withLock { $0.events.isFull } }

  func end(_ error: TransportError?) {
    add(isLast: true) { events in
      // What a peer said whose certificate is void is not listened to.
      if error?.code == .cut { events.removeAll() }
      events.append(.closed(error), bytes: 0)
    }
  }

  private func add(isLast: Bool = false, _ change: (inout Waiting<Event>) -> Void) {
    let mustSchedule = state.withLock { state in
      guard !state.isEnded else { return false }
      state.isEnded = isLast
      change(&state.events)
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    if mustSchedule { schedule() }
  }

  private func schedule() {
    pool.submit { _ in self.work() }
  }

  private func work() {
    for _ in 0..<Self.turn {
      switch next() {
      case .event(.connected): handler.connected(connection)
      case .event(.frame(let frame)):
        handler.received(frame, on: connection)
        if state.withLock({ $0.events.consumed(frame.heldSize) }) { connection.channel.read() }
      case .event(.closed(let error)):
        handler.closed(connection, error: error)
        return finished()
      case .rest: handler.caughtUp(on: connection)
      case .end: return
      }
    }
    schedule()
  }

  private enum Step {
    case event(Event)
    case rest
    /// Nothing is to be done until something comes.
    case end
  }

  private func next() -> Step {
    state.withLock { state in
      if let event = state.events.takeFirst() {
        if case .frame = event { state.isBehind = true }
        return .event(event)
      }
      guard state.isBehind else {
        state.isScheduled = false
        return .end
      }
      state.isBehind = false
      return .rest
    }
  }
}
