internal import Bytes
internal import FileIO
internal import Operations
internal import Vault

/// A running service, as JSON.
public struct ServiceDocument: Codable, Sendable {
  /// The vault it serves, as JSON.
  public struct Vault: Codable, Sendable {
    /// Its identifier.
    public let id: String
    /// Its friendly name.
    public let name: String
    /// Its directory.
    public let path: String
  }

  /// The version of Tidemark.
  public let version: String
  /// The vault.
  public let vault: Vault
  /// Since when it runs.
  public let started: String
  /// Where it listens.
  public let listeners: [String]

  init(_ service: VaultService, version: String, listeners: [String]) {
    self.version = version
    let description = service.vault.description
    vault = Vault(id: description.id.description, name: description.name, path: service.vault.path)
    started = service.started.iso8601
    self.listeners = listeners
  }
}

/// The service's clock, as JSON.
public struct ClockDocument: Codable, Sendable {
  /// The moment of the answer.
  public let time: String
  /// The same, in nanoseconds since 1970.
  public let nanoseconds: Int64

  init(_ now: Timestamp) { (time, nanoseconds) = (now.iso8601, now.rawValue) }
}

/// Whether the service does its work, as JSON.
public struct HealthDocument: Codable, Sendable {
  /// `ok`: whatever else answers is no service.
  public let status: String

  init() { status = "ok" }
}
