internal import Identity
internal import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import Replication

/// The last handler of a connection's pipeline: turns bytes into frames, keeps time, and holds reading
/// back while the inbox is full. Lives on the connection's event loop.
final class FrameHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// How long each step may take.
  struct Times: Sendable {
    var handshake: Duration
    var firstFrame: Duration?
    var idle: Duration
    var frame: Duration
  }

  /// What becomes of the connection. Both are called at most once, and one of them always, if the
  /// connection was made at all.
  struct Events: Sendable {
    var established: @Sendable (any Channel, PeerIdentity) -> (Connection, any Inbox)
    var failed: @Sendable (TransportError) -> Void
  }

  private enum Phase {
    /// TLS is not through.
    case handshake
    /// Frames go both ways; `hasFrame` once one has come.
    case open(Connection, any Inbox, hasFrame: Bool)
    case ended
  }

  private var phase = Phase.handshake
  private var decoder = FrameDecoder()
  private let times: Times
  private let check: PeerCheck
  private let events: Events
  private let peerName: String
  private var began = NIODeadline.now()
  private var lastByte = NIODeadline.now()
  private var frameBegan: NIODeadline?
  private var timer: Scheduled<Void>?

  init(_ times: Times, _ check: PeerCheck, peerName: String, _ events: Events) {
    (self.times, self.check, self.peerName, self.events) = (times, check, peerName, events)
  }

  func channelActive(context: ChannelHandlerContext) {
    start(context)
    context.fireChannelActive()
  }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { start(context) }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case .handshakeCompleted? = event as? TLSUserEvent, case .handshake = phase else {
      return context.fireUserInboundEventTriggered(event)
    }
    do throws(TransportError) {
      let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
      let peer = try check.identity(certificate)
      let (connection, inbox) = events.established(context.channel, peer)
      phase = .open(connection, inbox, hasFrame: false)
      (began, lastByte) = (.now(), .now())
      keepTime(context)
    } catch { end(context, error) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .open(let connection, let inbox, let hasFrame) = phase, !connection.isEndedHere
    else { return }
    lastByte = .now()
    let frames: [Frame]
    do {
      frames = try unwrapInboundIn(data).withUnsafeReadableBytes { try decoder.decode($0) }
    } catch {
      return end(context, TransportError(.malformed, "\(peerName) sent no frame: \(error)."))
    }
    if !frames.isEmpty || !decoder.isInsideFrame { frameBegan = nil }
    if decoder.isInsideFrame, frameBegan == nil { frameBegan = lastByte }
    guard !frames.isEmpty else { return }
    if !hasFrame { phase = .open(connection, inbox, hasFrame: true) }
    inbox.deliver(frames)
  }

  func read(context: ChannelHandlerContext) {
    // Whoever makes room in the inbox calls `read` again.
    if case .open(_, let inbox, _) = phase, inbox.isFull { return }
    context.read()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard timer != nil else { return context.fireErrorCaught(error) }
    var isEarly = true
    if case .open(_, _, let hasFrame) = phase { isEarly = !hasFrame }
    end(context, check.failure ?? .failing(error, with: peerName, isEarly: isEarly))
  }

  func channelInactive(context: ChannelHandlerContext) {
    var error: TransportError?
    if case .handshake = phase {
      error = TransportError(.closed, "\(peerName) hung up before the handshake was over.")
    } else if decoder.isInsideFrame {
      error = TransportError(.closed, "\(peerName) went away in the middle of a frame.")
    }
    end(context, error)
    context.fireChannelInactive()
  }

  private func end(_ context: ChannelHandlerContext, _ error: TransportError?) {
    timer?.cancel()
    let before = phase
    phase = .ended
    switch before {
    case .handshake:
      events.failed(error ?? TransportError(.closed, "\(peerName) closed the connection."))
    case .open(let connection, let inbox, _): inbox.end(connection.ended(error))
    case .ended: return
    }
    context.close(promise: nil)
  }
}

/// Time-outs: one timer, set to the earliest moment at which one could be over.
extension FrameHandler {
  private func start(_ context: ChannelHandlerContext) {
    guard timer == nil else { return }
    (began, lastByte) = (.now(), .now())
    keepTime(context)
  }

  private func keepTime(_ context: ChannelHandlerContext) {
    guard let (due, error) = nextDue() else { return }
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [self] in
      guard let (due, _) = nextDue() else { return }
      guard due <= .now() else { return keepTime(context) }
      end(context, error)
    }
  }

  private func nextDue() -> (NIODeadline, TransportError)? {
    switch phase {
    case .ended: return nil
    case .handshake: return (began + times.handshake, late("finish the TLS handshake"))
    case .open(_, let inbox, let hasFrame):
      if inbox.isFull {
        // This end does not listen: the peer's time stands still.
        lastByte = .now()
        if frameBegan != nil { frameBegan = lastByte }
      }
      var due = (lastByte + times.idle, late("send anything, not even a heartbeat"))
      if let frameBegan, frameBegan + times.frame < due.0 {
        due = (frameBegan + times.frame, late("send a whole frame"))
      }
      if !hasFrame, let time = times.firstFrame, began + time < due.0 {
        due = (began + time, late("send a first frame"))
      }
      return due
    }
  }

  private func late(_ what: String) -> TransportError {
    TransportError(.timedOut, "\(peerName) took too long to \(what).")
  }
}

extension NIODeadline {
  static func + (left: NIODeadline, right: Duration) -> NIODeadline {
    left + .nanoseconds(Int64(right.seconds * 1e9))
  }
}
