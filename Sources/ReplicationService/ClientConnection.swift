public import Identity
internal import NIOCore
public import Replication

/// A connection with the service, for plain threads: one that receives, and any that send.
public final class ClientConnection: Sendable {
  let connection: Connection
  private let inbox: ClientInbox

  init(_ connection: Connection, _ inbox: ClientInbox) {
    (self.connection, self.inbox) = (connection, inbox)
  }

  /// The service, by its certificate.
  public var peer: PeerIdentity { connection.peer }

  /// Whether a frame can be handed over without waiting.
  public var isWritable: Bool { connection.isWritable }

  /// Hands a frame over, as ``Connection/send(_:within:)`` does.
  public func send(_ frame: Frame, within duration: Duration) throws(TransportError) {
    try connection.send(frame, within: duration)
  }

  /// Blocks until all that was handed over has left this process.
  public func flush(within duration: Duration) throws(TransportError) {
    try connection.flush(within: duration)
  }

  /// Waits for the next frame.
  ///
  /// While nobody receives, no more than a bounded number of bytes is read from the service.
  /// - Throws: `.timedOut` if none has come within `duration`; the connection lives on. Else why it has
  ///   ended, after all frames that came before were received.
  public func receive(within duration: Duration) throws(TransportError) -> Frame {
    try inbox.receive(within: duration, from: connection.address)
  }

  /// Ends the connection once what was handed over is sent, or in two seconds. Returns at once, and
  /// ends every wait in `send` and `receive`.
  public func close() {
    // In this order, so that who waits hears that it was this end.
    inbox.close()
    connection.close()
  }
}

/// A client's inbox: frames wait until a thread takes them.
final class ClientInbox: Inbox {
  private struct State: Sendable {
    var frames: Waiting<Frame>
    var end: TransportError?
  }

  private let state: Monitor<State>
  private let channel: any Channel

  init(_ channel: any Channel, limit: Int) {
    state = Monitor(State(frames: Waiting(limit: limit)))
    self.channel = channel
  }

  func deliver(_ frames: [Frame]) {
    state.change { state in
      for frame in frames { state.frames.append(frame, bytes: frame.heldSize) }
    }
  }

  var isFull: Bool { state.withLock { $0.frames.isFull } }

  func end(_ error: TransportError?) {
    let error = error ?? TransportError(.closed, "The service closed the connection.")
    state.change { if $0.end == nil { $0.end = error } }
  }

  /// This end closes: what came and was not received is dropped.
  func close() {
    state.change { state in
      state.frames.removeAll()
      if state.end == nil {
        state.end = TransportError(.cancelled, "The connection was closed here.")
      }
    }
  }

  func receive(within duration: Duration, from name: String) throws(TransportError) -> Frame {
    let deadline = ContinuousClock.now + .seconds(duration.seconds)
    typealias Outcome = Result<(frame: Frame, hasRoom: Bool), TransportError>
    let outcome = state.wait(until: deadline) { state -> Outcome? in
      if let frame = state.frames.takeFirst() {
        return .success((frame, state.frames.consumed(frame.heldSize)))
      }
      return state.end.map { .failure($0) }
    }
    guard let outcome else {
      throw TransportError(.timedOut, "\(name) has sent nothing in \(duration).")
    }
    let (frame, hasRoom) = try outcome.get()
    if hasRoom { channel.read() }
    return frame
  }
}
