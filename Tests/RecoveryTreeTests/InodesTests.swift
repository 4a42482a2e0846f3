internal import Bytes
internal import Glibc
internal import Support
internal import Testing
internal import Vault

@testable import RecoveryTree

/// Goal: inodes stand for cuts and paths as promised, and the table holds what the kernel holds.
/// Method: look-ups and forgets by hand; the table alone where numbers have to collide.
struct InodesTests {
  @Test("a file of a cut is one inode, whether found under points/ or under at/")
  func sharing() throws {
    let walker = try Walker.partitioned()
    let id = walker.id(1)
    for file in ["disk0.raw", "disk0.vhd", "disk0.part1.raw", "disk1.raw"] {
      let inode = try walker.inode("points/\(id)/\(file)")
      #expect(try walker.inode("at/20261120T103100Z/\(file)") == inode)
      #expect(try walker.inode("at/@1795170661/\(file)") == inode)
      #expect(try walker.inode("points/\(walker.id(2))/\(file)") != inode)
    }
  }

  @Test("point.json belongs to its path")
  func documents() throws {
    let walker = try Walker.partitioned()
    let inodes = try ["points/\(walker.id(1))", "at/20261120T103100Z", "at/@1795170660"].map {
      try walker.inode($0 + "/point.json")
    }
    #expect(Set(inodes).count == 3)
  }

  @Test("what belongs to a cut may be remembered forever, what can move or go for a moment")
  func lifetimes() throws {
    let walker = try Walker.partitioned()
    let point = "points/\(walker.id(0))"
    for path in ["", "latest", point, "at/20261120T103000Z"] {
      #expect(try !walker.entry(path).nameLasts, "\(path)")
    }
    for path in ["points", "at", "machine.json", point + "/point.json"] {
      let entry = try walker.entry(path)
      #expect(entry.nameLasts && !entry.attributesLast, "\(path)")
    }
    let file = try walker.entry(point + "/disk0.raw")
    #expect(file.nameLasts && file.attributesLast)
    #expect(try walker.file(point + "/disk0.raw").neverChanges)
    #expect(try !walker.file(point + "/point.json").neverChanges)
  }

  @Test("attributes tell the cut's time, and less room than a file's size so that holes are sought")
  func attributes() throws {
    let walker = try Walker.partitioned()
    let point = walker.fixture.history[1].point
    let attributes = try walker.entry("points/\(point.id)/disk0.raw").attributes
    #expect(attributes.size == 4 << 20)
    #expect(attributes.modified == point.time.rawValue)
    #expect((1..<(4 << 20) / 512).contains(attributes.blocks))
    #expect(try walker.tree.attributes(of: attributes.inode).attributes == attributes)
    let newest = walker.fixture.history[2].point.time.rawValue
    for path in ["", "points", "at", "latest", "machine.json"] {
      #expect(try walker.entry(path).attributes.modified == newest)
    }
  }

  @Test("an inode is held until every look-up was given back, and has the same number afterwards")
  func forgetting() throws {
    let walker = try Walker.partitioned()
    let path = "points/\(walker.id(0))/disk0.raw"
    let inode = try walker.inode(path)
    for _ in 0..<4 { #expect(try walker.inode(path) == inode) }
    walker.tree.forget(inode, lookups: 4)
    _ = try walker.tree.attributes(of: inode)
    walker.tree.forget(inode, lookups: 1)
    try expect(ESTALE) { () throws(TreeError) in try walker.tree.attributes(of: inode) }
    try expect(ESTALE) { () throws(TreeError) in try walker.tree.openFile(inode) }
    #expect(try walker.inode(path) == inode)
  }

  @Test("the table is empty but for the root once the kernel has forgotten all")
  func bounded() throws {
    let walker = try Walker.partitioned(points: 5)
    var held: [InodeNumber] = []
    func visit(_ inode: InodeNumber) throws {
      for entry in try walker.tree.openDirectory(inode).entries(from: 2) {
        let found = try walker.tree.enter(entry)
        #expect(found.attributes.inode == entry.inode)
        held.append(entry.inode)
        if entry.kind == .directory { try visit(entry.inode) }
      }
    }
    try visit(.root)
    #expect(try walker.tree.statistics().inodes == held.count + 1)
    #expect(Set(held).count == held.count)
    for inode in held { walker.tree.forget(inode, lookups: 1) }
    #expect(try walker.tree.statistics().inodes == 1)
    walker.tree.forget(.root, lookups: 100)
    #expect(try walker.tree.statistics().inodes == 1, "the root stays")
  }

  @Test("an open file outlives its inode")
  func openFiles() throws {
    let walker = try Walker.partitioned()
    let path = "points/\(walker.id(1))/disk0.raw"
    let inode = try walker.inode(path)
    let file = try walker.tree.openFile(inode)
    walker.tree.forget(inode, lookups: 1)
    #expect(try file.content() == walker.fixture.history[1].disks[0])
  }

  @Test("two places whose numbers collide get different ones, and keep them while they are held")
  func collisions() throws {
    var table = InodeTable()
    let machine = Identifier(high: 1, low: 2)
    let first = table.enter(Node(place: .points(machine)))
    #expect(first == Place.points(machine).preferredNumber)
    // Takes the number that another place would have had.
    let wanted = Place.instants(machine).preferredNumber
    let other = table.enter(Node(place: .instants(machine)), as: wanted)
    let squeezed = table.enter(Node(place: .machine(machine)), as: wanted)
    #expect(other == wanted)
    #expect(squeezed.rawValue == wanted.rawValue + 1)
    table.forget(other, lookups: 1)
    #expect(table.enter(Node(place: .machine(machine)), as: wanted) == squeezed)
    #expect(table[squeezed] != nil)
    #expect(table.count == 3)
  }

  @Test("the numbers of different places differ")
  func numbers() {
    let machine = Identifier(high: 7, low: 9)
    var numbers: Set<UInt64> = [InodeNumber.root.rawValue]
    var count = 1
    for sequence in UInt64(0)..<2000 {
      let cut = Cut(machine: machine, sequence: SequenceNumber(rawValue: sequence))
      for form in [ImageName.Form.raw, .vhd, .partition(0), .partition(1)] {
        for disk in DiskNumber(0)..<3 {
          let place = ImagePlace(cut: cut, name: ImageName(disk: disk, form: form))
          numbers.insert(Place.image(place).preferredNumber.rawValue)
          count += 1
        }
      }
      numbers.insert(Place.point(PointPlace(cut: cut, asked: nil)).preferredNumber.rawValue)
      numbers.insert(Place.pointDocument(PointPlace(cut: cut, asked: "x")).preferredNumber.rawValue)
      count += 2
    }
    #expect(numbers.count == count)
    #expect(numbers.allSatisfy { (1...UInt64(Int64.max)).contains($0) })
  }
}
