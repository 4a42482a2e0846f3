import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: what is done beside the writes may fail at any step, and no write is lost by it.
/// Method: a branch with small segments on a simulated disk, whose keeper works when it is told to; each page
/// that was written is compared.
struct KeeperTests {
  private final class Work {
    let disk: SimulatedDisk
    let site: BranchSite
    var branch: Branch?
    var pages: [Int: UInt8] = [:]

    init(seed: UInt64, pace: KeeperPace = .stepped) throws {
      disk = SimulatedDisk(seed: seed)
      site = try BranchSite(on: disk.fileSystem)
      _ = try site.failOver()
      branch = try site.open(pace: pace)
    }

    var content: BranchDisk { get throws { try #require(branch).disks[0] } }

    /// Writes pages of bytes that do not shrink, `count` from one on.
    func write(_ range: Range<Int>, _ value: UInt8) throws {
      for page in range {
        try Self.bytes(page, value).withUnsafeBytes {
          try content.write($0, at: UInt64(page) * 4096)
        }
        pages[page] = value
      }
    }

    private static func bytes(_ page: Int, _ value: UInt8) -> [UInt8] {
      var random = SeededGenerator(seed: UInt64(page) << 8 | UInt64(value))
      return random.bytes(4096)
    }

    /// Lets the keeper do its work, and gives what it could not do.
    func keep() throws -> VaultError? {
      let keeper = try #require(branch).keeper
      keeper.step()
      return keeper.trouble
    }

    @discardableResult
    func read(_ page: Int) throws -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 4096)
      try bytes.withUnsafeMutableBytes { try content.read(into: $0, at: UInt64(page) * 4096) }
      return bytes
    }

    func checkAll() throws {
      for (page, value) in pages {
        #expect(try read(page) == Self.bytes(page, value), "page \(page)")
      }
    }

    /// Does something while the disk has no room left.
    @discardableResult
    func withoutRoom<Result, Failure>(
      _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
      disk.setCapacity(1 << 40)
      let free = (try? disk.fileSystem.space(at: "/").free) ?? 0
      let used = (1 << 40) - free
      disk.setCapacity(used)
      defer { disk.setCapacity(nil) }
      return try body()
    }

    /// How many segments are written to, or wait to be sealed.
    func segments() throws -> Int {
      try site.vault.branchFiles(BranchSite.id).manifest.state.openSegments.count
    }

    /// Ends the process, or the power, and opens the branch again.
    func restart(_ loss: Loss? = nil) throws {
      branch = nil
      disk.failOpens(of: "", 0)
      if let loss {
        disk.crash(loss)
        site.bench.lock = nil
      }
      branch = try site.open()
    }
  }

  @Test("a run that can't be opened once it is sealed is opened later, and nothing is sealed twice")
  func failedOpenOfSealed() throws {
    let work = try Work(seed: 1)
    try work.write(0..<30, 1)
    work.disk.failOpens(of: ".seg")
    #expect(try work.keep()?.cause != nil)
    try work.checkAll()
    try work.write(10..<40, 2)
    #expect(try work.keep() == nil)
    #expect(try work.keep() == nil)
    try work.checkAll()
    try work.restart()
    try work.checkAll()
  }

  @Test("a merged run that can't be opened costs no entry")
  func failedOpenOfMerged() throws {
    let work = try Work(seed: 2)
    for round in 0..<12 {
      try work.write(round * 10..<round * 10 + 40, UInt8(round))
      work.disk.failOpens(of: ".run", round % 2)
      _ = try work.keep()
    }
    try work.checkAll()
    try work.restart()
    try work.checkAll()
  }

  @Test("a segment that a flush could not make durable is never entered as sealed")
  func failedFlushThenSeal() throws {
    for seed in 3..<9 {
      let work = try Work(seed: UInt64(seed))
      try work.write(0..<30, 1)
      try work.content.flush()
      let durable = work.pages
      try work.write(30..<45, 2)
      work.disk.failSyncs()
      #expect(throws: VaultError.self) { try work.content.flush() }
      #expect(throws: VaultError.self) { try work.content.flush() }
      #expect(try work.keep() != nil)
      work.pages = durable
      try work.restart(.everything)
      try work.checkAll()
    }
  }

