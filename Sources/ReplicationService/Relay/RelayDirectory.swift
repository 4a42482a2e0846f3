public import Bytes
public import FileIO
internal import FoundationEssentials
public import Identity

/// What a relay was told when it was enrolled: `relay.json` of its directory.
public struct RelayConfiguration: Codable, Hashable, Sendable {
  /// The service's name or address.
  public var host: String
  /// The port of its API.
  public var controlPort: Int
  /// The port that replication goes to.
  public var replicationPort: Int
  /// The vault.
  public var vault: Identifier
  /// The vault's friendly name.
  public var vaultName: String
  /// The relay.
  public var relay: Identifier
  /// The relay's name at the service.
  public var name: String

  /// A configuration of these properties.
  public init(
    host: String, controlPort: Int, replicationPort: Int, vault: Identifier, vaultName: String,
    relay: Identifier, name: String
  ) {
    (self.host, self.controlPort, self.replicationPort) = (host, controlPort, replicationPort)
    (self.vault, self.vaultName, self.relay, self.name) = (vault, vaultName, relay, name)
  }
}

/// The directory of a relay, 0700: `relay.json` (whom it serves), `identity/` (its key and certificate),
/// `cache/` (groups that the service has not stored yet), and `relay.lock`, held by the one that runs.
public struct RelayDirectory: Sendable {
  /// Where it is unless another is named.
  public static let usual = "/var/lib/tidemark-relay"

  /// The directory's path.
  public let path: String

  /// The directory at a path; nothing is looked at yet.
  public init(at path: String) { self.path = path }

  private var configurationPath: String { path + "/relay.json" }
  private static let sizeLimit = 1 << 20

  /// Where groups are kept.
  public var cache: String { path + "/cache" }

  /// Whether a relay is enrolled here.
  public var isEnrolled: Bool { FileSystem.system.exists(configurationPath) }

  /// Makes the directory if it is not there; durable when it returns.
  public func make() throws(IOError) { try FileSystem.system.makePrivateDirectory(path) }

  /// The key and certificates.
  public func identity() throws(IdentityError) -> IdentityFiles {
    try IdentityFiles(in: path + "/identity")
  }

  /// What the relay was told when it was enrolled; nil if the file is not what was written.
  public func configuration() throws(IOError) -> RelayConfiguration? {
    let bytes = try FileSystem.system.readFile(configurationPath, limit: Self.sizeLimit)
    guard let found = try? JSONDecoder().decode(RelayConfiguration.self, from: Data(bytes)),
      (1...65535).contains(found.replicationPort), !found.host.isEmpty
    else { return nil }
    return found
  }

  /// Keeps what the relay was told; durable when it returns.
  public func save(_ configuration: RelayConfiguration) throws(IOError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Nothing in it is a number that can't be encoded.
    let bytes = (try? encoder.encode(configuration)).map { Array($0) } ?? []
    try FileSystem.system.replaceFile(configurationPath, with: bytes, permissions: 0o600)
  }

  /// Bytes of the cache's files, which an earlier run has left; what can't be looked at counts as nothing.
  public var cachedBytes: UInt64 {
    let system = FileSystem.system
    let machines = (try? system.list(cache)) ?? []
    let files = machines.flatMap { machine in
      ((try? system.list("\(cache)/\(machine)")) ?? []).map { "\(cache)/\(machine)/\($0)" }
    }
    return files.reduce(0) { $0 + ((try? system.status($1).size) ?? 0) }
  }

  /// Keeps every other relay, and every enrolment, off the directory for as long as the value lives.
  public func lock() throws(IOError) -> FileLock {
    try FileLock(path + "/relay.lock", patience: 200)
  }

  /// Whether another process holds the directory's lock.
  public var isAtWork: Bool {
    do throws(IOError) {
      try lock().release()
      return false
    } catch { return error.isLocked }
  }
}
