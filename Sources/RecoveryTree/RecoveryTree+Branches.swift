internal import Bytes
internal import Vault

// The links to the disks of branches, each there only while somebody serves them. What can't be read of a
// branch takes nothing away from the others.
extension RecoveryTree {
  /// The branches of a purpose that are served, the newest first.
  private func branches(_ shelf: BranchShelf) -> [BranchDescription] {
    let purpose: BranchPurpose = shelf == .drills ? .drill : .failover
    return ((try? vault.branchIdentifiers()) ?? []).compactMap { try? vault.branch($0) }
      .filter { $0.purpose == purpose && served($0.id) != nil }
      .sorted { $0.created > $1.created }
  }

  /// The shelves that hold anything.
  func shelves() -> [(String, Node)] {
    BranchShelf.allCases.filter { !branches($0).isEmpty }.map {
      ($0.rawValue, Node(place: .shelf($0)))
    }
  }

  func shelf(_ shelf: BranchShelf) throws(TreeError) -> Node {
    guard !branches(shelf).isEmpty else { throw .missing(shelf.rawValue) }
    return Node(place: .shelf(shelf))
  }

  /// `test-failovers/<machine>/`, or `failed-over/<machine>` as a link.
  func children(of shelf: BranchShelf) throws(TreeError) -> [(String, Node)] {
    let branches = branches(shelf)
    return try machines.all().compactMap { machine in
      guard let newest = branches.first(where: { $0.machine == machine.machine.id }) else {
        return nil
      }
      let place: Place = shelf == .drills ? .drills(machine.machine.id) : .branch(newest.id)
      return (machine.name, Node(place: place))
    }
  }

  func child(_ name: String, of shelf: BranchShelf) throws(TreeError) -> Node {
    guard let found = try children(of: shelf).first(where: { $0.0 == name }) else {
      throw .missing(name)
    }
    return found.1
  }

  /// The drills of a machine by name; of two with one name the newest.
  func drills(of machine: Identifier) -> [(String, Node)] {
    var names: Set<String> = []
    return branches(.drills).filter { $0.machine == machine && names.insert($0.name).inserted }
      .map { ($0.name, Node(place: .branch($0.id))) }
  }

  func drill(_ name: String, of machine: Identifier) throws(TreeError) -> Node {
    guard let found = drills(of: machine).first(where: { $0.0 == name }) else {
      throw .missing(name)
    }
    return found.1
  }

  func target(ofBranch branch: Identifier) throws(TreeError) -> String {
    guard let target = served(branch) else { throw .missing(branch.description) }
    return target
  }
}
