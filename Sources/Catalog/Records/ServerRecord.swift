public import Bytes
internal import GRDB

/// A relay: a process server that stands alone.
public struct ServerRecord: Codable, Hashable, Sendable {
  /// Names it for good.
  public var id: Identifier
  /// Names it to people.
  public var name: String
  /// The version it runs.
  public var version: String
  /// Where agents reach it.
  public var addresses: [String]
  /// When it enrolled.
  public var enrolled: Timestamp
  /// When it was last heard of.
  public var lastContact: Timestamp?

  /// A server of these properties.
  public init(
    id: Identifier, name: String, version: String, addresses: [String], enrolled: Timestamp,
    lastContact: Timestamp? = nil
  ) {
    (self.id, self.name, self.version) = (id, name, version)
    (self.addresses, self.enrolled, self.lastContact) = (addresses, enrolled, lastContact)
  }
}

extension ServerRecord: Kept {
  static var table: String { "server" }
}

extension Catalog {
  /// Keeps what is known of a server, in the place of what was.
  public func set(_ server: ServerRecord) throws(CatalogError) { try put(server) }

  /// All servers, by name.
  public func servers() throws(CatalogError) -> [ServerRecord] {
    try all(ServerRecord.self, by: "name")
  }

  /// Forgets a server; false if there is none.
  public func removeServer(_ id: Identifier) throws(CatalogError) -> Bool {
    try change("DELETE FROM server WHERE id = ?", [id.description]) > 0
  }
}
