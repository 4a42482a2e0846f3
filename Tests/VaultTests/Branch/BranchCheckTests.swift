import Bytes
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Vault

/// Goal: whatever is damaged of a branch, of the log below it or of what names it, a check finds it, says what it
/// hurts, and never says so of what is whole. Method: bits flipped and files lost one at a time, everything read
/// and checked, and the damage undone; and checks beside many writers. `TIDEMARK_FLIPS` says how many bits.
struct BranchCheckTests {
  private static let id = BranchSite.id

  /// A branch with sealed and merged segments and one that takes records, beside its machine.
  private struct Site {
    let disk = SimulatedDisk(seed: 21)
    let site: BranchSite
    let wanted: [UInt8]

    init() throws {
      site = try BranchSite(on: disk.fileSystem)
      _ = try site.failOver()
      let branch = try site.vault.openBranch(
        BranchCheckTests.id, limits: LogLimits(segmentSize: 60_000, lowestTier: 4),
        clock: { Timestamp(seconds: 9) }, pace: .within)
      var wanted = site.points[0].disks.bytes(0, 0..<Int(site.bench.size))
      var random = SeededGenerator(seed: 22)
      for place in 0..<60 {
        let offset = place * 40_000 % 1_900_000
        let bytes = random.bytes(3000)
        try bytes.withUnsafeBytes { try branch.disks[0].write($0, at: UInt64(offset)) }
        wanted.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      }
      try branch.disks[0].zero(1_310_720..<1_441_792)
      wanted.replaceSubrange(
        1_310_720..<1_441_792, with: repeatElement(0, count: 131_072))
      try branch.close()
      self.wanted = wanted
    }

    var branchFiles: [String] {
      get throws {
        let directory = "/vault/branches/\(BranchCheckTests.id)"
        return try disk.fileSystem.list(directory).filter { $0 != "lock" && $0 != "readers" }
          .sorted().map { directory + "/" + $0 }
      }
    }

    /// A check by a process that has just started; nil if the MANIFEST can't be read.
    func check() throws -> CheckReport? {
      do { return try BranchCheck(BranchCheckTests.id, in: site.vault).run() } catch {
        guard (error as? VaultError)?.code == .damaged else { throw error }
        return nil
      }
    }

    /// The pages that can't be read; nil if none can be.
    func unreadable() throws -> [Int]? {
      let cut: BranchCut
      do { cut = try site.vault.readBranch(BranchCheckTests.id) } catch let error as VaultError {
        guard error.code == .damaged || error.cause?.isMissing == true else { throw error }
        return nil
      }
      var bytes = [UInt8](repeating: 0, count: 4096)
      return try stride(from: 0, to: wanted.count, by: 4096).filter { start in
        do {
          try bytes.withUnsafeMutableBytes { try cut.disks[0].read(into: $0, at: UInt64(start)) }
        } catch {
          guard (error as? VaultError)?.code == .damaged else { throw error }
          return true
        }
        #expect(bytes[...] == wanted[start..<start + 4096], "a wrong page at \(start)")
        return false
      }
    }
  }

