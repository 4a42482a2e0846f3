import Bytes
import Capture
import FileIO
import Replication
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent

/// Goal: a cycle that stores far away stores the same as one that stores here, sends no more than it
/// must, and loses nothing when the link goes. Method: real TLS on loopback, a real vault, real clones.
@Suite(.serialized) struct RemoteCycleTests {
  @Test("a scanned disk arrives whole, and afterwards only the pages that changed")
  func scan() throws {
    var random = SeededGenerator(for: "remote scans")
    let site = try Site(sizes: [24 << 20, (3 << 20) + 512])
    try site.write(random.bytes(5 << 20), at: 1 << 20)
    try site.write(random.bytes(513), at: 3 << 20 - 1, disk: 1)
    let first = try site.cycle()
    #expect(try site.isSame(0, at: first.point) && site.isSame(1, at: first.point))
    #expect(site.host.notes.bytes < 6 << 20)

    try site.write(random.bytes(4096), at: 4096 * 1300)
    try site.write(random.bytes(100), at: 20 << 20)
    try site.write([UInt8](repeating: 0, count: 1 << 20), at: 2 << 20)
    let before = site.host.notes.bytes
    let second = try site.cycle()
    #expect(second.disks[0].changed == 2 * 4096 + 1 << 20)
    #expect(site.host.notes.bytes - before < 20_000)
    #expect(try site.isSame(0, at: second.point) && site.isSame(1, at: second.point))
    #expect(site.host.notes.points == [first.point.id, second.point.id])
    #expect(try site.cycle().disks.map(\.changed) == [0, 0])
  }

  @Test("an agent that lost its digests asks for them, and sends only what differs")
  func lostDigests() throws {
    var random = SeededGenerator(for: "lost digests")
    let site = try Site(sizes: [16 << 20])
    try site.write(random.bytes(9 << 20), at: 2 << 20)
    _ = try site.cycle()
    try Program.require("rm", "-r", site.directory.file("digests"))
    try site.write(random.bytes(4096), at: 5 << 20)
    let result = try site.cycle()
    #expect(result.disks[0].changed == 4096)
    #expect(try site.isSame(at: result.point))
  }

