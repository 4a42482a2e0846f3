import Bytes
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Vault

/// Goal: a branch is made, found, refused and removed as it says, its budget holds, and what is damaged is told
/// and never read. Method: a machine of two points, and branches above them.
struct BranchTests {
  private static let id = BranchSite.id

  private typealias Site = BranchSite

  private static func write(_ disk: BranchDisk, _ byte: UInt8, _ count: Int, at offset: Int) throws
  {
    try [UInt8](repeating: byte, count: count).withUnsafeBytes {
      try disk.write($0, at: UInt64(offset))
    }
  }

  private func code(_ body: () throws -> Void) -> VaultError.Code? {
    do { try body() } catch { return (error as? VaultError)?.code }
    return nil
  }

  @Test(
    "a branch is found by what it is, opened by one process, and removed by none while it is open")
  func life() throws {
    let site = try Site(on: SimulatedDisk(seed: 5).fileSystem)
    #expect(code { _ = try site.make() } == .invalid)
    #expect(try site.vault.branches().isEmpty)
    let made = try site.failOver(budget: 1 << 30)
    #expect(try site.vault.branches() == [made])
    #expect(made.epoch == 1 && made.purpose == .failover && made.budget == 1 << 30)
    #expect(code { _ = try site.make() } == .alreadyExists)
    try use(site)
    try site.vault.removeBranch(Self.id, lock: site.lock)
    #expect(code { _ = try site.vault.branch(Self.id) } == .unknownBranch)
    #expect(code { try site.vault.removeBranch(Self.id, lock: site.lock) } == .unknownBranch)
    #expect(try site.bench.system.list("/vault/branches").isEmpty)
  }

  private func use(_ site: Site) throws {
    let branch = try site.vault.openBranch(Self.id)
    #expect(code { _ = try site.vault.openBranch(Self.id) } == .inUse)
    #expect(code { try site.vault.removeBranch(Self.id, lock: site.lock) } == .inUse)
    for block in 0..<32 { #expect(try site.reads(branch.disk(0), block)) }
    #expect(code { _ = try branch.disk(1) } == .unknownDisk)
    #expect(
      code { try Self.write(branch.disks[0], 1, 2, at: Int(site.bench.size) - 1) } == .invalid)
    try branch.close()
    #expect(code { try Self.write(branch.disks[0], 1, 1, at: 0) } == .invalid)
    // Its reads go on, so its files stay.
    #expect(code { try site.vault.removeBranch(Self.id, lock: site.lock) } == .inUse)
  }

  @Test("data is looked for as far as is asked for, and no further")
  func bounds() throws {
    let site = try Site(on: SimulatedDisk(seed: 6).fileSystem)
    _ = try site.failOver()
    let branch = try site.open()
    let size = Layout.blockSize
    try branch.disks[0].zero(0..<UInt64(20 * size))
    try Self.write(branch.disks[0], 1, 5000, at: 12 * size + 8192)
    let last = SequenceNumber(rawValue: branch.log.answered.load(ordering: .acquiring))
    let layers = try #require(branch.log.views.freeze(at: last)).layers()
    let disk = DiskReader(number: 0, size: branch.disks[0].size, layers: layers)
    let start = UInt64(12 * size + 8192)
    #expect(try disk.nextData(from: 0, before: start) == nil)
    #expect(try disk.nextData(from: 0, before: start + 1) == start)
    #expect(try disk.nextData(from: start + 100, before: start + 200) == start + 100)
    #expect(try disk.nextData(from: 0) == start)
  }

  @Test("a branch stays readable and writable when a commit has taken its point away")
  func committed() throws {
    let site = try Site(on: SimulatedDisk(seed: 6).fileSystem)
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Self.id)
    try Self.write(branch.disks[0], 7, 100, at: 5 * Layout.blockSize)
    let writer = try site.bench.writer()
    try writer.commit(failover: Self.id)
    try writer.close()
    try branch.close()
    let again = try site.vault.openBranch(Self.id)
    for block in 0..<5 { #expect(try site.reads(again.disks[0], block)) }
    #expect(try again.changedRanges(0) == [327_680..<331_776])
  }

  @Test("a write that would pass the budget is refused, a warning comes before, reads go on")
  func budget() throws {
    let site = try Site(on: SimulatedDisk(seed: 7).fileSystem)
    _ = try site.failOver(budget: 400_000)
    let branch = try site.vault.openBranch(Self.id)
    var isNear = false
    var written = 0
    while code({ try Self.write(branch.disks[0], 9, 4096, at: written * 4096) }) == nil {
      isNear = isNear || branch.usage.isNearBudget
      written += 1
      #expect(branch.usage.storedBytes <= 400_000)
    }
    #expect(isNear && written > 50)
    #expect(code { try Self.write(branch.disks[0], 9, 4096, at: 0) } == .overBudget)
    try branch.flush()
    try branch.close()
    let again = try site.vault.openBranch(Self.id)
    #expect(again.usage.isNearBudget && again.usage.storedBytes <= 400_000)
    #expect(code { try Self.write(again.disks[0], 9, 8192, at: 0) } == .overBudget)
  }

