internal import Bytes
internal import Synchronization
internal import Vault

/// The machines of the vault that the tree has met; each is kept, so that asking for its newest
/// points costs next to nothing while nothing changed.
final class Machines: Sendable {
  private let vault: Vault
  private let views = Mutex<[Identifier: MachineView]>([:])

  init(of vault: Vault) { self.vault = vault }

  /// The machine of that name, asked of the vault: one added by another process is found.
  func named(_ name: String) throws(TreeError) -> MachineView {
    adopt(try translated { () throws(VaultError) in try vault.machine(named: name) }, name)
  }

  /// All machines by name, asked of the vault.
  func all() throws(TreeError) -> [MachineView] {
    let machines = try translated { () throws(VaultError) in try vault.machines() }
    let present = Set(machines.map(\.id))
    views.withLock { $0 = $0.filter { present.contains($0.key) } }
    return machines.map { adopt($0, $0.name) }
  }

  /// A machine that was met before.
  func known(_ id: Identifier) throws(TreeError) -> MachineView {
    if let view = views.withLock({ $0[id] }) { return view }
    guard let view = try all().first(where: { $0.machine.id == id }) else {
      throw .missing(id.description)
    }
    return view
  }

  private func adopt(_ machine: Machine, _ name: String) -> MachineView {
    views.withLock { views in
      if let known = views[machine.id], known.name == name { return known }
      let view = MachineView(machine, name)
      views[machine.id] = view
      return view
    }
  }
}

/// One machine, and the points it had when last looked at.
final class MachineView: Sendable {
  let machine: Machine
  let name: String
  private let seen = Mutex<Look?>(nil)

  /// What was seen, and until when it will do.
  private struct Look {
    let index: PointIndex
    let expires: ContinuousClock.Instant
  }

  /// While a machine is written to, every look reads the open end of its log again. Between two
  /// looks lies at least this many times what the last one took, and never more than a second.
  private static let restFactor = 10

  init(_ machine: Machine, _ name: String) {
    self.machine = machine
    self.name = name
  }

  /// The machine's points as they are now, or were a moment ago.
  func points() throws(TreeError) -> PointIndex {
    if let look = seen.withLock({ $0 }), ContinuousClock.now < look.expires { return look.index }
    return try newestPoints()
  }

  /// The point of an id; one just made is found.
  func point(_ id: String) throws(TreeError) -> RecoveryPoint? {
    if let point = try points().point(id) { return point }
    return try newestPoints().point(id)
  }

  /// The machine's points as they are now.
  func newestPoints() throws(TreeError) -> PointIndex {
    let start = ContinuousClock.now
    let snapshot = try translated { () throws(VaultError) in try machine.snapshot() }
    return seen.withLock { seen in
      let known = seen.flatMap { $0.index.snapshot === snapshot ? $0.index : nil }
      let index = known ?? PointIndex(snapshot)
      let now = ContinuousClock.now
      let rest = min((now - start) * Self.restFactor, .seconds(1))
      seen = Look(index: index, expires: now + rest)
      return index
    }
  }
}

/// A machine's points at one moment, by id.
final class PointIndex: Sendable {
  let snapshot: MachineSnapshot
  /// The points' ids, which are made anew each time they are asked for.
  let ids: [String]
  private let places: [String: Int]

  init(_ snapshot: MachineSnapshot) {
    self.snapshot = snapshot
    ids = snapshot.points.map(\.id)
    var places: [String: Int] = [:]
    places.reserveCapacity(ids.count)
    for (place, id) in ids.enumerated() { places[id] = place }
    self.places = places
  }

  func point(_ id: String) -> RecoveryPoint? { places[id].map { snapshot.points[$0] } }

  /// The point a link leads to; nil if there is none.
  func target(of link: PointLink) -> RecoveryPoint? {
    switch link {
    case .latest: snapshot.points.last
    case .latestApplicationConsistent: snapshot.points.last { $0.kind == .application }
    }
  }
}
