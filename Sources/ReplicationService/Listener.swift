public import Bytes
internal import Glibc
public import Identity
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// The end of a service or relay: takes connections of the vault's agents and relays, and gives each to a
/// handler.
///
/// It listens until it is told to ``stop(within:)``, even if nobody holds it any more. Safe from any
/// thread. `ReplicationService.docc` tells what is checked and what is bounded.
public final class Listener: Sendable {
  private struct Entry: Sendable {
    let connection: Connection
    let mailbox: Mailbox
  }

  private let settings: ListenerSettings
  private let tls: Mutex<(context: NIOSSLContext, trust: Trust)>
  private let now: @Sendable () -> Timestamp
  private let isRevoked: @Sendable (PeerIdentity) -> Bool
  private let makeHandler: @Sendable (PeerIdentity) -> any ConnectionHandler
  private let admission: Admission
  private let pool: NIOThreadPool
  /// Connections whose handler has not had its last call.
  private let live = Monitor<[ObjectIdentifier: Entry]>([:])
  private let channel = Mutex<(any Channel)?>(nil)
  private let isStopping = Atomic(false)

  /// Listens, and takes connections from now on. Blocks until the port is bound.
  ///
  /// - Parameters:
  ///   - credentials: key, certificate and authority of the service or relay.
  ///   - settings: address, port and limits.
  ///   - now: the clock that certificates are judged by.
  ///   - isRevoked: whether a certificate's number is on the list. Called on event loops, so it must
  ///     not block: keep the list in memory.
  ///   - report: told of connections turned away, at most once in each interval. Must not block.
  ///   - makeHandler: makes the handler of a connection. Called on event loops, must not block.
  /// - Throws: `.credentials`, `.address`.
  public init(
    credentials: Credentials, settings: ListenerSettings = ListenerSettings(),
    now: @escaping @Sendable () -> Timestamp,
    isRevoked: @escaping @Sendable (PeerIdentity) -> Bool,
    report: @escaping @Sendable (RefusalReport) -> Void,
    makeHandler: @escaping @Sendable (PeerIdentity) -> any ConnectionHandler
  ) throws(TransportError) {
    self.settings = settings
    tls = Mutex((try Self.context(credentials, at: now()), credentials.trust))
    (self.now, self.isRevoked, self.makeHandler) = (now, isRevoked, makeHandler)
    let group = MultiThreadedEventLoopGroup.singleton
    admission = Admission(settings, group.any(), report: report)
    pool = NIOThreadPool(numberOfThreads: max(1, settings.handlerThreads))
    pool.start()
    do throws(TransportError) {
      let bound = try bind(group)
      channel.withLock { $0 = bound }
    } catch {
      pool.shutdownGracefully { _ in }
      throw error
    }
  }

