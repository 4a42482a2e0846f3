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

  /// Makes the directory if it is not there.
  public func make() throws(IOError) {
    do throws(IOError) {
      try FileSystem.system.makeDirectory(path, permissions: 0o700)
    } catch { guard error.isPresent else { throw error } }
    try FileSystem.system.syncDirectory(FileSystem.parent(of: path))
  }

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

  /// Keeps every other relay, and every enrolment, off the directory for as long as the value lives.
  public func lock() throws(IOError) -> RelayLock {
    let path = path + "/relay.lock"
    if !FileSystem.system.exists(path) {
      do throws(IOError) {
        _ = try File(path, .creating(permissions: 0o600))
      } catch { guard error.isPresent else { throw error } }
    }
    let file = try File(path, .writing)
    try file.lockExclusively(patience: 200)
    return RelayLock(file)
  }
}

/// A lock of a relay's directory, held for as long as the value lives.
public final class RelayLock: Sendable {
  private let file: File

  fileprivate init(_ file: consuming File) { self.file = file }

  /// Ends the life of the value, and so the lock, not before here.
  public func release() {}
}