  /// Expects that the pages that can't be read, and no others, are named.
  private func compare(_ site: Site, _ damages: [Damage], _ what: String) throws {
    let hurting = damages.filter { $0.branches == [Self.id] }
    guard let pages = try site.unreadable() else {
      #expect(!hurting.isEmpty, "\(what): it can't be read, and nobody says so: \(damages)")
      return
    }
    for page in pages {
      let isNamed = hurting.contains {
        $0.disk ?? 0 == 0 && ($0.range ?? 0..<(.max)).contains(UInt64(page))
      }
      #expect(isNamed, "\(what): byte \(page) can't be read, and nobody says so: \(damages)")
    }
    for damage in hurting {
      let range = damage.range ?? 0..<(.max)
      #expect(
        pages.contains { range.overlaps(UInt64($0)..<UInt64($0) + 4096) },
        "\(what): \(damage), and all of it can be read")
    }
  }

  @Test("a whole branch is found whole, with every record and index page, and what it stands on")
  func whole() throws {
    let site = try Site()
    let report = try #require(try site.check())
    #expect(report.isIntact, "\(report.damages)")
    #expect(report.records >= 61 && report.indexPages > 2 && report.points == 0)
    #expect(try site.branchFiles.contains { $0.hasSuffix(".run") }, "runs were merged")
    let machine = try site.site.bench.reader()
    let cut = try site.site.vault.readBranch(Self.id)
    #expect(try MachineCheck(machine, branches: [Self.id: cut]).run().isIntact)
    // What somebody else has put beside the log is nobody's damage.
    let other = "/vault/branches/\(Self.id)/disk0.flat"
    _ = try File(other, .creating(permissions: 0o600), on: site.disk.fileSystem)
    #expect(try site.check()?.isIntact == true)
  }

  @Test("a bit that flips in a branch hurts nothing, or what it hurts is named, and nothing else")
  func flips() throws {
    let site = try Site()
    var random = SeededGenerator(for: "flips in a checked branch")
    let files = try site.branchFiles
    var (found, hurting) = (0, 0)
    let count = Count.of("TIDEMARK_FLIPS", normally: 200) / 4
    for _ in 0..<count {
      let file = files[random.number(0..<files.count)]
      let size = Int(try site.disk.fileSystem.status(file).size)
      guard size > 0 else { continue }
      let (offset, bit) = (random.number(0..<size), random.number(0..<8))
      try site.disk.flipBit(bit, of: offset, in: file)
      if let report = try site.check() {
        try compare(site, report.damages, "bit \(bit) of byte \(offset) of \(file)")
        found += report.isIntact ? 0 : 1
        hurting += report.damages.contains(where: \.hurtsReads) ? 1 : 0
      } else {
        found += 1
        #expect(try site.unreadable() == nil)
      }
      try site.disk.flipBit(bit, of: offset, in: file)
    }
    print("\(found) of \(count) flipped bits were found, \(hurting) hurt reads")
    #expect(found > count / 4 && hurting > 0)
  }

  @Test("a bit that flips in the log below a branch is named with the branches that it hurts")
  func flipsBelow() throws {
    let site = try Site()
    var random = SeededGenerator(for: "flips below a branch")
    let writer = try site.site.bench.writer()
    try writer.commit(failover: Self.id)
    try writer.close()
    let directory = site.site.bench.machine.directory
    let segment = try #require(
      try site.disk.fileSystem.list(directory).first { $0.hasSuffix(".seg") })
    let path = directory + "/" + segment
    let size = Int(try site.disk.fileSystem.status(path).size)
    var hurting = 0
    for _ in 0..<25 {
      let (offset, bit) = (random.number(0..<size), random.number(0..<8))
      try site.disk.flipBit(bit, of: offset, in: path)
      let vault = try site.site.vault
      let cut = try? vault.readBranch(Self.id)
      let machine = try site.site.bench.reader()
      do {
        let damages = try MachineCheck(
          machine, branches: cut.map { [Self.id: $0] } ?? [:]
        ).run().damages
        try compare(site, damages, "bit \(bit) of byte \(offset)")
        hurting += damages.contains(where: \.hurtsReads) ? 1 : 0
      } catch let error as VaultError {
        #expect(error.code == .damaged, "\(error)")
      }
      try site.disk.flipBit(bit, of: offset, in: path)
    }
    #expect(hurting > 0)
  }

  @Test("what is read is not removed, though it is checked as well")
  func removedWhileRead() throws {
    let site = try Site()
    let check = try BranchCheck(Self.id, in: site.site.vault)
    let cut = try site.site.vault.readBranch(Self.id)
    let refused = #expect(throws: VaultError.self) {
      try site.site.vault.removeBranch(Self.id, lock: site.site.lock)
    }
    #expect(refused?.code == .inUse)
    withExtendedLifetime(cut) {}
    _ = try check.run()
  }

  @Test("what is only checked can be removed")
  func removedBesideCheck() throws {
    let site = try Site()
    let check = try BranchCheck(Self.id, in: site.site.vault)
    let glance = try site.site.vault.readBranch(Self.id, isGlance: true)
    try site.site.vault.removeBranch(Self.id, lock: site.site.lock)
    #expect(try site.site.vault.branchIdentifiers().isEmpty)
    withExtendedLifetime((check, glance)) {}
  }

  @Test("a lost file of a branch, and a log that does not keep what it stands on, are named")
  func losses() throws {
    let site = try Site()
    for file in try site.branchFiles {
      let bytes = try site.disk.fileSystem.readFile(file, limit: 1 << 26)
      try site.disk.fileSystem.remove(file)
      if let report = try site.check() {
        let name = try #require(file.split(separator: "/").last)
        #expect(report.damages.contains { $0.file == name }, "\(file): \(report.damages)")
        try compare(site, report.damages, "\(file) is gone")
      } else {
        #expect(file.hasSuffix("/MANIFEST"))
      }
      try File(file, .creating(permissions: 0o600), on: site.disk.fileSystem).write(bytes, at: 0)
      #expect(try site.check()?.isIntact == true)
    }
    let writer = try site.site.bench.writer()
    try writer.release(Self.id)
    try writer.close()
    let damages = try #require(try site.check()).damages
    #expect(damages.count == 1 && damages[0].branches == [Self.id], "\(damages)")
    #expect(damages[0].what.contains("does not keep the cut"))
  }

  @Test(
    "a branch that is written to meanwhile is found whole, again and again",
    .timeLimit(.minutes(30))
  )
  func beside() throws {
    let directory = try TemporaryDirectory("branch-check")
    let site = try BranchSite(on: .system, at: directory.file("vault"))
    _ = try site.failOver()
    let limits = LogLimits(segmentSize: 100_000, runEntries: 100, lowestTier: 40)
    let branch = try site.vault.openBranch(
      Self.id, limits: limits, clock: { .now() }, pace: .beside)
    let isOver = Mutex(false)
    let ended = DispatchGroup()
    for number in 0..<3 {
      DispatchQueue(label: "writer \(number)").async(group: ended) {
        var round = 0
        while round < 200 || !isOver.withLock({ $0 }) {
          round += 1
          let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: 4096)
          let offset = UInt64((number * 64 + round % 64) * 4096)
          #expect(throws: Never.self) {
            try bytes.withUnsafeBytes { try branch.disks[0].write($0, at: offset) }
            if round % 20 == 0 { try branch.disks[0].flush() }
          }
        }
      }
    }
    for _ in 0..<12 {
      let report = try BranchCheck(Self.id, in: try site.vault).run()
      #expect(report.isIntact, "\(report.damages)")
    }
    isOver.withLock { $0 = true }
    ended.wait()
    try branch.close()
    let report = try BranchCheck(Self.id, in: try site.vault).run()
    #expect(report.isIntact && report.records > 100, "\(report)")
  }
}
