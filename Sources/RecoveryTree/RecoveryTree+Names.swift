internal import Bytes
internal import Glibc
internal import Vault

extension RecoveryTree {
  func child(_ name: String, of parent: Node) throws(TreeError) -> Node {
    switch parent.place {
    case .root:
      // A machine that is called like a shelf is not hidden by it.
      if let shelf = BranchShelf(rawValue: name),
        try !machines.all().contains(where: { $0.name == name })
      {
        return try self.shelf(shelf)
      }
      return Node(place: .machine(try machines.named(name).machine.id))
    case .shelf(let shelf): return try child(name, of: shelf)
    case .drills(let machine): return try drill(name, of: machine)
    case .machine(let machine): return try child(name, of: machine)
    case .points(let machine):
      guard let point = try machines.known(machine).point(name) else { throw .missing(name) }
      return show(Visit(point), of: machine, asked: nil)
    case .instants(let machine): return try instant(name, of: machine)
    case .point(let place):
      guard let visit = parent.visit else { throw .missing(name) }
      return try child(name, of: place, visit)
    case .machineDocument, .link, .pointDocument, .image, .branch:
      throw .notADirectory(parent.place)
    }
  }

  private func child(_ name: String, of machine: Identifier) throws(TreeError) -> Node {
    switch name {
    case "machine.json": return Node(place: .machineDocument(machine))
    case "points": return Node(place: .points(machine))
    case "at": return Node(place: .instants(machine))
    default:
      guard let link = PointLink(rawValue: name) else { throw .missing(name) }
      _ = try target(of: link, in: machine)
      return Node(place: .link(machine, link))
    }
  }

  private func instant(_ spelling: String, of machine: Identifier) throws(TreeError) -> Node {
    guard let instant = Instant(spelling) else {
      throw TreeError(
        code: ENOENT,
        message: "'\(spelling)' is not an instant; write 20261120T103205Z, 2026-11-20T10:32:05Z, "
          + "@1795170725 or 5m-ago.")
    }
    let snapshot = try machines.known(machine).points().snapshot
    let resolved = try translated { () throws(VaultError) in
      try snapshot.resolve(.instant(instant), now: clock())
    }
    return show(Visit(resolved), of: machine, asked: spelling)
  }

  func show(_ visit: Visit, of machine: Identifier, asked: String?) -> Node {
    let cut = Cut(machine: machine, sequence: visit.point.sequence)
    return Node(place: .point(PointPlace(cut: cut, asked: asked)), visit: visit)
  }

  private func child(
    _ name: String, of place: PointPlace, _ visit: Visit
  ) throws(TreeError) -> Node {
    if name == "point.json" { return Node(place: .pointDocument(place), visit: visit) }
    guard let image = ImageName(name) else { throw .missing(name) }
    return try self.image(image, of: place, visit)
  }

  func image(
    _ name: ImageName, of place: PointPlace, _ visit: Visit
  ) throws(TreeError) -> Node {
    let shape = try disks.shape(of: name, at: visit.point, in: place.cut.machine)
    return Node(
      place: .image(ImagePlace(cut: place.cut, name: name)), visit: Visit(visit.point),
      size: shape.size)
  }
}
