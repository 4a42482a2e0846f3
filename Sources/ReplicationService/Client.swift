public import Bytes
public import Identity
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// The end of an agent or relay: makes connections to the vault's service. For plain threads; every
/// call that waits has a limit.
public final class Client: Sendable {
  private let credentials: Credentials
  private let peer: Role
  private let settings: ClientSettings
  private let context: NIOSSLContext
  private let rate: RateLimit?
  private let now: @Sendable () -> Timestamp

  /// Gets ready to connect with these credentials; after a renewal make another client.
  ///
  /// - Parameters:
  ///   - credentials: key, certificate and authority of this end.
  ///   - peer: who must be at the other end: the service, or a relay.
  ///   - settings: limits of each connection.
  ///   - rate: what all connections of this client together may send; shared with whoever else has it.
  ///   - now: the clock that certificates are judged by.
  /// - Throws: `.credentials` if they can't be used for TLS.
  public init(
    credentials: Credentials, to peer: Role = .service, settings: ClientSettings = ClientSettings(),
    rate: RateLimit? = nil, now: @escaping @Sendable () -> Timestamp
  ) throws(TransportError) {
    self.peer = peer
    (self.credentials, self.settings, self.rate, self.now) = (credentials, settings, rate, now)
    context = try TLS.context(credentials, isServer: false)
  }

  /// Connects, and checks that the peer is who it must be.
  ///
  /// TLS 1.3 lets the client finish before the service has judged it: whether this end is accepted
  /// shows only when the service answers the first frame. If it is not, `receive` throws `.rejected`.
  /// - Throws: `.refused`, `.unreachable`, `.handshake`, `.credentials`, `.timedOut`, `.cancelled`.
  public func connect(
    to host: String, port: Int = ListenerSettings.defaultPort, within duration: Duration,
    cancellation: Cancellation = Cancellation()
  ) throws(TransportError) -> ClientConnection {
    do throws(IdentityError) { try credentials.checkValidity(at: now()) } catch {
      throw TransportError(.credentials, error.message)
    }
    let target = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    guard (1...65535).contains(port) else {
      throw TransportError(.unreachable, "There is no port \(port).")
    }
    let attempt = Attempt()
    let deadline = ContinuousClock.now + .seconds(duration.seconds)
    ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(.nanoseconds(Int64(duration.seconds * 1e9)))
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelOption(.socketOption(.so_keepalive), value: 1)
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelInitializer { [self] in prepare($0, attempt, target, duration) }
      .connect(host: host, port: port)
      .whenComplete { result in
        switch result {
        case .success(let channel): attempt.connected(channel)
        case .failure(let error): attempt.finish(.failure(.connecting(error, to: target)))
        }
      }
    return try cancellation.during({ attempt.finish(.failure(Self.cancelled(target))) }) {
      () throws(TransportError) in
      try attempt.result(until: deadline, orElse: .timedOut(connectingTo: target))
    }
  }

  /// Connects, trying again and again with longer and longer waits until it works or is cancelled.
  ///
  /// - Parameters:
  ///   - host: the service's name or address.
  ///   - port: its port.
  ///   - attempt: how long one attempt may take.
  ///   - backoff: the caller's, so that it goes on where the last connection was of no use.
  ///   - cancellation: ends the waits.
  ///   - failed: told of each failure and the wait that follows; gives whether to try again.
  /// - Returns: the connection.
  /// - Throws: `.cancelled`, or the last failure once `failed` has given false.
  public func connectPersistently(
    to host: String, port: Int = ListenerSettings.defaultPort, attempt: Duration,
    backoff: inout Backoff, cancellation: Cancellation,
    failed: (TransportError, Duration) -> Bool
  ) throws(TransportError) -> ClientConnection {
    while true {
      do throws(TransportError) {
        return try connect(to: host, port: port, within: attempt, cancellation: cancellation)
      } catch {
        let pause = backoff.next()
        guard error.code != .cancelled, failed(error, pause) else { throw error }
        guard !cancellation.wait(for: pause) else { throw Self.cancelled("\(host):\(port)") }
      }
    }
  }

  private static func cancelled(_ target: String) -> TransportError {
    TransportError(.cancelled, "Connecting to \(target) was cancelled.")
  }

  private func prepare(
    _ channel: any Channel, _ attempt: Attempt, _ target: String, _ duration: Duration
  ) -> EventLoopFuture<Void> {
    let check = PeerCheck(credentials.trust, .server(peer), now: now)
    let events = FrameHandler.Events(
      established: { [settings, rate] channel, peer in
        let connection = Connection(
          channel, peer: peer, address: target, unsentLimit: settings.unsentBytes, rate: rate)
        let inbox = ClientInbox(channel, limit: settings.unconsumedBytes)
        attempt.finish(.success(ClientConnection(connection, inbox)))
        return (connection, inbox)
      },
      failed: { attempt.finish(.failure($0)) })
    let times = FrameHandler.Times(
      handshake: duration, firstFrame: nil, idle: settings.idleTime, frame: settings.frameTime)
    return channel.eventLoop.makeCompletedFuture {
      let pipeline = channel.pipeline.syncOperations
      try pipeline.addHandler(
        NIOSSLClientHandler(
          context: context, serverHostname: nil, customVerificationCallback: check.callback))
      try pipeline.addHandler(FrameHandler(times, check, peerName: target, events))
    }
  }
}

/// One attempt to connect, waited for by one thread.
private final class Attempt: Sendable {
  private struct State: Sendable {
    var outcome: Result<ClientConnection, TransportError>?
    var channel: (any Channel)?
  }

  private let state = Monitor(State())

  /// TCP is through; the handshake follows.
  func connected(_ channel: any Channel) {
    let isTooLate = state.change { state in
      state.channel = channel
      if case .failure? = state.outcome { return true }
      return false
    }
    if isTooLate { channel.close(promise: nil) }
  }

  /// Notes how it ended; the first one counts, and a connection that comes later is closed.
  func finish(_ outcome: Result<ClientConnection, TransportError>) {
    let abandoned = state.change { state -> (any Channel)? in
      guard state.outcome == nil else {
        return (try? outcome.get())?.connection.channel
      }
      state.outcome = outcome
      if case .failure = outcome { return state.channel }
      return nil
    }
    abandoned?.close(promise: nil)
  }

  func result(
    until deadline: ContinuousClock.Instant, orElse late: TransportError
  ) throws(TransportError) -> ClientConnection {
    if let outcome = state.wait(until: deadline, for: { $0.outcome }) { return try outcome.get() }
    finish(.failure(late))
    guard let outcome = state.withLock({ $0.outcome }) else { throw late }
    return try outcome.get()
  }
}
