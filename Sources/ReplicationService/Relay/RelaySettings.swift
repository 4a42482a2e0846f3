internal import Bytes
internal import Replication

/// What a relay is set to.
public struct RelaySettings: Sendable {
  /// The service's name or address.
  public var host: String
  /// The service's replication port.
  public var port: Int
  /// Where it listens for agents.
  public var listener: ListenerSettings
  /// The names and addresses that agents reach it by.
  public var addresses: [String]
  /// The port that agents reach it by, where that is not the one it listens on.
  public var advertised: Int?
  /// The directory of its cache.
  public var cache: String
  /// Bytes of groups that it may hold.
  public var cacheLimit: UInt64
  /// How long one attempt to reach the service may take.
  public var attempt = Duration.seconds(10)
  /// Between two attempts to bring the service what is left.
  public var pause = Duration.seconds(5)
  /// Between two statuses.
  public var statusInterval = Duration.seconds(30)
  /// Between two signs of life for agents.
  public var heartbeat = Duration.seconds(10)
  /// How long an agent is kept that is in session while the service can't be reached.
  public var patience = Duration.seconds(600)

  /// The size of a cache unless another is set.
  public static let usualLimit: UInt64 = 10 << 30
  /// The least that a cache should be: several groups of the largest size fit.
  public static let leastLimit: UInt64 = 64 << 20
  /// Names and addresses at the most.
  public static var addressLimit: Int { RelayStatus.addressLimit }

  /// A relay of these properties.
  public init(
    host: String, port: Int, listener: ListenerSettings, addresses: [String], cache: String,
    cacheLimit: UInt64 = Self.usualLimit
  ) {
    (self.host, self.port, self.listener) = (host, port, listener)
    (self.addresses, self.cache, self.cacheLimit) = (addresses, cache, cacheLimit)
    // A handler waits while the cache is full, and keeps its thread.
    self.listener.handlerThreads = max(listener.handlerThreads, 128)
  }
}

/// Something that a relay has to tell, for a log.
public struct RelayNote: Sendable {
  /// Whether somebody should look.
  public let isWarning: Bool
  /// What happened.
  public let message: String
  /// Facts, by name.
  public let fields: [String: String]
}
