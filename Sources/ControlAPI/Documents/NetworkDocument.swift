internal import Bytes
internal import Catalog
public import Operations

/// A network that recovered machines are attached to, as JSON.
public struct NetworkDocument: Codable, Sendable {
  /// Its name.
  public let name: String
  /// `isolated`, `user` or `bridge`.
  public let kind: String
  /// The host's bridge; none for another kind.
  public let bridge: String?
  /// Its addresses, such as `10.213.0.0/24`; none for a bridge whose are not known.
  public let subnet: String?
  /// The TCP ports of its machines that ports of the host lead to.
  public let forwards: [Int]
  /// When it was made.
  public let created: String
  /// What it is used by.
  public let users: [String]
  /// What speaks against it and does not forbid it.
  public let warnings: [String]

  init(_ status: NetworkStatus) {
    let network = status.network
    (name, kind, bridge) = (network.name, network.kind.rawValue, network.bridge)
    (subnet, created) = (network.subnet, network.created.iso8601)
    forwards = (network.forwards ?? []).map(Int.init)
    (users, warnings) = (status.users, status.warnings)
  }
}

/// The networks, as JSON.
public struct NetworkListDocument: Codable, Sendable {
  /// The networks, by name.
  public let networks: [NetworkDocument]

  init(_ networks: [NetworkStatus]) { self.networks = networks.map { NetworkDocument($0) } }
}

/// A network to make, as JSON.
public struct NewNetworkDocument: Codable, Sendable {
  /// Its name.
  public var name: String
  /// `isolated`, `user` or `bridge`.
  public var kind: String
  /// The host's bridge; for that kind alone.
  public var bridge: String?
  /// Its addresses; the first that are free, or unknown of a bridge, if nothing is said.
  public var subnet: String?
  /// TCP ports of its machines that ports of the host are to lead to; none if nothing is said.
  public var forwards: [Int]?

  /// A network as JSON.
  public init(_ network: NewNetwork) {
    (name, kind) = (network.name, network.kind.rawValue)
    (bridge, subnet) = (network.bridge, network.subnet)
    forwards = network.forwards.isEmpty ? nil : network.forwards
  }

  /// - Throws: `.refused` for a kind that is none.
  func network() throws(OperationError) -> NewNetwork {
    guard let kind = NetworkRecord.Kind(rawValue: kind) else {
      throw OperationError(
        .refused, "kind is one of 'isolated', 'user' and 'bridge', not '\(kind)'.")
    }
    return NewNetwork(
      name: name, kind: kind, bridge: bridge, subnet: subnet, forwards: forwards ?? [])
  }
}
