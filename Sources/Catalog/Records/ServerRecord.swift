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
  /// The port it listens on; 0 if it never told.
  public var port: Int
  /// When it enrolled.
  public var enrolled: Timestamp
  /// When it was last heard of.
  public var lastContact: Timestamp?

  /// A server of these properties.
  public init(
    id: Identifier, name: String, version: String, addresses: [String], port: Int,
    enrolled: Timestamp, lastContact: Timestamp? = nil
  ) {
    (self.id, self.name, self.version) = (id, name, version)
    (self.addresses, self.port) = (addresses, port)
    (self.enrolled, self.lastContact) = (enrolled, lastContact)
  }
}

extension ServerRecord: Kept {
  static var table: String { "server" }
}

extension Catalog {
  /// Keeps what is known of a server, in the place of what was.
  public func set(_ server: ServerRecord) throws(CatalogError) { try put(server) }

  /// Keeps what is known of a server that is known already; false, and nothing, if it is not.
  public func change(_ server: ServerRecord) throws(CatalogError) -> Bool { try replace(server) }

  /// All servers, by name.
  public func servers() throws(CatalogError) -> [ServerRecord] {
    try all(ServerRecord.self, by: "name")
  }

  /// Forgets a server; false if there is none.
  public func removeServer(_ id: Identifier) throws(CatalogError) -> Bool {
    try change("DELETE FROM server WHERE id = ?", [id.description]) > 0
  }

  /// The relay of that identifier.
  public func server(_ id: Identifier) throws(CatalogError) -> ServerRecord? {
    try first(ServerRecord.self, where: "id = ?", [id.description])
  }
}

/// The newest session of a machine, if it came through a relay: what is left of it there may still be
/// brought; what is left of an older one may not.
struct RelayedSessionRecord: Kept {
  static var table: String { "relayedSession" }

  var machine: Identifier
  var session: Identifier
  var relay: Identifier
}

extension Catalog {
  /// Keeps which session is the machine's newest, and the relay it came through.
  public func setRelayedSession(
    _ session: Identifier, through relay: Identifier, of machine: Identifier
  ) throws(CatalogError) {
    try put(RelayedSessionRecord(machine: machine, session: session, relay: relay))
  }

  /// Notes that the machine's newest session came through no relay.
  public func removeRelayedSession(of machine: Identifier) throws(CatalogError) {
    try change("DELETE FROM relayedSession WHERE machine = ?", [machine.description])
  }

  /// The machine's newest session, and the relay it came through; nil if it came through none.
  public func relayedSession(
    of machine: Identifier
  ) throws(CatalogError) -> (session: Identifier, relay: Identifier)? {
    let found = try first(
      RelayedSessionRecord.self, where: "machine = ?", [machine.description])
    return found.map { ($0.session, $0.relay) }
  }
}
