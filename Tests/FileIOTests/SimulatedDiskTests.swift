import FileIO
import Support
import Testing

/// The simulated disk is the judge of the vault's promises, so it is tested first: what it must
/// keep, it keeps in every crash; what it may lose, it does lose in some.
struct SimulatedDiskTests {
  /// A disk with a durable file `/d/file` of eight sectors of ones.
  func preparedDisk(seed: UInt64) throws -> SimulatedDisk {
    let disk = SimulatedDisk(seed: seed)
    let system = disk.fileSystem
    try system.makeDirectory("/d")
    try system.syncDirectory("/")
    let file = try File("/d/file", .creating(permissions: 0o600), on: system)
    try file.write([UInt8](repeating: 1, count: 4096), at: 0)
    try file.sync()
    try system.syncDirectory("/d")
    return disk
  }

  func content(_ disk: SimulatedDisk, _ path: String = "/d/file") throws -> [UInt8] {
    try disk.fileSystem.readFile(path, limit: 1 << 20)
  }

  @Test("what was synced survives every kind of crash", arguments: Loss.allCases)
  func syncedSurvives(loss: Loss) throws {
    for seed in 0..<50 {
      let disk = try preparedDisk(seed: UInt64(seed))
      disk.crash(loss)
      #expect(try content(disk) == [UInt8](repeating: 1, count: 4096))
      disk.crash()
      #expect(try content(disk).count == 4096)
    }
  }

