internal import Bytes
internal import Synchronization
internal import Vault

extension RecoveryTree {
  func node(_ inode: InodeNumber) throws(TreeError) -> Node {
    guard let node = inodes.withLock({ $0[inode] }) else { throw .forgotten }
    return node
  }

  func enter(_ node: Node) throws(TreeError) -> TreeEntry {
    let attributes = try facts(of: node)
    let number = inodes.withLock { $0.enter(node) }
    return entry(node.place, number, attributes)
  }

  func describe(_ node: Node, _ number: InodeNumber) throws(TreeError) -> TreeEntry {
    entry(node.place, number, try facts(of: node))
  }

  private func entry(
    _ place: Place, _ number: InodeNumber, _ facts: (size: UInt64, time: Timestamp)
  ) -> TreeEntry {
    TreeEntry(
      attributes: TreeAttributes(
        inode: number, kind: place.kind, size: facts.size, modified: facts.time.rawValue),
      nameLasts: place.nameLasts, attributesLast: place.attributesLast)
  }

  /// Size and time of a node.
  private func facts(of node: Node) throws(TreeError) -> (size: UInt64, time: Timestamp) {
    switch node.place {
    case .root: return (0, created)
    case .image, .point: return (node.size, node.visit?.point.time ?? created)
    case .pointDocument:
      let bytes = try document(of: node) ?? []
      return (UInt64(bytes.count), node.visit?.point.time ?? created)
    case .machineDocument(let machine):
      let bytes = try document(of: node) ?? []
      return (UInt64(bytes.count), try newest(of: machine))
    case .link(let machine, let link):
      return (UInt64(try target(of: link, in: machine).utf8.count), try newest(of: machine))
    case .branch(let branch):
      return (UInt64(try target(ofBranch: branch).utf8.count), created)
    case .shelf, .drills: return (0, created)
    case .machine(let machine), .points(let machine), .instants(let machine):
      return (0, try newest(of: machine))
    }
  }

  private func newest(of machine: Identifier) throws(TreeError) -> Timestamp {
    try machines.known(machine).points().snapshot.points.last?.time ?? created
  }

  func target(of link: PointLink, in machine: Identifier) throws(TreeError) -> String {
    guard let point = try machines.known(machine).points().target(of: link) else {
      throw .missing(link.rawValue)
    }
    return "points/" + point.id
  }

  /// The bytes of a document; nil if the node is none.
  func document(of node: Node) throws(TreeError) -> [UInt8]? {
    switch node.place {
    case .machineDocument(let machine):
      return try render(MachineDocument(try machines.known(machine).points().snapshot))
    case .pointDocument(let place):
      guard let visit = node.visit else { return nil }
      let machine = place.cut.machine
      let name = try machines.known(machine).name
      return try render(
        PointDocument(
          place, visit, machine: name,
          disks: visit.point.disks.map { disks.describe($0, at: visit.point, in: machine) }))
    default: return nil
    }
  }
}
