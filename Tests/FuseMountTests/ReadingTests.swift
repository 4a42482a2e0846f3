internal import Bytes
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: ordinary programs see through a real mount what the vault holds.
/// Method: a server in a process of its own; cat, ls, cp, qemu-img and system calls on its mount.
@Suite(
  .serialized, .timeLimit(.minutes(15)),
  .enabled(if: Available.root && Available.fuse && Available.programs("qemu-img")))
struct ReadingTests {
  let fixture: VaultFixture
  let mount: ServedMount

  init() throws {
    var generator = SeededGenerator(for: "content of the disks")
    fixture = try VaultFixture.partitioned("mount", &generator)
    mount = try ServedMount(fixture)
  }

  @Test("every disk at every point reads as it was")
  func disks() throws {
    for (point, disks) in fixture.history {
      for (number, content) in disks.enumerated() {
        #expect(try bytes(of: mount.path(point, "disk\(number).raw")) == content)
      }
    }
  }

  @Test("ls, readlink and cat see the names, the links and the documents")
  func names() throws {
    let ids = fixture.history.map(\.point.id)
    #expect(try Program.require("ls", mount.mountPoint) == "\(VaultFixture.machine)\n")
    #expect(
      try Program.require("ls", mount.machine)
        == "at\nlatest\nlatest-app-consistent\nmachine.json\npoints\n")
    #expect(
      try Program.require("ls", mount.machine + "/points") == ids.joined(separator: "\n") + "\n")
    #expect(try Program.require("ls", mount.machine + "/at") == "")
    #expect(
      try Program.require("readlink", mount.machine + "/latest") == "points/\(ids[2])\n")
    #expect(
      try Program.require("cat", mount.machine + "/latest-app-consistent/point.json")
        .contains("\"id\" : \"\(ids[1])\""))
    let long = try Program.require("ls", "-l", mount.machine + "/latest/")
    for file in ["disk0.part2.raw", "disk1.vhd"] { #expect(long.contains(file)) }
    #expect(long.contains(" 4194304 "))
  }

  @Test("an instant's directory leads to the same inodes as the point's")
  func instants() throws {
    for spelling in ["20261120T103130Z", "2026-11-20T10:31:30Z", "@1795170690"] {
      let path = "\(mount.machine)/at/\(spelling)/disk0.raw"
      #expect(try bytes(of: path) == fixture.history[1].disks[0])
      let direct = try FileSystem.system.status(mount.path(fixture.history[1].point, "disk0.raw"))
      #expect(try FileSystem.system.status(path).inode == direct.inode)
    }
    #expect(try !Program.run("ls", mount.machine + "/at/20270101T000000Z").succeeded)
    #expect(try !Program.run("ls", mount.machine + "/at/yesterday").succeeded)
  }

  @Test("cp keeps the holes, asked to or not")
  func copies() throws {
    let fixture = try VaultFixture(disks: [64 << 20])
    var generator = SeededGenerator(for: "islands of data")
    for _ in 0..<5 {
      fixture.write(generator.bytes(20_000), at: generator.number(0..<63 << 20))
    }
    let point = try fixture.mark()
    let mount = try ServedMount(fixture)
    for mode in ["always", "auto"] {
      let copy = fixture.directory.file("copy-" + mode)
      try Program.require("cp", "--sparse=\(mode)", mount.path(point, "disk0.raw"), copy)
      #expect(try bytes(of: copy) == fixture.history[0].disks[0])
      #expect(try FileSystem.system.status(copy).allocated <= 1 << 20)
    }
  }

  @Test("SEEK_DATA and SEEK_HOLE, and so qemu-img map, tell data from holes")
  func holes() throws {
    let path = mount.path(fixture.history[2].point, "disk0.raw")
    let file = try File(path, .reading)
    #expect(try file.nextHole(from: 3 << 20) == 3 << 20)
    #expect(try file.nextData(from: 3 << 20) == nil)
    #expect(try file.nextData(from: 65536 * 4) == 1 << 20)
    let map = try Program.require("qemu-img", "map", "--output=json", "-f", "raw", path)
    #expect(map.contains("\"zero\": true, \"data\": false"))
    #expect(map.contains("\"zero\": false, \"data\": true"))
  }

  @Test("a new point appears without mounting again")
  func newPoints() throws {
    #expect(try Program.require("ls", mount.machine + "/points").split(separator: "\n").count == 3)
    fixture.write([7, 7, 7], at: 123)
    let point = try fixture.mark(.application, label: "after")
    #expect(try Program.require("ls", mount.machine + "/points").contains(point.id))
    #expect(try bytes(of: mount.path(point, "disk0.raw"), at: 123, count: 3) == [7, 7, 7])
    let moved = Program.poll(seconds: 3) {
      (try? Program.require("readlink", mount.machine + "/latest")) == "points/\(point.id)\n"
    }
    #expect(moved, "the link is believed for a second at the most")
  }

  @Test("nothing can be written, and the kernel says so itself")
  func readOnly() throws {
    let path = mount.path(fixture.history[0].point, "disk0.raw")
    #expect(open(path, O_RDWR) == -1 && errno == EROFS)
    #expect(open(mount.machine + "/new", O_WRONLY | O_CREAT, 0o600) == -1 && errno == EROFS)
    #expect(mkdir(mount.mountPoint + "/new", 0o700) == -1 && errno == EROFS)
    #expect(unlink(path) == -1 && errno == EROFS)
    #expect(rename(path, path + "x") == -1 && errno == EROFS)
    #expect(chmod(path, 0o777) == -1 && errno == EROFS)
    #expect(access(path, W_OK) == -1 && errno == EROFS)
  }

  @Test("what the kernel forgot it finds again under the same inode")
  func forgetting() throws {
    let path = mount.path(fixture.history[0].point, "disk0.part1.raw")
    let inode = try FileSystem.system.status(path).inode
    for _ in 0..<3 {
      try Program.require("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
      #expect(try FileSystem.system.status(path).inode == inode)
    }
    #expect(try bytes(of: path) == Array(fixture.history[0].disks[0][1 << 20..<2 << 20]))
  }

  @Test("several readers at once see what is right, with and without the page cache")
  func parallel() throws {
    let plain = try fixture.history.map { point, disks in
      let path = fixture.directory.file(point.id)
      try File(path, .creating(permissions: 0o600)).write(disks[0], at: 0)
      return (path, mount.path(point, "disk0.raw"))
    }
    let readers = try plain.flatMap { expected, path in
      [
        try Program("cmp", [expected, path]),
        try Program(
          "sh", ["-c", "dd if=\(path) bs=64k iflag=direct status=none | cmp - \(expected)"]),
      ]
    }
    for reader in readers {
      let result = reader.wait(seconds: 60)
      #expect(result.succeeded, "\(result.report)")
    }
  }

  @Test("a place beyond the end of a directory holds nothing, and harms nobody")
  func seekingInDirectories() throws {
    let directory = try #require(opendir(mount.machine + "/points"))
    defer { closedir(directory) }
    for place in [1 << 40, Int.max] {
      seekdir(directory, place)
      #expect(readdir(directory) == nil)
    }
    rewinddir(directory)
    #expect(readdir(directory) != nil)
    #expect(mount.server.isRunning)
  }

  @Test("df tells the size of the machines' disks, all of it taken")
  func statistics() throws {
    var facts = statvfs()
    #expect(statvfs(mount.mountPoint, &facts) == 0)
    #expect(UInt64(facts.f_blocks) * UInt64(facts.f_frsize) >= 5 << 20 | 512)
    #expect(facts.f_bfree == 0 && facts.f_bavail == 0)
    #expect(try Program.require("df", "-T", mount.mountPoint).contains("fuse.tidemark"))
  }

  @Test("root's mount reads a MiB ahead")
  func readAhead() throws {
    let line = try Program.require("findmnt", "-n", "-o", "MAJ:MIN,SOURCE,FSTYPE", mount.mountPoint)
    let fields = line.split(whereSeparator: \.isWhitespace)
    #expect(fields.dropFirst() == ["tidemark", "fuse.tidemark"])
    let setting = "/sys/class/bdi/\(try #require(fields.first))/read_ahead_kb"
    #expect(try Program.require("cat", setting) == "1024\n")
  }
}
