internal import Glibc
internal import RecoveryTree
internal import Support
internal import Testing
internal import Vault

/// Goal: every name the mount promises is there, leads where it should, and no other name is.
/// Method: a tree over a small vault, asked as the kernel asks, without FUSE.
struct NamesTests {
  @Test("a machine's directory lists its document, its links, its points and the instants")
  func machine() throws {
    let walker = try Walker.partitioned()
    let root = try walker.tree.openDirectory(.root).entries(from: 0)
    #expect(root.map(\.name) == [".", "..", VaultFixture.machine])
    #expect(
      try walker.names("")
        == ["machine.json", "latest", "latest-app-consistent", "points", "at"])
    #expect(try walker.names("points") == (0..<3).map(walker.id))
  }

  @Test("a point's directory lists its document and a file for every disk, VHD and partition")
  func point() throws {
    let walker = try Walker.partitioned()
    let files = [
      "point.json", "disk0.raw", "disk0.vhd", "disk0.part1.raw", "disk0.part2.raw", "disk1.raw",
      "disk1.vhd",
    ]
    for number in 0..<3 { #expect(try walker.names("points/\(walker.id(number))") == files) }
    #expect(try walker.names("at/\(walker.id(1).prefix(16))") == files)
  }

  @Test("the links lead to the newest point and the newest app-consistent one, relatively")
  func links() throws {
    let walker = try Walker.partitioned()
    #expect(try walker.tree.target(of: try walker.inode("latest")) == "points/\(walker.id(2))")
    let consistent = try walker.inode("latest-app-consistent")
    #expect(try walker.tree.target(of: consistent) == "points/\(walker.id(1))")
    let attributes = try walker.entry("latest").attributes
    #expect(attributes.kind == .link)
    #expect(attributes.size == UInt64("points/\(walker.id(2))".utf8.count))
  }

  @Test("a link to a point that does not exist is absent")
  func absentLinks() throws {
    let walker = try Walker.partitioned(points: 1)
    #expect(walker.code(of: "latest-app-consistent") == ENOENT)
    #expect(try walker.names("") == ["machine.json", "latest", "points", "at"])
    let empty = try Walker(VaultFixture(disks: [1 << 20]))
    #expect(empty.code(of: "latest") == ENOENT)
    #expect(try empty.names("") == ["machine.json", "points", "at"])
    #expect(try empty.names("points").isEmpty)
  }

  @Test(
    "a name that is not listed does not exist",
    arguments: [
      "disk0", "disk0.", "disk00.raw", "disk+0.raw", "disk0.RAW", "disk2.raw", "disk1.part1.raw",
      "disk0.part3.raw", "disk0.part0.raw", "disk0.part01.raw", "disk0.part1", "disk0.part1.vhd",
      "disk0.part1.raw.raw", "disk65536.raw", "disk99999999999999999999.raw", "files", "", "..",
    ])
  func unknownFiles(name: String) throws {
    let walker = try Walker.partitioned(points: 1)
    let point = try walker.inode("points/\(walker.id(0))")
    #expect(throws: TreeError.self) { try walker.tree.lookup(name, in: point) }
  }

  @Test("names that lead nowhere are ENOENT, and a wrong kind of inode is named as such")
  func errors() throws {
    let walker = try Walker.partitioned(points: 1)
    for path in [
      "points/20200101T000000Z-crash", "points/latest", "at/latest", "branches", "files",
    ] {
      #expect(walker.code(of: path) == ENOENT, "\(path)")
    }
    #expect(walker.code(of: "points/\(walker.id(0))/disk0.raw/x") == ENOTDIR)
    #expect(walker.code(of: "latest/disk0.raw") == ENOTDIR)
    #expect(throws: TreeError.self) { try walker.tree.lookup("nobody", in: .root) }
    try expect(EISDIR) { () throws(TreeError) in try walker.tree.openFile(.root) }
    try expect(ENOTDIR) { () throws(TreeError) in
      try walker.tree.openDirectory(try walker.inode("machine.json"))
    }
    try expect(EINVAL) { () throws(TreeError) in try walker.tree.target(of: .root) }
  }

  @Test("a point made by another process appears without opening the vault again")
  func newPoints() throws {
    let walker = try Walker.partitioned(points: 1)
    let directory = try walker.tree.openDirectory(try walker.inode("points"))
    #expect(try directory.entries(from: 0).count == 3)
    walker.fixture.write([1, 2, 3], at: 0)
    let added = try walker.fixture.mark(.application)
    #expect(try directory.entries(from: 2).map(\.name) == [walker.id(0)], "goes on in what it saw")
    #expect(try directory.entries(from: 0).map(\.name) == [".", "..", walker.id(0), added.id])
    #expect(walker.code(of: "points/\(added.id)/disk0.raw") == 0)
    #expect(walker.code(of: "latest-app-consistent") == 0)
  }

  @Test("a machine added by another process appears")
  func newMachines() throws {
    let walker = try Walker.partitioned(points: 1)
    let vault = walker.fixture.vault
    let disk = DiskConfiguration(number: 0, path: "/dev/null", capture: .scan, format: .raw)
    _ = try vault.addMachine(
      MachineConfiguration(name: "db01", operatingSystem: .windows, disks: [disk]),
      lock: vault.lock())
    let listed = try walker.tree.openDirectory(.root).entries(from: 2).map(\.name)
    #expect(listed == ["db01", VaultFixture.machine])
    _ = try walker.tree.lookup("db01", in: .root)
  }

  @Test("the size of the tree is that of all disks at their newest points")
  func statistics() throws {
    let walker = try Walker.partitioned(points: 2)
    #expect(try walker.tree.statistics().bytes == 5 << 20 | 512)
  }
}

/// Expects the body to fail with this errno.
func expect<Result>(
  _ code: Int32, _ body: () throws(TreeError) -> Result,
  at location: SourceLocation = #_sourceLocation
) throws {
  do throws(TreeError) {
    _ = try body()
    Issue.record("succeeded instead of failing with errno \(code)", sourceLocation: location)
  } catch {
    #expect(error.code == code, "\(error)", sourceLocation: location)
  }
}