  @Test("a cycle that broke off before anything was sent leaves no change behind")
  func unsentChange() throws {
    var random = SeededGenerator(for: "unsent changes")
    let site = try Site(sizes: [24 << 20])
    try site.write(random.bytes(9 << 20), at: 1 << 20)
    _ = try site.cycle()
    try site.write(random.bytes(4096), at: 2 << 20)
    #expect(throws: CaptureError.self) {
      try site.cycle(progress: { if $0.changed > 0 { site.link.reset() } })
    }
    let result = try site.cycle()
    #expect(result.disks[0].changed == 4096)
    #expect(try site.isSame(at: result.point))
  }

  @Test("a replica that changed behind the agent's back is put right by a resynchronisation")
  func resynchronisation() throws {
    var random = SeededGenerator(for: "resynchronisation")
    let site = try Site(sizes: [8 << 20])
    try site.write(random.bytes(6 << 20), at: 0)
    _ = try site.cycle()
    let digests = site.directory.file("digests/disk0.digests")
    let kept = try FileSystem.system.readFile(digests, limit: 1 << 20)
    try site.write(random.bytes(3 * 4096), at: 1 << 20)
    let middle = try site.cycle()
    // Old digests under a new number: what a copied or restored file would be.
    var forged = kept
    let header = try FileSystem.system.readFile(digests, limit: 1 << 20).prefix(4096)
    forged.replaceSubrange(0..<4096, with: header)
    try FileSystem.system.replaceFile(digests, with: forged, permissions: 0o600)
    site.host.assign(.resynchronising)
    let result = try site.cycle()
    #expect(result.disks[0].changed == 0)
    #expect(try site.isSame(at: result.point) && site.isSame(at: middle.point))
  }

  @Test("a cloned disk sends what changed between two clones without a question to the service")
  func reflink() throws {
    var random = SeededGenerator(for: "remote clones")
    let mount = try LoopMount(.xfs, size: 1 << 30)
    let site = try Site(sizes: [32 << 20], capture: .reflink, on: mount)
    try site.write(random.bytes(7 << 20), at: 3 << 20)
    let first = try site.cycle()
    #expect(try site.isSame(at: first.point))
    for _ in 0..<5 {
      try site.write(random.bytes(4096 * 3), at: UInt64(random.number(0..<8000)) * 4096)
      let before = site.host.notes.bytes
      let next = try site.cycle()
      #expect(next.disks[0].whole == nil)
      #expect(site.host.notes.bytes - before < 20_000)
      #expect(try site.isSame(at: next.point))
    }
  }

  @Test(
    "a copy that the link broke goes on from its clone behind what is stored",
    arguments: [false, true])
  func brokenLink(reset: Bool) throws {
    var random = SeededGenerator(for: "broken links")
    let mount = try LoopMount(.xfs, size: 1 << 30)
    let site = try Site(sizes: [48 << 20, 16 << 20], capture: .reflink, on: mount)
    try site.write(random.bytes(40 << 20), at: 0)
    try site.write(random.bytes(10 << 20), at: 1 << 20, disk: 1)
    var attempts = 0
    while true {
      attempts += 1
      try #require(attempts < 30)
      let limit = UInt64(random.number(1..<30)) << 20
      var isCut = false
      do {
        let result = try site.cycle(progress: { progress in
          guard progress.examined > limit, !isCut, attempts < 6 else { return }
          isCut = true
          if reset { site.link.reset() } else { site.link.cut() }
        })
        #expect(result.resumed == (attempts > 1))
        #expect(try site.isSame(0, at: result.point) && site.isSame(1, at: result.point))
        break
      } catch let error as CaptureError { #expect(error.code == .session) }
    }
    // Only what was on its way when the link went is sent twice.
    #expect(site.host.notes.bytes < (50 << 20) + attempts * Int(AgentHandler.window) + 1 << 20)
  }

  @Test("a first copy whose clones are gone, twice, lacks nothing of what changed meanwhile")
  func lostClones() throws {
    var random = SeededGenerator(for: "remote clones lost twice")
    let mount = try LoopMount(.xfs, size: 1 << 30)
    let site = try Site(sizes: [32 << 20], capture: .reflink, on: mount)
    try site.write(random.bytes(20 << 20), at: 4 << 20)
    var seen: UInt64 = 0
    #expect(throws: CaptureError.self) {
      try site.cycle(progress: { seen = $0.changed }, cancelled: { seen >= 12 << 20 })
    }
    try Program.require("rm", "-r", mount.file(".tidemark"))
    try site.write(random.bytes(4096), at: 5 << 20)
    #expect(throws: CaptureError.self) { try site.cycle(cancelled: { true }) }
    let result = try site.cycle()
    #expect(!result.resumed)
    #expect(try site.isSame(at: result.point))
  }

  @Test("a broken cycle whose clone is gone gives up its pages and starts from the last clone")
  func lostClone() throws {
    var random = SeededGenerator(for: "lost remote clones")
    let mount = try LoopMount(.xfs, size: 1 << 30)
    let site = try Site(sizes: [32 << 20], capture: .reflink, on: mount)
    try site.write(random.bytes(8 << 20), at: 0)
    _ = try site.cycle()
    let saved = mount.file("saved")
    try Program.require("cp", "--reflink=always", site.disks[0].path, saved)
    try site.write(random.bytes(16 << 20), at: 0)
    var stop = false
    #expect(throws: CaptureError.self) {
      try site.cycle(progress: { stop = $0.changed > 8 << 20 }, cancelled: { stop })
    }
    let clones = mount.file(".tidemark")
    let newest = try FileSystem.system.list(clones).max {
      try FileSystem.system.status(clones + "/" + $0).modified
        < FileSystem.system.status(clones + "/" + $1).modified
    }
    try FileSystem.system.remove(clones + "/" + (try #require(newest)))
    try Program.require("cp", "--reflink=always", saved, site.disks[0].path)
    let result = try site.cycle()
    #expect(result.disks[0].whole == nil)
    #expect(try site.isSame(at: result.point))
    #expect(try site.cycle().disks[0].changed == 0)
  }
}
