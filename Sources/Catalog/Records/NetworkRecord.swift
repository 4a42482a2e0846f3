public import Bytes
internal import GRDB

/// A network that recovered machines are attached to.
public struct NetworkRecord: Codable, Hashable, Sendable {
  /// What a network is made of.
  public enum Kind: String, Codable, Hashable, Sendable, CaseIterable {
    /// Nothing gets out of it.
    case isolated
    /// Its machines reach out through the host.
    case user
    /// A bridge of the host, and so whatever that is connected to.
    case bridge
  }

  /// Names it.
  public var name: String
  /// What it is made of.
  public var kind: Kind
  /// The host's interface; nil for all but a bridge.
  public var bridge: String?
  /// Its addresses, such as `10.213.0.0/24`; nil for a bridge whose are not known.
  public var subnet: String?
  /// The TCP ports of its machines that ports of the host lead to while they run; nil for none. Of a bridge
  /// none do.
  public var forwards: [UInt16]?
  /// When it was made.
  public var created: Timestamp

  /// A network of these properties.
  public init(
    name: String, kind: Kind, bridge: String? = nil, subnet: String? = nil,
    forwards: [UInt16]? = nil, created: Timestamp
  ) {
    (self.name, self.kind, self.bridge, self.forwards) = (name, kind, bridge, forwards)
    (self.subnet, self.created) = (subnet, created)
  }

  /// The name of the network that a new catalog holds: drills are attached to it unless another is chosen.
  public static let usualName = "isolated"
  /// The addresses of that network.
  public static let usualSubnet = "10.213.0.0/24"
}

extension NetworkRecord: Kept {
  static var table: String { "network" }
}

extension Catalog {
  /// Keeps a network; another one of its name is an error.
  public func add(_ network: NetworkRecord) throws(CatalogError) { try insert(network) }

  /// All networks, by name.
  public func networks() throws(CatalogError) -> [NetworkRecord] {
    try all(NetworkRecord.self, by: "name")
  }

  /// Forgets a network; false if there is none.
  public func removeNetwork(named name: String) throws(CatalogError) -> Bool {
    try change("DELETE FROM network WHERE name = ?", [name]) > 0
  }
}
