internal import Bytes
internal import Catalog
internal import Operations
internal import Replication

/// A process server, as JSON.
public struct ServerDocument: Codable, Sendable {
  /// How busy a server is, as JSON; shares are in percent, over the last quarter of an hour.
  public struct Load: Codable, Sendable {
    /// Processor time in use.
    public let processorPercent: Double
    /// Memory in use.
    public let memoryPercent: Double
    /// Bytes that the cache can still take; of the service itself, that the vault can.
    public let cacheFree: UInt64
    /// Bytes that it can take in all.
    public let cacheSize: UInt64
    /// Bytes that wait to be uploaded.
    public let pendingBytes: UInt64
    /// Seconds until they are, at the present rate.
    public let pendingSeconds: Int
    /// Machines whose agents are connected.
    public let connected: Int
  }

  /// Something that is wrong, as JSON.
  public struct Alarm: Codable, Sendable {
    /// `warning` or `critical`.
    public let severity: String
    /// What it is.
    public let message: String
  }

  /// Its name.
  public let name: String
  /// `service` (configuration and process server in one) or `relay`.
  public let type: String
  /// The version it runs.
  public let version: String
  /// The names and addresses that agents reach it by; none for the service, which they know.
  public let addresses: [String]
  /// The port that agents send to; 0 if it is not known.
  public let port: Int
  /// When it was heard of last.
  public let lastContact: String?
  /// The machines that are assigned to it.
  public let machines: [String]
  /// How busy it is; none if it has not told since the service began.
  public let load: Load?
  /// `healthy`, `warning` or `critical`.
  public let health: String
  /// What is wrong with it.
  public let alarms: [Alarm]

  init(_ status: ServerStatus) {
    (name, type, version) = (status.name, status.kind.rawValue, status.version)
    (addresses, port) = (status.addresses, status.port)
    (lastContact, machines) = (status.lastContact?.iso8601, status.machines)
    load = status.load.map {
      Load(
        processorPercent: Double($0.processor) / 10, memoryPercent: Double($0.memory) / 10,
        cacheFree: $0.cacheFree, cacheSize: $0.cacheSize, pendingBytes: $0.pendingBytes,
        pendingSeconds: Int($0.pendingSeconds), connected: Int($0.machines))
    }
    health = status.health.rawValue
    alarms = status.alarms.map { Alarm(severity: $0.severity.rawValue, message: $0.message) }
  }
}

/// The process servers, as JSON.
public struct ServerListDocument: Codable, Sendable {
  /// The servers: the service first, then relays by name.
  public let servers: [ServerDocument]

  init(_ servers: [ServerStatus]) { self.servers = servers.map { ServerDocument($0) } }
}
