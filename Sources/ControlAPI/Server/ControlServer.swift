internal import Dispatch
internal import FileIO
internal import HummingbirdCore
internal import HummingbirdTLS
public import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
public import Operations
internal import Synchronization

/// Serves the API on sockets and ports.
///
/// Event loops only move bytes: every request is answered on a thread of a pool, where it may block.
/// What is asynchronous runs on a queue of its own, so that whoever blocks Swift's threads, a caller
/// of `listen` perhaps, does not keep the server from serving.
public final class ControlServer: Sendable {
  private let control: Control
  private let limits: ServerLimits
  private let logger: Logger
  private let loops: MultiThreadedEventLoopGroup
  private let workers: NIOThreadPool
  private let executor = QueueExecutor()
  private let open = Mutex<[Listener]>([])
  let shown = ShownCertificates()

  /// A listener that accepts connections.
  private struct Listener: Sendable {
    let name: String
    let stop: @Sendable () async throws -> Void
    let ended: DispatchSemaphore
    let socketPath: String?
  }

  /// Prepares to serve; nothing listens yet.
  public init(_ control: Control, limits: ServerLimits = ServerLimits(), logger: Logger) {
    (self.control, self.limits, self.logger) = (control, limits, logger)
    loops = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    workers = NIOThreadPool(numberOfThreads: limits.workers)
    workers.start()
  }

  /// Begins to listen, and returns when connections are accepted. Blocks.
  ///
  /// - Returns: the port, of HTTPS; 0, of a socket.
  /// - Throws: `.refused` if the address is in use or can't be one, or the certificate is none;
  ///   `.unwritable` if it may not be used.
  @discardableResult
  public func listen(on address: ListenAddress) throws(OperationError) -> Int {
    let http = HTTP1Channel(responder: responder(for: address), configuration: httpConfiguration)
    switch address {
    case .socket(let path, let group):
      try prepareSocket(path, group: group)
      let port = try run(http, on: .unixDomainSocket(path: path), path, socketPath: path)
      try openSocket(path, group: group)
      return port
    case .https(let host, let port, let certificate, let key):
      try shown.set(certificate: certificate, key: key)
      let secured: TLSChannel<HTTP1Channel>
      do {
        secured = try TLSChannel(
          http, tlsConfiguration: try security(certificate: certificate, key: key))
      } catch {
        throw OperationError(
          .refused, "The certificate and key for HTTPS can't be used: \(error). Give both as PEM.")
      }
      return try run(
        secured, on: .hostname(host, port: port), "https://\(host):\(port)", socketPath: nil)
    }
  }

  private func security(certificate: String, key: String) throws -> TLSConfiguration {
    let chain = try NIOSSLCertificate.fromPEMBytes(Array(certificate.utf8))
    let key = try NIOSSLPrivateKey(bytes: Array(key.utf8), format: .pem)
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.minimumTLSVersion = .tlsv13
    configuration.sslContextCallback = { [shown] client, promise in
      promise.succeed(shown.identity(for: client.serverHostname))
    }
    return configuration
  }

  private var httpConfiguration: HTTP1Channel.Configuration {
    HTTP1Channel.Configuration(
      idleTimeout: .seconds(limits.idleSeconds),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: limits.headers, maxHeaderListSize: limits.headers,
        maxHeaderFieldCount: limits.headerCount))
  }

  private func responder(for address: ListenAddress) -> HTTPChannelHandler.Responder {
    let isTrusted = if case .socket = address { true } else { false }
    let responder = RequestResponder(
      control: control, limits: limits, workers: workers, isTrusted: isTrusted, logger: logger)
    return { request, writer, channel in
      try await responder.respond(to: request, writer, channel)
    }
  }

  /// Runs a server until it is stopped; returns once it accepts connections.
  private func run<Channel: ServerChildChannel>(
    _ channel: Channel, on address: BindAddress, _ name: String, socketPath: String?
  ) throws(OperationError) -> Int {
    let (ready, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let result = Shared<Result<Int, any Error>?>(nil)
    let server = Server(
      childChannelSetup: channel,
      configuration: ServerConfiguration(
        address: address, serverName: "tidemark",
        availableConnectionsDelegate: MaximumAvailableConnections(
          limits.connections, logger: logger)),
      onServerRunning: { channel in
        result.value.withLock { $0 = .success(channel.localAddress?.port ?? 0) }
        ready.signal()
      }, eventLoopGroup: loops, logger: logger)
    Task(executorPreference: executor) {
      do { try await server.run() } catch {
        result.value.withLock { $0 = $0 ?? .failure(error) }
      }
      ready.signal()
      ended.signal()
    }
    ready.wait()
    switch result.value.withLock({ $0 }) {
    case .success(let port):
      open.withLock { listeners in
        listeners.append(
          Listener(
            name: name, stop: { try await server.shutdownGracefully() }, ended: ended,
            socketPath: socketPath))
      }
      return port
    case .failure(let error): throw Self.explained(error, name)
    case nil: throw OperationError(.failed, "Listening on '\(name)' ended at once.")
    }
  }

  private static func explained(_ error: any Error, _ name: String) -> OperationError {
    let code = (error as? NIOCore.IOError)?.errnoCode ?? 0
    let reason = code == 0 ? "\(error)" : FileIO.IOError("listen on", name, code: code).reason
    let isRefused = FileIO.IOError("listen on", name, code: code).isRefused
    return OperationError(
      isRefused ? .unwritable : .refused,
      "Cannot listen on '\(name)': \(reason). Choose another address or port, or end what uses it; "
        + "'ss -ltnp' and 'ss -lxp' show who does.")
  }

  /// Ends the listeners: no more connections, and requests under way are answered, for at most
  /// `seconds`. Then everything ends. Blocks.
  public func stop(seconds: Int = 5) {
    let listeners = open.withLock { open in
      defer { open = [] }
      return open
    }
    for listener in listeners {
      Task(executorPreference: executor) { try? await listener.stop() }
    }
    let deadline = DispatchTime.now() + .seconds(seconds)
    for listener in listeners {
      if listener.ended.wait(timeout: deadline) == .timedOut {
        logger.warning("Connections were cut", metadata: ["listener": "\(listener.name)"])
      }
      if let path = listener.socketPath { try? FileSystem.system.remove(path) }
    }
    try? loops.syncShutdownGracefully()
    try? workers.syncShutdownGracefully()
  }
}

/// Lets closures share a lock.
private final class Shared<Value: Sendable>: Sendable {
  let value: Mutex<Value>

  init(_ value: Value) { self.value = Mutex(value) }
}

/// Runs tasks on a serial queue, which has a thread whenever it needs one.
private final class QueueExecutor: TaskExecutor {
  private let queue = DispatchQueue(label: "tidemark.api")

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
