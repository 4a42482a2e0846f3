internal import Replication

/// The limits of a listener. Every one has a default that suits a service with a hundred machines.
public struct ListenerSettings: Sendable {
  /// The address to listen on; `::` takes IPv6 and IPv4.
  public var address = "::"
  /// The port; 0 lets the system choose one.
  public var port = Self.defaultPort
  /// Connections in all, those still in their handshake included.
  public var maximumConnections = 2000
  /// Connections from one address; a relay has one for each of its machines.
  public var maximumPerAddress = 500
  /// From accepting a connection to the end of its TLS handshake.
  public var handshakeTime = Duration.seconds(10)
  /// From the end of the handshake to the end of the first frame.
  public var firstFrameTime = Duration.seconds(10)
  /// Without a single byte from the peer. Heartbeats of the layer above keep a connection alive.
  public var idleTime = Duration.seconds(90)
  /// From the first to the last byte of one frame.
  public var frameTime = Duration.seconds(300)
  /// Bytes of whole frames that wait for their handler, for each connection; reading stops above it.
  public var unconsumedBytes = 4 << 20
  /// Bytes that wait to be sent, for each connection; `send` blocks above it.
  public var unsentBytes = 4 << 20
  /// Threads that run handlers. A handler that waits keeps one of them.
  public var handlerThreads = 32
  /// How often refused connections are reported.
  public var reportInterval = Duration.seconds(60)

  /// The port of the replication service.
  public static let defaultPort = Frame.usualPort

  /// The defaults.
  public init() {}
}

/// The limits of a client's connections.
public struct ClientSettings: Sendable {
  /// Without a single byte from the service.
  public var idleTime = Duration.seconds(90)
  /// From the first to the last byte of one frame.
  public var frameTime = Duration.seconds(300)
  /// Bytes of whole frames that wait for `receive`; reading stops above it.
  public var unconsumedBytes = 4 << 20
  /// Bytes that wait to be sent; `send` blocks above it.
  public var unsentBytes = 4 << 20

  /// The defaults.
  public init() {}
}
