import Bytes
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Vault

/// A branch that is copied to plain files, and then those.
struct FlatBranchTests {
  private typealias Site = BranchSite

  /// A branch with block 5 written and block 1 zeroed, and what its disk holds.
  private func written(_ site: Site) throws -> (branch: Branch, bytes: [UInt8]) {
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Site.id)
    let disk = branch.disks[0]
    let block = [UInt8](repeating: 7, count: Layout.blockSize)
    try block.withUnsafeBytes { try disk.write($0, at: 5 * UInt64(Layout.blockSize)) }
    try disk.zero(UInt64(Layout.blockSize)..<UInt64(2 * Layout.blockSize))
    return (branch, try Self.bytes(disk))
  }

  private static func bytes(_ disk: some DiskContent) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 1, count: Int(disk.size))
    try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: 0) }
    return bytes
  }

  private func names(_ site: Site) throws -> [String] {
    try site.bench.system.list("\(site.bench.path)/branches/\(Site.id)").sorted()
  }

  private func code(_ body: () throws -> Void) -> VaultError.Code? {
    do { try body() } catch { return (error as? VaultError)?.code }
    return nil
  }

  @Test("a flattened branch is one sparse file a disk, takes any more writes, and has no log")
  func becomesFiles() throws {
    let directory = try TemporaryDirectory()
    let site = try Site(on: .system, at: directory.path + "/vault")
    let (branch, bytes) = try written(site)
    try branch.flatten(FlattenControl())
    #expect(branch.isFlat && branch.usage.budget == nil)
    #expect(try names(site) == ["MANIFEST", "MANIFEST.first", "disk0.raw", "lock", "readers"])
    #expect(try Self.bytes(branch.disks[0]) == bytes)
    #expect(branch.usage.storedBytes < branch.disks[0].size)
    try [UInt8](repeating: 9, count: 3).withUnsafeBytes { try branch.disks[0].write($0, at: 4095) }
    try branch.disks[0].flush()
    #expect(code { _ = try branch.cut() } == .invalid)
    try branch.close()
    let again = try site.vault.openBranch(Site.id)
    #expect(again.isFlat)
    #expect(
      try Self.bytes(again.disks[0])[..<5000] == bytes[..<4095] + [9, 9, 9] + bytes[4098..<5000])
    let read = try site.vault.readBranch(Site.id)
    #expect(try Self.bytes(read.disk(0)) == Self.bytes(again.disks[0]))
    #expect(try site.vault.branch(Site.id).isFlat)
    #expect(try BranchCheck(Site.id, in: site.vault).run().damages.isEmpty)
  }

  @Test("a flattened branch needs nothing of its machine, whose pin says so, and can be removed")
  func needsNoBase() throws {
    let disk = SimulatedDisk(seed: 5)
    let site = try Site(on: disk.fileSystem)
    let (branch, bytes) = try written(site)
    try branch.flatten(FlattenControl())
    try branch.close()
    let writer = try site.bench.writer()
    try writer.letGo(Site.id)
    try writer.letGo(Site.id)
    #expect(writer.pins.map(\.isFlat) == [true])
    try writer.commit(failover: Site.id)
    #expect(writer.pins.map(\.isFlat) == [true] && writer.pins.map(\.isCommitted) == [true])
    try writer.close()
    let machine = "\(site.bench.path)/machines/\(site.bench.machine.id)"
    for name in try disk.fileSystem.list(machine) where name.hasSuffix(".seg") {
      try disk.fileSystem.remove(machine + "/" + name)
    }
    #expect(try Self.bytes(site.vault.openBranch(Site.id).disks[0]) == bytes)
    try site.vault.removeBranch(Site.id, lock: site.lock)
    #expect(try site.vault.branches().isEmpty)
    #expect(try disk.fileSystem.list(site.bench.path + "/branches").isEmpty)
  }

  @Test("plain files leave the vault its reserve")
  func keepsReserve() throws {
    let disk = SimulatedDisk(seed: 7)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    try branch.flatten(FlattenControl())
    // So that the reserve has room for what is refused.
    let others = [UInt8](repeating: 1, count: 8 << 20)
    try disk.fileSystem.replaceFile("/others", with: others, permissions: 0o600)
    disk.setCapacity(1 << 40)
    let used = (1 << 40) - (try disk.fileSystem.space(at: "/").free)
    disk.setCapacity(used + Vault.reserve(of: used))
    #expect(code { try write(branch, block: 20, 3) } == .full)
    #expect(code { try write(branch, block: 20, 3) } == .full)
    try branch.flush()
    disk.setCapacity(nil)
    try write(branch, block: 20, 3)
  }

  @Test("a copy that is given up while its server is to leave is given up for good")
  func givenUpAtTheEnd() throws {
    let disk = SimulatedDisk(seed: 8)
    let site = try Site(on: disk.fileSystem)
    let (branch, bytes) = try written(site)
    let control = FlattenControl()
    control.cancel()
    control.pause()
    #expect(code { try branch.flatten(control) } == .cancelled)
    #expect(!branch.wantsFlat)
    #expect(try !names(site).contains("disk0.raw") && Self.bytes(branch.disks[0]) == bytes)
  }

  private func write(_ branch: Branch, block: UInt64, _ byte: UInt8) throws {
    let bytes = [UInt8](repeating: byte, count: Layout.blockSize)
    try bytes.withUnsafeBytes {
      try branch.disks[0].write($0, at: block * UInt64(Layout.blockSize))
    }
  }

  @Test(
    "writers do not stand still for more than little, even where much was written at the last moment"
  )
  func lateBurst() throws {
    let disk = SimulatedDisk(seed: 11)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    var limits = Flattening.Limits()
    limits.rest = 4096
    let copy = try Flattening(branch.log, branch.keeper, branch.queue, branch.flusher, limits)
    while copy.progress.done < copy.progress.total { _ = try copy.step() }
    try write(branch, block: 8, 5)
    #expect(try !copy.pivot() && !branch.isFlat)
    try write(branch, block: 9, 6)
    let bytes = try Self.bytes(branch.disks[0])
    while try copy.step() {}
    #expect(branch.isFlat)
    #expect(try Self.bytes(branch.disks[0]) == bytes)
  }

  @Test("a branch that becomes plain files while it is checked has no damage by that")
  func checkedMeanwhile() throws {
    let disk = SimulatedDisk(seed: 12)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    let check = try BranchCheck(Site.id, in: site.vault)
    try branch.flatten(FlattenControl())
    #expect(try check.run().damages.isEmpty)
    #expect(try BranchCheck(Site.id, in: site.vault).run().damages.isEmpty)
  }

  @Test("of the log of a flattened branch nobody has a file open, which would keep its room")
  func hasNoLogOpen() throws {
    let directory = try TemporaryDirectory()
    let site = try Site(on: .system, at: directory.path + "/vault")
    let (branch, _) = try written(site)
    let place = branch.log.place.directory
    let segments = try names(site).filter { $0.hasSuffix(".seg") }
      .map { try FileSystem.system.status(place + "/" + $0).inode }
    #expect(!segments.isEmpty)
    try branch.flatten(FlattenControl())
    let open = try FileSystem.system.list("/proc/self/fd").compactMap {
      try? FileSystem.system.status("/proc/self/fd/" + $0)
    }
    #expect(!open.contains { $0.links == 0 && segments.contains($0.inode) })
    try branch.close()
  }

  @Test("who discards a whole disk while writers are held back does not owe its size")
  func discardWhileHeld() throws {
    let allowance = WriteAllowance()
    allowance.hold()
    let isAdmitted = Atomic(false)
    let group = DispatchGroup()
    DispatchQueue(label: "writer").async(group: group) {
      allowance.admitZeros(0..<100 << 30)
      allowance.admit(0..<4096)
      isAdmitted.store(true, ordering: .relaxed)
    }
    #expect(Program.poll(seconds: 60) { isAdmitted.load(ordering: .relaxed) })
    allowance.release()
    group.wait()
  }

  @Test("a copy that knows of numbers which the log has lost begins anew")
  func copyOfLostNumbers() throws {
    let disk = SimulatedDisk(seed: 9)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    let place = branch.log.place
    _ = try place.makeFlat(branch.description.disks)
    var known = FlatteningCheckpoint()
    known.sequence = branch.log.answered.load(ordering: .relaxed) + 2
    known.cursor.disk = 1
    try place.replace(known, of: branch.description)
    try branch.close()
    let again = try site.vault.openBranch(Site.id)
    #expect(again.wantsFlat)
    for block in 8..<11 { try write(again, block: UInt64(block), 5) }
    let bytes = try Self.bytes(again.disks[0])
    try again.flatten(FlattenControl())
    #expect(again.isFlat)
    #expect(try Self.bytes(again.disks[0]) == bytes)
  }

  @Test(
    "a sync from outside leaves it to a branch to hear that its plain files could not be written")
  func syncFromOutside() throws {
    let disk = SimulatedDisk(seed: 6)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    try branch.flatten(FlattenControl())
    try [UInt8](repeating: 9, count: 3).withUnsafeBytes { try branch.disks[0].write($0, at: 0) }
    // Of all files but the plain one, which is the only one of its disk.
    disk.failSyncs(1, after: try names(site).count - 1)
    try site.vault.syncBranch(Site.id)
    #expect(code { try branch.flush() } == .io)
  }

  @Test(
    "a MANIFEST that is lost is made anew, of a flattened branch and of one that is being copied")
  func isRebuilt() throws {
    for isFlat in [true, false] {
      let disk = SimulatedDisk(seed: 6)
      let site = try Site(on: disk.fileSystem)
      var (branch, bytes): (Branch?, [UInt8]) = try written(site)
      let open = try #require(branch)
      if isFlat {
        try open.flatten(FlattenControl())
        bytes[3] ^= 1
        try [bytes[3]].withUnsafeBytes { try open.disks[0].write($0, at: 3) }
      } else {
        let copy = try Flattening(open.log, open.keeper, open.queue, open.flusher)
        for _ in 0..<2 { _ = try copy.step() }
        var known = FlatteningCheckpoint()
        known.sequence = 1
        try open.log.place.replace(known, of: open.description)
      }
      try open.close()
      branch = nil
      try disk.fileSystem.remove("\(site.bench.path)/branches/\(Site.id)/MANIFEST")
      let outcomes = try BranchRebuild.run(in: site.vault)
      #expect(outcomes.count == 1 && (!isFlat || outcomes[0].warnings.isEmpty))
      let known = open.log.place.flatteningCheckpoint(of: open.description)
      #expect(known == (isFlat ? nil : FlatteningCheckpoint()))
      let again = try site.vault.openBranch(Site.id)
      #expect(again.isFlat == isFlat)
      #expect(try Self.bytes(again.disks[0]) == bytes)
    }
  }

  @Test("a file that a flattened branch has lost is damage that is told of, not an empty disk")
  func missingFile() throws {
    let disk = SimulatedDisk(seed: 7)
    let site = try Site(on: disk.fileSystem)
    let (branch, _) = try written(site)
    try branch.flatten(FlattenControl())
    try branch.close()
    let path = "\(site.bench.path)/branches/\(Site.id)/disk0.raw"
    let file = try File(path, .writing, on: disk.fileSystem)
    try file.truncate(to: 4096)
    #expect(code { _ = try site.vault.openBranch(Site.id) } == .damaged)
    try disk.fileSystem.remove(path)
    #expect(code { _ = try site.vault.openBranch(Site.id) } == .damaged)
    #expect(code { _ = try site.vault.readBranch(Site.id) } == .damaged)
  }

  @Test("a copy that finds no room ends, is removed, and leaves the branch as it was")
  func noRoom() throws {
    let disk = SimulatedDisk(seed: 8)
    let site = try Site(on: disk.fileSystem)
    let (branch, bytes) = try written(site)
    let used = (1 << 40) - (try disk.fileSystem.space(at: "/").free)
    disk.setCapacity(used + Vault.reserve(of: used) + 300_000)
    #expect(code { try branch.flatten(FlattenControl()) } == .full)
    #expect(!branch.isFlat && !branch.wantsFlat)
    #expect(try !names(site).contains("disk0.raw"))
    #expect(try Self.bytes(branch.disks[0]) == bytes)
  }

  @Test("a copy that is cancelled leaves nothing, and one that is paused goes on")
  func stops() throws {
    let disk = SimulatedDisk(seed: 9)
    let site = try Site(on: disk.fileSystem)
    let (branch, bytes) = try written(site)
    let control = FlattenControl()
    control.cancel()
    #expect(code { try branch.flatten(control) } == .cancelled)
    #expect(try !branch.wantsFlat && !names(site).contains("disk0.raw"))
    let pause = FlattenControl()
    pause.pause()
    #expect(code { try branch.flatten(pause) } == .cancelled)
    #expect(branch.wantsFlat)
    try branch.close()
    let again = try site.vault.openBranch(Site.id)
    #expect(again.wantsFlat)
    try again.flatten(FlattenControl())
    #expect(try Self.bytes(again.disks[0]) == bytes)
  }

  @Test("a checkpoint that does not read lets the copy start again")
  func tornCheckpoint() throws {
    let disk = SimulatedDisk(seed: 10)
    let site = try Site(on: disk.fileSystem)
    let (branch, bytes) = try written(site)
    let pause = FlattenControl()
    pause.pause()
    #expect(code { try branch.flatten(pause) } == .cancelled)
    let path = "\(site.bench.path)/branches/\(Site.id)/" + FlatteningCheckpoint.fileName
    let file = try File(path, .writing, on: disk.fileSystem)
    try file.write([0xFF], at: 41)
    try branch.flatten(FlattenControl())
    #expect(try Self.bytes(branch.disks[0]) == bytes)
  }

  @Test(
    "many threads may write, zero, read and flush while a branch becomes plain files",
    .timeLimit(.minutes(30)))
  func busy() throws {
    let directory = try TemporaryDirectory()
    let site = try Site(on: .system, at: directory.path + "/vault")
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Site.id)
    let disk = branch.disks[0]
    let isOver = Atomic(false)
    let threads = 4
    let share = disk.size / UInt64(threads)
    let expected = Mutex([[UInt8]](repeating: [], count: threads))
    let failures = Mutex<[String]>([])
    let group = DispatchGroup()
    for thread in 0..<threads {
      DispatchQueue.global().async(group: group) {
        do {
          expected.withLock { $0[thread] = [] }
          let bytes = try Self.work(disk, UInt64(thread) * share, Int(share), thread, isOver)
          expected.withLock { $0[thread] = bytes }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    try branch.flatten(FlattenControl())
    isOver.store(true, ordering: .releasing)
    group.wait()
    #expect(failures.withLock { $0 } == [])
    #expect(branch.isFlat)
    let wanted = expected.withLock { $0.flatMap { $0 } }
    #expect(try Self.bytes(disk)[..<wanted.count] == wanted[...])
    try branch.close()
    let again = try site.vault.openBranch(Site.id)
    #expect(try Self.bytes(again.disks[0])[..<wanted.count] == wanted[...])
  }

  /// Writes to a share of a disk until it is over, and at least some times; gives what the share then holds.
  private static func work(
    _ disk: BranchDisk, _ start: UInt64, _ count: Int, _ seed: Int, _ isOver: borrowing Atomic<Bool>
  ) throws -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(seed))
    var held = [UInt8](repeating: 0, count: count)
    try held.withUnsafeMutableBytes { try disk.read(into: $0, at: start) }
    var left = 200
    while left > 0 {
      if isOver.load(ordering: .acquiring) { left -= 1 }
      let first = random.number(0..<count)
      let end = min(count, first + random.number(1..<70_000))
      let range = start + UInt64(first)..<start + UInt64(end)
      if random.once(in: 8) {
        try disk.zero(range)
        held.replaceSubrange(first..<end, with: repeatElement(0, count: end - first))
      } else {
        let bytes = random.bytes(end - first)
        try bytes.withUnsafeBytes { try disk.write($0, at: range.lowerBound) }
        held.replaceSubrange(first..<end, with: bytes)
      }
      if random.once(in: 40) { try disk.flush() }
      if random.once(in: 4) {
        var found = [UInt8](repeating: 0, count: end - first)
        try found.withUnsafeMutableBytes { try disk.read(into: $0, at: range.lowerBound) }
        guard found == Array(held[first..<end]) else { throw ModelFailure("a read is wrong") }
      }
    }
    return held
  }
}