  @Test("unsynced writes are lost, kept and torn at sectors, and nothing else appears")
  func writesAreTorn() throws {
    var outcomes: Set<String> = []
    for seed in 0..<200 {
      let disk = try preparedDisk(seed: UInt64(seed))
      let file = try File("/d/file", .writing, on: disk.fileSystem)
      try file.write([UInt8](repeating: 2, count: 3000), at: 1000)
      try file.write([UInt8](repeating: 3, count: 2000), at: 4096)
      disk.crash(.scattered)
      let bytes = try content(disk)
      for sector in stride(from: 0, to: bytes.count, by: 512) {
        let values = bytes[sector..<min(sector + 512, bytes.count)]
        let inner = values.dropFirst(sector == 512 ? 488 : 0).prefix(sector == 3584 ? 416 : 512)
        #expect(Set(inner).count == 1, "a sector is written in one piece")
        #expect(Set(values).isSubset(of: sector < 4096 ? [1, 2] : [0, 3]))
      }
      let middle = bytes[1000..<4000]
      outcomes.insert(middle.allSatisfy { $0 == 1 } ? "lost" : "")
      outcomes.insert(middle.allSatisfy { $0 == 2 } ? "kept" : "")
      outcomes.insert(Set(middle) == [1, 2] ? "torn" : "")
      outcomes.insert(bytes.count == 6096 && bytes.last == 0 ? "grown without its bytes" : "")
      outcomes.insert(bytes.last == 3 && middle.first == 1 ? "reordered" : "")
    }
    #expect(
      outcomes.isSuperset(of: ["lost", "kept", "torn", "grown without its bytes", "reordered"]))
  }

  @Test("syncing a file does not make its name durable, syncing the directory does")
  func namesNeedTheirDirectory() throws {
    let disk = SimulatedDisk(seed: 7)
    let file = try File("/file", .creating(permissions: 0o600), on: disk.fileSystem)
    try file.write([1], at: 0)
    try file.sync()
    disk.crash(.everything)
    #expect(!disk.fileSystem.exists("/file"))

    let again = try File("/file", .creating(permissions: 0o600), on: disk.fileSystem)
    try again.write([1], at: 0)
    try again.sync()
    try disk.fileSystem.syncDirectory("/")
    disk.crash(.everything)
    #expect(try content(disk, "/file") == [1])
  }

  @Test("unsynced renames, removals, truncations and directories are undone")
  func changesOfNamesAreUndone() throws {
    let disk = try preparedDisk(seed: 3)
    let system = disk.fileSystem
    try system.makeDirectory("/new")
    try File("/d/file", .writing, on: system).truncate(to: 5)
    try system.rename("/d/file", to: "/d/renamed")
    disk.crash(.everything)
    #expect(disk.tree.map(\.path) == ["/d", "/d/file"])
    #expect(try content(disk).count == 4096)

    try system.remove("/d/file")
    disk.crash(.everything)
    #expect(try content(disk).count == 4096)

    try system.rename("/d/file", to: "/d/renamed")
    try system.syncDirectory("/d")
    disk.crash(.everything)
    #expect(disk.tree.map(\.path) == ["/d", "/d/renamed"])
  }

  @Test("a file moved to a synced directory is there once, whatever its old directory keeps")
  func movesAcrossDirectories() throws {
    for seed in 0..<50 {
      let disk = SimulatedDisk(seed: UInt64(seed))
      let system = disk.fileSystem
      try system.makeDirectory("/a")
      try system.makeDirectory("/b")
      try system.syncDirectory("/")
      _ = try File("/a/file", .creating(permissions: 0o600), on: system)
      try system.rename("/a/file", to: "/b/file")
      try system.syncDirectory("/b")
      disk.crash()
      #expect(disk.tree.map(\.path) == ["/a", "/b", "/b/file"])
    }
  }

  @Test("replaceFile leaves the old or the new content wherever the power goes")
  func replaceFileIsAtomic() throws {
    let old = [UInt8](repeating: 1, count: 4096)
    let new = [UInt8](repeating: 2, count: 9000)
    for calls in 0..<6 {
      for seed in 0..<40 {
        let disk = try preparedDisk(seed: UInt64(seed))
        disk.cutPower(after: calls)
        let result = Result { () throws(IOError) in
          try disk.fileSystem.replaceFile("/d/file", with: new, permissions: 0o600)
        }
        disk.crash()
        let found = try content(disk)
        if case .success = result {
          #expect(found == new)
        } else {
          #expect([old, new].contains(found))
        }
      }
    }
  }

  @Test("a failed sync loses changes that a later, successful sync does not bring back")
  func failedSyncIsFinal() throws {
    var lost = 0
    for seed in 0..<30 {
      let disk = try preparedDisk(seed: UInt64(seed))
      let file = try File("/d/file", .writing, on: disk.fileSystem)
      try file.write([UInt8](repeating: 2, count: 4096), at: 0)
      disk.failSyncs()
      #expect(throws: IOError.self) { try file.sync() }
      #expect(try file.read(at: 0, count: 1) == [2], "the cache still shows the change")
      try file.sync()
      disk.crash()
      if try content(disk).contains(1) { lost += 1 }
    }
    #expect(lost > 10)
  }

  @Test("a failed sync's changes vanish for readers when the caches are dropped")
  func cachesForgetFailedSyncs() throws {
    for seed in 0..<30 {
      let disk = try preparedDisk(seed: UInt64(seed))
      let file = try File("/d/file", .writing, on: disk.fileSystem)
      try file.write([UInt8](repeating: 2, count: 512), at: 0)
      disk.failSyncs()
      #expect(throws: IOError.self) { try file.sync() }
      try file.write([3], at: 4000)
      disk.dropCaches()
      let seen = try content(disk)
      #expect(seen[4000] == 3, "what is pending stays")
      try file.sync()
      disk.crash()
      #expect(try content(disk) == seen)
    }
  }

  @Test("when the power is cut everything fails until the crash, and old handles stay dead")
  func powerCut() throws {
    let disk = try preparedDisk(seed: 1)
    let file = try File("/d/file", .writing, on: disk.fileSystem)
    disk.cutPower(after: 1)
    try file.write([5], at: 0)
    #expect(!disk.isOff)
    #expect(throws: IOError.self) { try file.write([6], at: 1) }
    #expect(disk.isOff)
    #expect(throws: IOError.self) { _ = try file.read(at: 0, count: 1) }
    #expect(!disk.fileSystem.exists("/d/file"))
    disk.crash()
    #expect(disk.fileSystem.exists("/d/file"))
    #expect(throws: IOError.self) { try file.write([6], at: 1) }
  }

  @Test("a full disk takes a part of a write and says so; freed room can be used")
  func fullDisk() throws {
    let disk = SimulatedDisk(seed: 1)
    disk.setCapacity(1 << 20)
    let system = disk.fileSystem
    let file = try File("/file", .creating(permissions: 0o600), on: system)
    do throws(IOError) {
      try file.write([UInt8](repeating: 1, count: 2 << 20), at: 0)
      Issue.record("the write should not fit")
    } catch { #expect(error.isFull) }
    #expect(try file.status().size == 1 << 20)
    #expect(try system.space(at: "/").free == 0)
    try file.write([2], at: 0)
    try file.truncate(to: 0)
    #expect(try system.space(at: "/").free == 1 << 20)
    try file.write([3], at: 0)
  }

  @Test("bad sectors are EIO where they are and nowhere else; flipped bits are read as flipped")
  func decay() throws {
    let disk = try preparedDisk(seed: 1)
    try disk.failReads(of: "/d/file", in: 1024..<1536)
    let file = try File("/d/file", .reading, on: disk.fileSystem)
    #expect(throws: IOError.self) { _ = try file.read(at: 1000, count: 100) }
    #expect(try file.read(at: 0, count: 1024).count == 1024)
    disk.healReads()
    try disk.flipBit(3, of: 1024, in: "/d/file")
    #expect(try file.read(at: 1024, count: 1) == [9])
    disk.crash()
    #expect(try content(disk)[1024] == 9)
  }

  @Test("one seed always gives the same crash")
  func seedsReproduce() throws {
    func run(_ seed: UInt64) throws -> [UInt8] {
      let disk = try preparedDisk(seed: seed)
      let file = try File("/d/file", .writing, on: disk.fileSystem)
      for place in 0..<64 { try file.write([UInt8(place + 2)], at: UInt64(place) * 300) }
      disk.crash(.scattered)
      return try content(disk)
    }
    #expect(try run(11) == run(11))
    #expect(try Set((0..<10).map { try run(UInt64($0)) }).count > 5)
  }
}
