internal import ImageFormats
internal import Synchronization
internal import Vault

extension RecoveryTree {
  func list(_ node: Node, _ inode: InodeNumber) throws(TreeError) -> [TreeDirectory.Entry] {
    let children: [(String, Node)] = try children(of: node)
    let dots = [".", ".."].map {
      TreeDirectory.Entry(name: $0, inode: inode, kind: .directory, node: nil)
    }
    let numbers = inodes.withLock { inodes in children.map { inodes.number(of: $0.1.place) } }
    return dots
      + zip(children, numbers).map { child, number in
        TreeDirectory.Entry(
          name: child.0, inode: number, kind: child.1.place.kind, node: child.1)
      }
  }

  private func children(of node: Node) throws(TreeError) -> [(String, Node)] {
    switch node.place {
    case .root:
      let all = try machines.all().map { ($0.name, Node(place: .machine($0.machine.id))) }
      return all + shelves().filter { shelf in !all.contains { $0.0 == shelf.0 } }
    case .shelf(let shelf): return try children(of: shelf)
    case .drills(let machine): return drills(of: machine)
    case .machine(let machine):
      let points = try machines.known(machine).newestPoints()
      let links = PointLink.allCases.filter { points.target(of: $0) != nil }
      return [("machine.json", Node(place: .machineDocument(machine)))]
        + links.map { ($0.rawValue, Node(place: .link(machine, $0))) }
        + [("points", Node(place: .points(machine))), ("at", Node(place: .instants(machine)))]
    case .points(let machine):
      let index = try machines.known(machine).newestPoints()
      return zip(index.ids, index.snapshot.points).map { id, point in
        (id, show(Visit(point), of: machine, asked: nil))
      }
    case .instants: return []
    case .point(let place):
      guard let visit = node.visit else { return [] }
      return [("point.json", Node(place: .pointDocument(place), visit: visit))]
        + images(of: place, visit)
    case .machineDocument, .link, .pointDocument, .image, .branch:
      throw .notADirectory(node.place)
    }
  }

  /// The files of a point. A file that can't be had is left out here; `point.json` says why.
  private func images(of place: PointPlace, _ visit: Visit) -> [(String, Node)] {
    var forms: [ImageName] = []
    for disk in visit.point.disks {
      forms += [.raw, .vhd].map { ImageName(disk: disk.number, form: $0) }
      let table = try? disks.table(of: disk.number, at: visit.point, in: place.cut.machine)
      forms += (table?.partitions ?? []).map {
        ImageName(disk: disk.number, form: .partition($0.number))
      }
    }
    return forms.compactMap { name in
      (try? image(name, of: place, visit)).map { (name.description, $0) }
    }
  }
}