  private func bind(_ group: MultiThreadedEventLoopGroup) throws(TransportError) -> any Channel {
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelInitializer { channel in
        // Without a free descriptor accepting would be tried again and again at once.
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
        }
      }
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [self] in prepare($0) }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 1)
    let (address, port) = (settings.address, settings.port)
    guard (0...65535).contains(port) else {
      throw TransportError(.address, "There is no port \(port) to listen on.")
    }
    do {
      return try bootstrap.bind(host: address, port: port).wait()
    } catch let error as IOError
      where address == "::" && [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.errnoCode)
    {
      // A host without IPv6 still has IPv4.
      do { return try bootstrap.bind(host: "0.0.0.0", port: port).wait() } catch {
        throw Self.binding(error, address, port)
      }
    } catch {
      throw Self.binding(error, address, port)
    }
  }

  private static func binding(_ error: any Error, _ address: String, _ port: Int) -> TransportError
  {
    let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    return TransportError(
      .address,
      "Can't listen on '\(address)' port \(port): \(reason). 'ss -ltnp' shows who listens where.")
  }

  /// The port that is listened on; 0 once stopped.
  public var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }

  /// Connections now, those still in their handshake included.
  public var connectionCount: Int { admission.count }

  /// Peers whose connections are established now.
  public var peers: [PeerIdentity] {
    live.withLock { entries in entries.values.map(\.connection.peer) }
  }

  /// Uses another certificate from the next connection on; those that live go on.
  ///
  /// - Throws: `.credentials` if it can't be used; nothing is changed then.
  public func replace(credentials: Credentials) throws(TransportError) {
    let context = try Self.context(credentials, at: now())
    tls.withLock { $0 = (context, credentials.trust) }
  }

  /// Ends the live connections of some peers: call it after their certificates were revoked, or for
  /// another reason are good no more; `reason` is the word for that.
  ///
  /// What they sent and no handler has seen yet is dropped. Returns at once; gives how many.
  @discardableResult
  public func cut(
    because reason: String = "revoked", where condition: (PeerIdentity) -> Bool
  ) -> Int {
    let found = live.withLock { $0.values.filter { condition($0.connection.peer) } }
    for entry in found { Self.cut(entry, because: reason) }
    return found.count
  }

  private static func cut(_ entry: Entry, because word: String = "revoked") {
    let reason = TransportError(.cut, "The certificate of \(entry.connection.peer) is \(word).")
    entry.connection.end(reason)
    entry.mailbox.end(reason)
  }

  /// Stops listening, ends all connections, and waits for the handlers' last calls.
  ///
  /// - Throws: `.timedOut` if a handler has not returned within `duration`; it may still run.
  public func stop(within duration: Duration) throws(TransportError) {
    let bound = channel.withLock { channel in
      defer { channel = nil }
      return channel
    }
    guard let bound else { return }
    isStopping.store(true, ordering: .releasing)
    try? bound.close().wait()
    let deadline = ContinuousClock.now + .seconds(duration.seconds)
    for entry in live.withLock({ Array($0.values) }) { entry.connection.close() }
    guard live.wait(until: deadline, for: { $0.isEmpty ? true : nil }) != nil else {
      let left = live.withLock { $0.values.map { "\($0.connection.peer)" } }
      throw TransportError(
        .timedOut, "The handlers of \(left.joined(separator: ", ")) did not end in time.")
    }
    pool.shutdownGracefully { _ in }
  }

  private static func context(
    _ credentials: Credentials, at now: Timestamp
  ) throws(TransportError) -> NIOSSLContext {
    switch credentials.identity.role {
    case .service, .relay: break
    case .agent:
      throw TransportError(
        .credentials, "Nobody listens with the certificate of \(credentials.identity.role).")
    }
    do throws(IdentityError) { try credentials.checkValidity(at: now) } catch {
      throw TransportError(.credentials, error.message)
    }
    return try TLS.context(credentials, isServer: true)
  }

  /// Sets up a connection that was just accepted; a failed future makes NIO close it.
  private func prepare(_ channel: any Channel) -> EventLoopFuture<Void> {
    let address = Self.plain(channel.remoteAddress?.ipAddress ?? "an unknown address")
    guard admission.enter(address) else {
      return channel.eventLoop.makeFailedFuture(ChannelError.eof)
    }
    channel.closeFuture.whenComplete { [admission] _ in admission.leave(address) }
    let (context, trust) = tls.withLock { $0 }
    let check = PeerCheck(trust, .agentOrRelay(isRevoked: isRevoked), now: now)
    let events = FrameHandler.Events(
      established: { [self] in establish($0, $1, address) },
      failed: { [admission] in admission.refuse(address, $0.message) })
    let times = FrameHandler.Times(
      handshake: settings.handshakeTime, firstFrame: settings.firstFrameTime,
      idle: settings.idleTime, frame: settings.frameTime)
    return channel.eventLoop.makeCompletedFuture {
      let pipeline = channel.pipeline.syncOperations
      try pipeline.addHandler(
        NIOSSLServerHandler(context: context, customVerificationCallback: check.callback))
      try pipeline.addHandler(FrameHandler(times, check, peerName: address, events))
    }
  }

  /// An IPv4 address as people write it, also where it came in through an IPv6 socket.
  private static func plain(_ address: String) -> String {
    address.hasPrefix("::ffff:") && address.contains(".") ? String(address.dropFirst(7)) : address
  }

  private func establish(
    _ channel: any Channel, _ peer: PeerIdentity, _ address: String
  ) -> (Connection, any Inbox) {
    let connection = Connection(
      channel, peer: peer, address: address, unsentLimit: settings.unsentBytes, rate: nil)
    let id = ObjectIdentifier(connection)
    let mailbox = Mailbox(
      connection, limit: settings.unconsumedBytes, handler: makeHandler(peer), pool: pool
    ) { [live] in live.change { $0[id] = nil } }
    let entry = Entry(connection: connection, mailbox: mailbox)
    live.change { $0[id] = entry }
    // Whoever was revoked since the check was not found by `cut` yet, nor was it by `stop`.
    if isRevoked(peer) { Self.cut(entry) }
    if isStopping.load(ordering: .acquiring) { connection.close() }
    return (connection, mailbox)
  }
}
