import Bytes
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Vault

/// Goal: no order of steps and no loss of a MANIFEST lets a branch read what it should not, or brings back what is
/// gone. Method: a machine of two points, with branches, beside others at work.
struct BranchSafetyTests {
  private typealias Site = BranchSite

  private func code(_ body: () throws -> Void) -> VaultError.Code? {
    do { try body() } catch { return (error as? VaultError)?.code }
    return nil
  }

  @Test("a machine that a branch stands on can't be removed, whether the branch can be read or not")
  func removingTheBase() throws {
    let site = try Site(on: SimulatedDisk(seed: 1).fileSystem)
    _ = try site.failOver()
    func remove() throws { try site.vault.removeMachine(named: "web01", lock: site.lock) }
    #expect {
      try remove()
    } throws: { error in
      "\(error)".contains("tidemark failover cancel web01") && "\(error)".contains("'harbour'")
    }
    // The pin alone, then the branch alone, which can't be read.
    let path = "/vault/branches/\(Site.id)"
    try site.bench.system.rename(path, to: "/vault/away")
    #expect(code { try remove() } == .inUse)
    try site.bench.system.rename("/vault/away", to: path)
    let writer = try site.bench.writer()
    try writer.release(Site.id)
    try writer.close()
    let manifest = try File(path + "/MANIFEST", .writing, on: site.bench.system)
    try manifest.truncate(to: 70)
    #expect(code { _ = try site.vault.branch(Site.id) } == .damaged)
    #expect(code { try remove() } == .inUse)
    try site.vault.removeBranch(Site.id, lock: site.lock)
    site.bench.machine.letGo()
    try remove()
  }

  @Test("a commit outlives its MANIFEST: the points stay away, and the failover can't be changed")
  func committedAndRebuilt() throws {
    let site = try Site(on: SimulatedDisk(seed: 2).fileSystem)
    _ = try site.failOver()
    do {
      let writer = try site.bench.writer()
      try writer.commit(failover: Site.id)
      try writer.close()
    }
    try site.bench.system.remove(site.bench.machine.manifestPath)
    site.bench.lock = nil
    _ = try Rebuild.run(at: site.bench.path, on: site.bench.system)
    let snapshot = try site.bench.reader().snapshot()
    #expect(snapshot.points.isEmpty)
    #expect(snapshot.pins.map(\.isCommitted) == [true])
    let next = try site.bench.writer()
    let other = BranchPin(
      branch: .random(), cut: site.points[1].point.sequence, purpose: .failover)
    #expect(code { try next.changePin(Site.id, to: other) } == .invalid)
    #expect(try site.reads(site.vault.openBranch(Site.id).disks[0], 2))
  }

  @Test(
    "a failed-over machine takes nothing of its source; given up, deltas stand on the newest point")
  func cancelled() throws {
    let site = try Site(on: SimulatedDisk(seed: 3).fileSystem)
    _ = try site.failOver()
    let writer = try site.bench.writer()
    #expect(code { try site.bench.write(writer, block: 1) } == .invalid)
    #expect(code { try site.bench.mark(writer) } == .invalid)
    #expect(code { try writer.abandonUnmarked() } == .invalid)
    try site.vault.removeBranch(Site.id, lock: site.lock)
    try writer.release(Site.id)
    site.bench.disks = site.points[1].disks
    try site.bench.write(writer, block: 2)
    let later = try site.bench.mark(writer)
    try writer.close()
    for point in site.points + [later] { #expect(try site.bench.reads(point)) }
    #expect(try site.bench.writer().epoch == 1)
  }

  @Test("a cut that the log has lost is not read from other data, and no number is given out twice")
  func lostTail() throws {
    let site = try Site(on: SimulatedDisk(seed: 4).fileSystem)
    let newest = site.points[1].point
    do {
      let writer = try site.bench.writer()
      try writer.pin(BranchPin(branch: Site.id, cut: newest.sequence, purpose: .drill))
      try writer.close()
    }
    let made = try site.vault.makeBranch(
      NewBranch(id: Site.id, name: "drill", point: newest), of: site.bench.machine,
      lock: site.lock)
    let segment = try site.bench.machine.files.path(#require(site.bench.files(.segment).first))
    let file = try File(segment, .writing, on: site.bench.system)
    // Into the mark of the second point, behind which are two syncs.
    try file.truncate(to: file.status().size - 600)
    try site.bench.system.remove(site.bench.machine.manifestPath)
    site.bench.lock = nil
    _ = try Rebuild.run(at: site.bench.path, on: site.bench.system)
    let pins = try site.bench.reader().snapshot().pins
    #expect(pins.map(\.isLost) == [true])
    #expect(code { _ = try site.vault.openBranch(Site.id) } == .damaged)
    let next = try site.bench.writer()
    #expect(next.lastSequence > made.start)
    site.bench.disks = site.points[0].disks
    try site.bench.write(next, block: 3)
    let later = try site.bench.mark(next)
    try next.close()
    #expect(try site.bench.reads(site.points[0]))
    #expect(try site.bench.reads(later))
    #expect(code { _ = try site.vault.openBranch(Site.id) } == .damaged)
  }

  @Test("branches are made and removed by several threads at once", .timeLimit(.minutes(30)))
  func concurrently() throws {
    let site = try Site(on: SimulatedDisk(seed: 5).fileSystem)
    let ids = (0..<16).map { Identifier(high: 9, low: UInt64($0)) }
    let writer = try site.bench.writer()
    let point = site.points[0].point
    for id in ids {
      try writer.pin(BranchPin(branch: id, cut: point.sequence, purpose: .drill))
    }
    try writer.close()
    let (vault, lock, machine) = (try site.vault, try site.lock, site.bench.machine)
    DispatchQueue.concurrentPerform(iterations: ids.count) { place in
      do {
        let new = NewBranch(id: ids[place], name: "d\(place)", point: point)
        for _ in 0..<4 {
          _ = try vault.makeBranch(new, of: machine, lock: lock)
          try vault.removeBranch(ids[place], lock: lock)
        }
        _ = try vault.makeBranch(new, of: machine, lock: lock)
      } catch { Issue.record(error) }
    }
    #expect(try vault.branches().count == ids.count)
  }

  @Test(
    "whoever looks at a branch beside its disk server finds no damage", .timeLimit(.minutes(30)))
  func lookedAtMeanwhile() throws {
    let site = try Site(on: SimulatedDisk(seed: 6).fileSystem)
    _ = try site.failOver()
    let branch = try site.open(60_000, pace: .beside)
    let isDone = Atomic(false)
    let ended = DispatchGroup()
    DispatchQueue(label: "writer").async(group: ended) {
      var random = SeededGenerator(seed: 8)
      do {
        for round in 0..<1500 {
          let bytes = random.bytes(4096)
          let place = UInt64(round * 37 % 400) * 4096
          try bytes.withUnsafeBytes { try branch.disks[0].write($0, at: place) }
          if round % 50 == 0 { try branch.flush() }
        }
      } catch { Issue.record(error) }
      isDone.store(true, ordering: .releasing)
    }
    var bytes = [UInt8](repeating: 0, count: Int(site.bench.size))
    var newest = SequenceNumber.zero
    while !isDone.load(ordering: .acquiring) {
      let cut = try site.vault.readBranch(Site.id)
      #expect(cut.sequence >= newest)
      newest = cut.sequence
      try bytes.withUnsafeMutableBytes { try cut.disks[0].read(into: $0, at: 0) }
    }
    ended.wait()
  }

  @Test("ranges that no disk has are refused, however large")
  func hugeRanges() throws {
    let site = try Site(on: SimulatedDisk(seed: 7).fileSystem)
    _ = try site.failOver()
    let disk = try site.vault.openBranch(Site.id).disks[0]
    #expect(code { try disk.zero(0..<UInt64.max) } == .invalid)
    #expect(code { try disk.zero(UInt64.max - 1..<UInt64.max) } == .invalid)
  }

  @Test("the next of a set of numbers is found as in a sorted list")
  func nextKey() {
    var random = SeededGenerator(for: "key set")
    for _ in 0..<20 {
      var set = KeySet()
      var all: [UInt64] = []
      for _ in 0..<random.number(0..<300) {
        let key = random.next() >> UInt64(random.number(0..<64))
        set.insert(key)
        all.append(key)
      }
      all.sort()
      for _ in 0..<300 {
        let near =
          all.isEmpty ? 0 : all[random.number(0..<all.count)] &+ UInt64(random.number(0..<3))
        let key = random.once(in: 2) ? near : random.next() >> UInt64(random.number(0..<64))
        #expect(set.first(at: key) == all.first { $0 >= key })
      }
    }
  }

  @Test("a branch whose MANIFEST is lost or cut short is made anew with all that was answered")
  func rebuiltBranch() throws {
    for seed in 20..<26 {
      let disk = SimulatedDisk(seed: UInt64(seed))
      let site = try Site(on: disk.fileSystem)
      _ = try site.failOver()
      try Self.fill(try site.open())
      let path = "/vault/branches/\(Site.id)/MANIFEST"
      if seed % 2 == 0 {
        try disk.fileSystem.remove(path)
      } else {
        let file = try File(path, .writing, on: disk.fileSystem)
        try file.truncate(to: file.status().size * 2 / 3)
      }
      if seed % 3 == 0 {
        // The machine has forgotten it, too.
        let writer = try site.bench.writer()
        try writer.release(Site.id)
        try writer.close()
      }
      #expect(code { _ = try site.open() } == .damaged)
      site.bench.lock = nil
      #expect(try Rebuild.run(at: "/vault", on: disk.fileSystem).count >= 1)
      #expect(try Rebuild.run(at: "/vault", on: disk.fileSystem).isEmpty)
      try Self.check(try site.open())
      try Self.check(try site.open())
    }
  }

  private static func content(_ round: Int) -> [UInt8] {
    var random = SeededGenerator(seed: UInt64(round))
    return random.bytes(3000)
  }

  private static func fill(_ branch: Branch) throws {
    for round in 0..<120 {
      let bytes = Self.content(round)
      try bytes.withUnsafeBytes {
        try branch.disks[0].write($0, at: UInt64(round % 50) * 4096)
      }
      if round % 9 == 0 { branch.keeper.step() }
      if round == 110 { try branch.flush() }
    }
  }

  private static func check(_ branch: Branch) throws {
    var bytes = [UInt8](repeating: 0, count: 3000)
    for round in 70..<120 {
      try bytes.withUnsafeMutableBytes {
        try branch.disks[0].read(into: $0, at: UInt64(round % 50) * 4096)
      }
      #expect(bytes == Self.content(round), "write \(round)")
    }
  }

  @Test(
    "a flattened branch whose MANIFEST lost that it is keeps its plain files, and is made anew by them",
    arguments: [true, false])
  func lostFlattening(isWritten: Bool) throws {
    let site = try Site(on: SimulatedDisk(seed: 20).fileSystem)
    _ = try site.failOver()
    let directory = "/vault/branches/\(Site.id)"
    let bytes = [UInt8](repeating: 7, count: 4096)
    do {
      let branch = try site.open(pace: .within)
      let disk = branch.disks[0]
      if isWritten { try bytes.withUnsafeBytes { try disk.write($0, at: 8192) } }
      try branch.flatten(FlattenControl())
      try bytes.withUnsafeBytes { try disk.write($0, at: 40960) }
      try branch.close()
    }
    let manifest = try File(directory + "/MANIFEST", .writing, on: site.bench.system)
    try manifest.truncate(to: manifest.status().size - 8)
    #expect(code { _ = try site.open() } == .damaged)
    #expect(code { _ = try site.vault.readBranch(Site.id) } == .damaged)
    #expect(site.bench.system.exists(directory + "/disk0.raw"))
    site.bench.lock = nil
    _ = try Rebuild.run(at: site.bench.path, on: site.bench.system)
    let branch = try site.open()
    #expect(branch.isFlat)
    var found = [UInt8](repeating: 0, count: 4096)
    try found.withUnsafeMutableBytes { try branch.disks[0].read(into: $0, at: 40960) }
    #expect(found == bytes)
  }

  @Test("a branch whose newest segment is missing does not keep the vault from being made anew")
  func missingSegment() throws {
    let site = try Site(on: SimulatedDisk(seed: 21).fileSystem)
    _ = try site.failOver()
    do {
      let branch = try site.open()
      let bytes = [UInt8](repeating: 7, count: 4096)
      try bytes.withUnsafeBytes { try branch.disks[0].write($0, at: 8192) }
      try branch.flush()
    }
    let (_, manifest, place) = try site.vault.branchFiles(Site.id)
    let open = try #require(manifest.state.openSegments.first)
    try site.bench.system.remove(place.files.path(LogFileName(.segment, open.number)))
    #expect(code { _ = try site.open() } == .damaged)
    site.bench.lock = nil
    _ = try Rebuild.run(at: site.bench.path, on: site.bench.system)
    #expect(try site.reads(site.open().disks[0], 2))
  }
}
