import FileIO
import Support
import Testing

/// The mount whose power fails, seen by programs that know nothing of it.
@Suite(.enabled(if: Available.fuse))
struct PowerLossMountTests {
  @Test("the mount keeps the promises of a file system")
  func conformance() throws {
    let backing = try TemporaryDirectory("backing")
    let mount = try PowerLossMount(backing: backing.path, seed: 1)
    try checkFileSystem(.system, in: mount.path)
    try mount.stop()
    #expect(try FileSystem.system.list(backing.path) == [])
  }

  @Test("what was there comes back unchanged, with its attributes, after a clean end")
  func cleanEnd() throws {
    var random = SeededGenerator(for: "content of a mount")
    let backing = try TemporaryDirectory("backing")
    try FileSystem.system.makeDirectory(backing.file("inner"), permissions: 0o750)
    let content = random.bytes(3 << 20)
    let system = FileSystem.system
    try system.replaceFile(backing.file("inner/file"), with: content, permissions: 0o640)
    let mount = try PowerLossMount(backing: backing.path, seed: 1)
    #expect(try system.readFile(mount.path + "/inner/file", limit: 4 << 20) == content)
    try Program.require("cp", "-r", mount.path + "/inner", mount.path + "/copy")
    try Program.require("sh", "-c", "echo line >> '\(mount.path)/inner/file'")
    try mount.stop()
    #expect(try system.readFile(backing.file("copy/file"), limit: 4 << 20) == content)
    #expect(try system.readFile(backing.file("inner/file"), limit: 4 << 20).count == 5 + (3 << 20))
    #expect(try system.status(backing.file("inner/file")).permissions == 0o640)
    #expect(try system.status(backing.file("inner")).permissions == 0o750)
  }

  @Test("a power loss takes what was not synced, and leaves what was")
  func powerLoss() throws {
    let backing = try TemporaryDirectory("backing")
    var faults = PowerLossMount.Faults()
    faults.loss = .everything
    let mount = try PowerLossMount(backing: backing.path, seed: 1, faults: faults)
    let system = FileSystem.system
    try system.replaceFile(mount.path + "/kept", with: [1], permissions: 0o600)
    let file = try File(mount.path + "/kept", .writing)
    try file.write([2, 2, 2], at: 0)
    try system.makeDirectory(mount.path + "/lost")
    let unnamed = try File(mount.path + "/unnamed", .creating(permissions: 0o600))
    try unnamed.write([3], at: 0)
    try unnamed.sync()
    try mount.losePower()
    #expect(!mount.isOn)
    #expect(throws: IOError.self) { try file.write([4], at: 0) }
    #expect(try system.list(backing.path) == ["kept"])
    #expect(try system.readFile(backing.file("kept"), limit: 10) == [1])
  }

  @Test("the power fails in the middle of a chosen call, the same way for a seed")
  func chosenCall() throws {
    func run(seed: UInt64) throws -> [UInt8] {
      let backing = try TemporaryDirectory("backing")
      let path = backing.file("file")
      let zeros = [UInt8](repeating: 0, count: 1 << 16)
      try FileSystem.system.replaceFile(path, with: zeros, permissions: 0o600)
      var faults = PowerLossMount.Faults()
      (faults.powerOffAfter, faults.loss) = (2, .scattered)
      let mount = try PowerLossMount(backing: backing.path, seed: seed, faults: faults)
      let file = try File(mount.path + "/file", .writing)
      let ones = [UInt8](repeating: 1, count: 1 << 14)
      try file.write(ones, at: 0)
      try file.sync()
      #expect(throws: IOError.self) { try file.write(ones, at: 1 << 15) }
      try mount.waitForPowerLoss()
      return try FileSystem.system.readFile(path, limit: 1 << 20)
    }
    let first = try run(seed: 5)
    #expect(first[..<(1 << 14)].allSatisfy { $0 == 1 })
    #expect(try run(seed: 5) == first)
    let outcomes = Set(try (6..<30).map { try run(seed: UInt64($0)) })
    #expect(outcomes.count > 3)
  }

  @Test("locks on it hold against other processes")
  func locks() throws {
    let backing = try TemporaryDirectory("backing")
    let mount = try PowerLossMount(backing: backing.path, seed: 1)
    let path = mount.path + "/lock"
    let file = try File(path, .creating(permissions: 0o600))
    try file.lockExclusively()
    #expect(try !Program.run("flock", "--nonblock", path, "true").succeeded)
  }
}