  @Test("a flush does not vouch for what the keeper could not make durable")
  func failedSealThenFlush() throws {
    let work = try Work(seed: 10)
    try work.write(0..<30, 1)
    // The next segment and its name come first.
    work.disk.failSyncs(after: 3)
    #expect(try work.keep() != nil)
    #expect(throws: VaultError.self) { try work.content.flush() }
    #expect(throws: VaultError.self) { try work.write(0..<1, 3) }
    work.pages = [:]
    try work.restart(.everything)
    try work.checkAll()
  }

  @Test("what can't be merged is told, and the runs beside it are merged all the same")
  func damagedRun() throws {
    let work = try Work(seed: 11)
    try work.write(0..<20, 1)
    #expect(try work.keep() == nil)
    let (run, place) = try #require(try Self.firstRun(work))
    try work.disk.flipBit(3, of: Int(place) + 700, in: run)
    for round in 0..<16 {
      try work.write(40..<60, UInt8(round))
      _ = try work.keep()
    }
    #expect(try work.keep()?.code == .damaged)
    #expect(try #require(work.branch).usage.trouble != nil)
    let (_, manifest, _) = try work.site.vault.branchFiles(BranchSite.id)
    #expect(manifest.state.runs.count < 10)
    for page in 0..<20 { work.pages[page] = nil }
    try work.checkAll()
  }

  /// The file of the oldest run, and where in it the run begins.
  private static func firstRun(_ work: Work) throws -> (String, UInt64)? {
    let (_, manifest, place) = try work.site.vault.branchFiles(BranchSite.id)
    guard let run = manifest.state.runs.first?.partitions.first else { return nil }
    return (place.files.path(run.file), run.base)
  }

  @Test("a flush needs no room")
  func flushOfFull() throws {
    let work = try Work(seed: 12)
    try work.write(0..<3, 1)
    try work.withoutRoom { try work.content.flush() }
    try work.restart(.everything)
    try work.checkAll()
  }

  @Test(
    "behind a write that failed a loss of power takes the end of what was not flushed, and no more")
  func failedWriteBehindAChange() throws {
    for seed in 13..<40 {
      let work = try Work(seed: UInt64(seed))
      try work.write(0..<4, 1)
      try work.content.flush()
      let flushed = work.pages
      try work.write(4..<26, 2)
      #expect(try work.segments() > 1)
      work.withoutRoom {
        #expect(throws: VaultError.self) { try work.write(26..<40, 3) }
      }
      try work.write(27..<28, 4)
      // Behind the record that tells what is durable, and before it is.
      work.disk.cutPower(after: 1)
      #expect(throws: VaultError.self) { try work.content.flush() }
      work.pages = flushed
      try work.restart(.scattered)
      try work.checkAll()
      for page in 4..<40 { #expect(throws: Never.self, "seed \(seed)") { try work.read(page) } }
    }
  }

  @Test("a MANIFEST that there was no room for is as it was, and takes the next entry")
  func fullManifest() throws {
    let work = try Work(seed: 40)
    try work.write(0..<4, 1)
    try work.content.flush()
    work.branch = nil
    let (_, known, place) = try work.site.vault.branchFiles(BranchSite.id)
    let writer = try ManifestWriter(
      place.manifestPath, identity: place.identity, on: work.disk.fileSystem)
    let segment = try #require(known.state.openSegments.first)
    let entry = ManifestEntry.segmentVouched(
      number: segment.number, end: UInt64(segment.headerLength))
    var (appended, failed) = (UInt64(0), 0)
    while failed < 2, appended < 3000 {
      do throws(VaultError) {
        try work.withoutRoom { () throws(VaultError) in try writer.append([entry, entry]) }
      } catch {
        #expect(error.cause?.isFull == true)
        failed += 1
        try writer.append([entry, entry])
      }
      appended += 1
    }
    #expect(failed == 2)
    work.disk.crash(.scattered)
    work.site.bench.lock = nil
    let found = try work.site.vault.branchFiles(BranchSite.id).manifest
    #expect(found.state.generation == known.state.generation + appended)
    try work.restart()
    try work.checkAll()
  }

  @Test("where the MANIFEST could not be made durable the branch is to be opened again")
  func brokenManifest() throws {
    let work = try Work(seed: 41)
    try work.write(0..<30, 1)
    try work.content.flush()
    // The next segment and its name come first.
    work.disk.failSyncs(after: 2)
    #expect(try work.keep() != nil)
    #expect(try #require(work.branch).hasEnded)
    #expect(throws: VaultError.self) { try work.write(0..<1, 2) }
    try work.restart(.everything)
    try work.write(30..<60, 2)
    #expect(try work.keep() == nil)
    try work.checkAll()
  }
}
