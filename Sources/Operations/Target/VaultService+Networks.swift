internal import Bytes
public import Catalog
internal import FileIO
internal import Synchronization

/// A network, and how it stands.
public struct NetworkStatus: Sendable {
  /// The network.
  public let network: NetworkRecord
  /// What it is used by, such as `machine 'web01'`.
  public let users: [String]
  /// What speaks against it, and is no reason to refuse it; in sentences.
  public let warnings: [String]
}

extension VaultService {
  /// All networks, by name.
  public func networks() throws(OperationError) -> [NetworkStatus] {
    let (known, uses) = (try knownNetworks(), try networkUses())
    return known.map { network in
      NetworkStatus(
        network: network, users: uses[network.name] ?? [],
        warnings: network.warnings(besides: known, on: .system))
    }
  }

  /// The network of that name.
  ///
  /// - Throws: `.unknown`.
  public func network(named name: String) throws(OperationError) -> NetworkStatus {
    guard let found = try networks().first(where: { $0.network.name == name }) else {
      throw Self.unknownNetwork(name)
    }
    return found
  }

  static func unknownNetwork(_ name: String) -> OperationError {
    OperationError(
      .unknown,
      "There is no network '\(name)'; 'tidemark network list' shows them, and 'tidemark network create "
        + "\(name) --isolated' makes one.")
  }

  /// Makes a network.
  ///
  /// - Throws: `.refused`.
  public func createNetwork(_ new: NewNetwork) throws(OperationError) -> NetworkStatus {
    let record = try changingTargets { () throws(OperationError) in
      let record = try new.record(besides: try knownNetworks())
      try inCatalog { () throws(CatalogError) in try catalog.add(record) }
      return record
    }
    note(.info, "network-created", "The network '\(record.name)' was made.")
    return try network(named: record.name)
  }

  /// Forgets a network.
  ///
  /// - Throws: `.unknown`, or `.refused` while it is used, with what it is used by.
  public func deleteNetwork(named name: String) throws(OperationError) {
    try changingTargets { () throws(OperationError) in
      let users = try network(named: name).users
      guard users.isEmpty else {
        throw OperationError(
          .refused,
          "The network '\(name)' is used by \(users.joined(separator: ", ")). Give a machine another one "
            + "with 'tidemark machine set NAME --network', or clean the drill up, first.")
      }
      _ = try inCatalog { () throws(CatalogError) in try catalog.removeNetwork(named: name) }
    }
    note(.info, "network-deleted", "The network '\(name)' was deleted.")
  }

  /// The network that drills are attached to where nobody has chosen: the one that a vault begins with, or
  /// else the oldest isolated one; nil if there is none.
  public func drillNetwork() throws(OperationError) -> NetworkRecord? {
    let isolated = try knownNetworks().filter { $0.kind == .isolated }
    return isolated.first { $0.name == NetworkRecord.usualName }
      ?? isolated.min { ($0.created, $0.name) < ($1.created, $1.name) }
  }

  /// Tells what else uses networks, by their names: drills and failed-over machines, such as `the drill of
  /// 'web01'`. Asked whenever a network is shown or deleted; must not change networks or targets.
  public func setNetworkUses(_ uses: @escaping @Sendable () -> [(network: String, user: String)]) {
    otherNetworkUses.withLock { $0 = uses }
  }

  func knownNetworks() throws(OperationError) -> [NetworkRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.networks() }
  }

  /// Who uses each network.
  private func networkUses() throws(OperationError) -> [String: [String]] {
    var uses: [String: [String]] = [:]
    let targets = try inCatalog { () throws(CatalogError) in try catalog.targets() }
    for target in targets {
      for network in Set(target.adapters.compactMap(\.network)) {
        let name = try name(of: target.machine) ?? target.machine.description
        uses[network, default: []].append("machine '\(name)'")
      }
    }
    let others = otherNetworkUses.withLock { $0 }
    for (network, user) in others?() ?? [] { uses[network, default: []].append(user) }
    return uses.mapValues { $0.sorted() }
  }

  /// Runs `body` as the only one that changes networks, or what machines are to be.
  func changingTargets<Result>(
    _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try targetChanges.withLock { _ throws(OperationError) in try body() }
  }
}
