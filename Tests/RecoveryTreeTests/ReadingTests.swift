internal import Bytes
internal import Glibc
internal import RecoveryTree
internal import Support
internal import Synchronization
internal import Testing
internal import Vault

/// Goal: a file's bytes and holes are those of the disk at the cut, whatever is read, by whomever.
/// Method: every file of every point compared with the arrays the vault was made from.
struct ReadingTests {
  @Test("a disk at every point is what was written until then")
  func disks() throws {
    let walker = try Walker.partitioned(points: 4)
    for (point, disks) in walker.fixture.history {
      for (number, bytes) in disks.enumerated() {
        #expect(try walker.content("points/\(point.id)/disk\(number).raw") == bytes)
      }
    }
  }

  @Test("a partition is its window of the disk")
  func partitions() throws {
    let walker = try Walker.partitioned()
    for (point, disks) in walker.fixture.history {
      let first = Array(disks[0][1 << 20..<2 << 20])
      let second = Array(disks[0][2 << 20..<2 << 20 + 1025 * 512])
      #expect(try walker.content("points/\(point.id)/disk0.part1.raw") == first)
      #expect(try walker.content("points/\(point.id)/disk0.part2.raw") == second)
    }
  }

  @Test("a VHD is the disk, zeros to a whole MiB, and a footer that is the same each time")
  func vhds() throws {
    let walker = try Walker.partitioned()
    let disk = walker.fixture.history[2].disks[1]
    let path = "points/\(walker.id(2))/disk1.vhd"
    let image = try walker.content(path)
    #expect(image.count == 2 << 20 | 512)
    #expect(image[..<disk.count] == disk[...])
    #expect(image[disk.count..<2 << 20].allSatisfy { $0 == 0 })
    #expect(image.suffix(512).prefix(8).elementsEqual("conectix".utf8))
    #expect(try Walker(walker.fixture).content(path) == image)
    let other = try walker.content("points/\(walker.id(1))/disk1.vhd")
    #expect(other.suffix(512) != image.suffix(512), "another cut, another identifier")
  }

  @Test("a read that passes the end of the disk or of the file takes what there is")
  func edges() throws {
    let walker = try Walker.partitioned()
    let file = try walker.file("points/\(walker.id(2))/disk1.vhd")
    let whole = try file.content(piece: 512)
    for start in [1 << 20 - 3, 1 << 20 + 511, 1 << 20 + 512, 2 << 20 - 1, 2 << 20, 2 << 20 + 511] {
      for count in [1, 2, 511, 513, 5000, 1 << 20 + 3] {
        var buffer = [UInt8](repeating: 0xEE, count: count)
        let taken = try file.read(at: UInt64(start), into: &buffer)
        #expect(taken == min(count, whole.count - start))
        #expect(buffer[..<taken] == whole[start..<start + taken])
        #expect(buffer[taken...].allSatisfy { $0 == 0xEE })
      }
    }
    var buffer: [UInt8] = [1]
    #expect(try file.read(at: UInt64(whole.count), into: &buffer) == 0)
    #expect(try file.read(at: .max, into: &buffer) == 0)
  }

  @Test("data and holes alternate, cover the file, and only zeros are called holes")
  func holes() throws {
    let walker = try Walker.partitioned()
    for name in ["disk0.raw", "disk0.part1.raw", "disk0.part2.raw", "disk1.raw", "disk1.vhd"] {
      let file = try walker.file("points/\(walker.id(2))/\(name)")
      let bytes = try file.content()
      var position: UInt64 = 0
      var found = 0
      while let data = try? file.seek(.data, from: position) {
        #expect(bytes[Int(position)..<Int(data)].allSatisfy { $0 == 0 }, "\(name)")
        let hole = try file.seek(.hole, from: data)
        #expect(hole > data && hole <= file.size)
        (position, found) = (hole, found + 1)
        if hole == file.size { break }
      }
      #expect(found > 0)
      #expect(bytes[Int(position)...].allSatisfy { $0 == 0 }, "\(name)")
    }
  }

  @Test("seeking answers as lseek(2) says")
  func seeking() throws {
    let walker = try Walker.partitioned()
    let disk = try walker.file("points/\(walker.id(0))/disk0.raw")
    #expect(try disk.seek(.data, from: 0) == 0)
    #expect(try disk.seek(.data, from: 7) == 7)
    #expect(try disk.seek(.hole, from: 3 << 20 | 5) == 3 << 20 | 5)
    #expect(try disk.seek(.hole, from: 4 << 20 - 1) == 4 << 20 - 1)
    try expect(ENXIO) { () throws(TreeError) in try disk.seek(.data, from: 4 << 20 - 1) }
    try expect(ENXIO) { () throws(TreeError) in try disk.seek(.data, from: 4 << 20) }
    try expect(ENXIO) { () throws(TreeError) in try disk.seek(.hole, from: 4 << 20) }
    let image = try walker.file("points/\(walker.id(0))/disk1.vhd")
    #expect(try image.seek(.hole, from: 1 << 20 | 100) == 1 << 20 | 512)
    #expect(try image.seek(.data, from: 1 << 20 | 512) == 2 << 20)
    #expect(try image.seek(.hole, from: 2 << 20) == 2 << 20 | 512)
    let document = try walker.file("points/\(walker.id(0))/point.json")
    #expect(try document.seek(.data, from: 3) == 3)
    #expect(try document.seek(.hole, from: 3) == document.size)
    try expect(ENXIO) { () throws(TreeError) in try document.seek(.data, from: document.size) }
  }

  @Test("several threads read different points at once and each sees its own")
  func concurrency() async throws {
    let walker = try Walker.partitioned(points: 4)
    var generator = SeededGenerator(for: "places to read at")
    let expected = walker.fixture.history.map { ($0.point.id, $0.disks[0]) }
    let tree = walker.tree
    let machine = try tree.lookup(VaultFixture.machine, in: .root).attributes.inode
    let points = try tree.lookup("points", in: machine).attributes.inode
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (id, bytes) in expected + expected {
        var own = generator.branch()
        group.addTask {
          for _ in 0..<200 {
            let point = try tree.lookup(id, in: points).attributes.inode
            let inode = try tree.lookup("disk0.raw", in: point).attributes.inode
            let file = try tree.openFile(inode)
            let start = own.number(0..<bytes.count)
            var buffer = [UInt8](repeating: 0, count: own.number(1..<200_000))
            let taken = try file.read(at: UInt64(start), into: &buffer)
            #expect(buffer[..<taken] == bytes[start..<start + taken])
            tree.forget(inode, lookups: 1)
            tree.forget(point, lookups: 1)
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(try tree.statistics().inodes == 3)
  }
}