  @Test("a rebuilt MANIFEST pins the branches that stand on the machine, and keeps their epoch")
  func rebuilt() throws {
    let site = try Site(on: SimulatedDisk(seed: 8).fileSystem)
    _ = try site.failOver()
    let branch = try site.vault.openBranch(Self.id)
    try Self.write(branch.disks[0], 3, 5000, at: 70_000)
    try branch.close()
    try site.bench.system.remove(site.bench.machine.manifestPath)
    #expect(code { _ = try site.vault.openBranch(Self.id) } == .damaged)
    site.bench.lock = nil
    _ = try Rebuild.run(at: site.bench.path, on: site.bench.system)
    let snapshot = try site.bench.reader().snapshot()
    #expect(snapshot.epoch == 1)
    #expect(snapshot.pins.map(\.branch) == [Self.id])
    let again = try site.vault.openBranch(Self.id)
    for block in [0, 2, 3] { #expect(try site.reads(again.disks[0], block)) }
  }

  @Test("whatever single bit flips in a branch, a read gives what was written or fails")
  func damage() throws {
    let simulated = SimulatedDisk(seed: 9)
    let site = try Site(on: simulated.fileSystem)
    _ = try site.failOver()
    let limits = LogLimits(segmentSize: 60_000, lowestTier: 4)
    func open() throws -> Branch {
      try site.vault.openBranch(
        Self.id, limits: limits, clock: { Timestamp(seconds: 9) }, pace: .within)
    }
    let first = try open()
    var wanted = site.points[0].disks.bytes(0, 0..<Int(site.bench.size))
    for place in 0..<40 {
      let offset = place * 40_000 % 1_900_000
      try Self.write(first.disks[0], UInt8(place), 3000, at: offset)
      wanted.replaceSubrange(
        offset..<offset + 3000, with: repeatElement(UInt8(place), count: 3000))
    }
    try first.close()
    let directory = "/vault/branches/\(Self.id)"
    var random = SeededGenerator(for: "flips in a branch")
    let files = try simulated.fileSystem.list(directory).filter { $0 != "lock" && $0 != "readers" }
    for _ in 0..<25 {
      let file = directory + "/" + files.sorted()[random.number(0..<files.count)]
      let size = Int(try simulated.fileSystem.status(file).size)
      let (offset, bit) = (random.number(0..<size), random.number(0..<8))
      try simulated.flipBit(bit, of: offset, in: file)
      let cut: BranchCut
      do { cut = try site.vault.readBranch(Self.id) } catch {
        #expect((error as? VaultError)?.code == .damaged, "\(error)")
        try simulated.flipBit(bit, of: offset, in: file)
        continue
      }
      var bytes = [UInt8](repeating: 0, count: 4096)
      for start in stride(from: 0, to: Int(site.bench.size), by: 4096) {
        do {
          try bytes.withUnsafeMutableBytes { try cut.disks[0].read(into: $0, at: UInt64(start)) }
          #expect(
            bytes[...] == wanted[start..<start + 4096], "\(file) \(offset).\(bit) at \(start)")
        } catch { #expect((error as? VaultError)?.code == .damaged, "\(error)") }
      }
      try simulated.flipBit(bit, of: offset, in: file)
    }
  }

  private func inThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
    let ended = DispatchGroup()
    for number in 0..<count {
      DispatchQueue(label: "writer \(number)").async(group: ended) {
        do { try body(number) } catch { Issue.record("thread \(number): \(error)") }
      }
    }
    ended.wait()
  }

  @Test(
    "many threads write, flush, read, cut and close on a file system, and nothing is lost",
    .timeLimit(.minutes(30)))
  func threads() throws {
    let directory = try TemporaryDirectory("branch")
    let site = try Site(on: .system, at: directory.file("vault"))
    _ = try site.failOver()
    let limits = LogLimits(segmentSize: 200_000, runEntries: 500, lowestTier: 40)
    let branch = try site.vault.openBranch(
      Self.id, limits: limits, clock: { .now() }, pace: .beside)
    let disk = branch.disks[0]
    let wanted = Mutex([UInt8](repeating: 0, count: 8))
    // Each thread has pages of its own; the last byte it wrote to all of them is what they must hold.
    inThreads(8) { number in
      for round in 1...40 {
        for page in 0..<8 {
          try Self.write(disk, UInt8(round), 4096, at: (number * 64 + page * 5) * 4096)
        }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let place = UInt64((number * 64 + round % 8 * 5) * 4096)
        try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: place) }
        #expect(bytes.allSatisfy { $0 == UInt8(round) })
        if round % 10 == number { try disk.flush() }
        if round % 20 == number { _ = try branch.cut().changedRanges(0) }
        wanted.withLock { $0[number] = UInt8(round) }
      }
    }
    try branch.close()
    let again = try site.vault.openBranch(Self.id)
    for number in 0..<8 {
      for page in 0..<8 {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let place = UInt64((number * 64 + page * 5) * 4096)
        try bytes.withUnsafeMutableBytes { try again.disks[0].read(into: $0, at: place) }
        #expect(bytes.allSatisfy { $0 == wanted.withLock { $0[number] } })
      }
    }
  }
}
