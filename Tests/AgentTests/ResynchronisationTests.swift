import Bytes
import Catalog
import FileIO
import Operations
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent

/// Goal: whatever makes a replica doubtful is noticed and said, stops replication, and is mended by a
/// resynchronisation that sends what differs and no more. Method: the real service and agent in one
/// process, over TLS; disks that are put back, replaced, cut and damaged.
@Suite(.serialized) struct ResynchronisationTests {
  /// What can happen to a disk or a vault while no agent runs.
  enum Mishap: String, CaseIterable {
    case grown, shrunk, digestsLost, moved, putBack, copiedOver
    case cloneLost, clonedBack, clonedOver, writtenAnew, movedClone
    case damaged

    var isCloned: Bool {
      [.cloneLost, .clonedBack, .clonedOver, .writtenAnew, .movedClone].contains(self)
    }
  }

  private static let size = 12 << 20

  @Test(
    "each reason is noticed and shown, and mended by sending what differs",
    arguments: Mishap.allCases)
  func reasons(_ mishap: Mishap) throws {
    var random = SeededGenerator(for: "resynchronisation after \(mishap)")
    let site =
      mishap.isCloned
      ? try ProtectedSite(.reflink, on: try LoopMount(.xfs, size: 400 << 20)) : try ProtectedSite()
    try site.write(random.bytes(9 << 20), at: 1 << 20)
    // What a disk is put back from, later.
    let old = (site.image as String) + ".old"
    try Program.require("cp", "-p", site.image, old)
    try site.startAgent()
    #expect(try site.hasPoints(1))
    for _ in 0..<12 {
      try site.write(random.bytes(4096), at: UInt64(random.number(256..<2500)) * 4096)
    }
    let count = try site.points.count
    #expect(try site.hasPoints(count + 2))
    try site.endAgentBetweenCycles()
    let before = try site.points
    let newest = try #require(before.last)
    let kept = try site.content(at: newest)

    try Self.happen(mishap, to: site, old, &random)
    try site.setWindow("manual")
    let sent = site.link.bytesForward
    let heard = site.link.bytesBackward
    try site.startAgent()
    #expect(site.waits { site.record?.state == .required && site.hasHealthError })
    #expect(site.waits { site.agent.status()?.state == .resynchronisationRequired })
    #expect(site.record?.reason.contains("isk 0") == true, "\(site.record?.reason ?? "")")
    let stopped = try site.points.count
    // Only damage is noticed in the middle of a cycle, which may yet make its point.
    #expect(mishap == .damaged || stopped == before.count)
    let held = try site.points

    let source = try site.source()
    let unequal = Self.unequalPages(source, mishap == .damaged ? source : kept)
    _ = try site.service.resynchronise(ProtectedSite.name)
    #expect(site.waits { site.job?.state == .succeeded }, "\(String(describing: site.job))")
    #expect(site.waits { site.record == nil && !site.hasHealthError })
    let made = try #require(try site.points.dropFirst(held.count).first)
    site.endAgent()
    #expect(try site.content(at: made) == source)
    if mishap != .damaged { #expect(try site.content(at: newest) == kept) }
    #expect(try Array(site.points.prefix(held.count)) == held)

    let progress = try #require(site.job?.progress)
    let changed = Int(progress.changed ?? .max)
    let digests = Int(progress.digests ?? .max)
    // A cycle that found out only when it had sent everything leaves nothing to be sent.
    let isLate = [.damaged, .copiedOver, .clonedOver].contains(mishap)
    if !isLate { #expect(changed == unequal * 4096, "\(changed) of \(unequal) pages") }
    // Of a block that can't be read all pages are unequal.
    let most = mishap == .damaged ? 65536 : unequal * 4096
    #expect(changed <= most)
    // Digests of pages are counted with the pages they are of.
    #expect(digests <= source.count / 2048 + changed / 15)
    let limit = most * 11 / 10 + source.count / 2048
    #expect(site.link.bytesForward - sent <= limit + Self.talk, "\(limit)")
    #expect(site.link.bytesBackward - heard <= limit + Self.talk)
  }

  /// Handshakes, reports and heartbeats.
  private static let talk = 60_000

  private static func unequalPages(_ first: [UInt8], _ second: [UInt8]) -> Int {
    let count = max(first.count, second.count)
    return stride(from: 0, to: first.count, by: 4096).count { start in
      let end = min(start + 4096, count)
      func page(_ bytes: [UInt8]) -> [UInt8] {
        let part = bytes.dropFirst(start).prefix(end - start)
        return Array(part) + [UInt8](repeating: 0, count: end - start - part.count)
      }
      return page(first) != page(second)
    }
  }

  private static func happen(
    _ mishap: Mishap, to site: ProtectedSite, _ old: String, _ random: inout SeededGenerator
  ) throws {
    let image = site.image
    switch mishap {
    case .grown:
      try File(image, .writing).truncate(to: UInt64(size) + (3 << 20))
      try site.write(random.bytes(5000), at: 13 << 20)
    case .shrunk: try File(image, .writing).truncate(to: UInt64(size) - (4 << 20))
    case .digestsLost:
      try Program.require("rm", "-r", site.directory.file("state/digests"))
      try site.write(random.bytes(4096), at: 2 << 20)
    case .moved, .movedClone: try Program.require("mv", old, image)
    case .putBack: try Program.require("cp", "-p", old, image)
    case .cloneLost:
      try Program.require("rm", "-r", FileSystem.parent(of: image) + "/.tidemark")
      try site.write(random.bytes(4096), at: 2 << 20)
    case .copiedOver: try Program.require("cp", "--reflink=never", old, image)
    case .clonedOver: try Program.require("cp", "--reflink=always", old, image)
    case .clonedBack: try Program.require("cp", "-p", "--reflink=always", old, image)
    case .writtenAnew: try Program.require("cp", "--reflink=never", old, image)
    case .damaged: try damage(site)
    }
  }

  /// Flips bits of a cell that the newest point needs, and changes a page beside it on the disk, so that
  /// somebody asks for that block.
  private static func damage(_ site: ProtectedSite) throws {
    let machine = try site.vault.machine(named: ProtectedSite.name)
    let folder = site.vault.path + "/machines/\(machine.id)"
    let names = try FileSystem.system.list(folder).filter { $0.hasSuffix(".seg") }
    let segment = try #require(names.min())
    let file = try File(folder + "/" + segment, .writing)
    // In the middle of the first copy: a block of random bytes whose place is found by its content.
    let block = try site.source()[(4 << 20)..<(4 << 20) + 64]
    let bytes = try file.read(at: 0, count: Int(try file.status().size))
    let place = try #require(bytes.firstRange(of: Array(block))?.lowerBound)
    try file.write(bytes[place..<place + 16].map { ~$0 }, at: UInt64(place))
    try site.write([1, 2, 3], at: (4 << 20) + 5000)
  }

  @Test("a second one compares everything as well, if the agent was killed right after the first")
  func second() throws {
    var random = SeededGenerator(for: "second resynchronisations")
    let site = try ProtectedSite(.reflink, on: try LoopMount(.xfs, size: 400 << 20))
    try site.write(random.bytes(9 << 20), at: 1 << 20)
    let old = (site.image as String) + ".old"
    try Program.require("cp", "-p", "--reflink=always", site.image, old)
    try site.startAgent()
    #expect(try site.hasPoints(1))
    try site.endAgentBetweenCycles()
    // Its point is made, and the agent has not taken note of that.
    var notes = site.agent.sourceNotes(of: site.machine)
    (notes.isResynchronising, notes.resynchronisedAfter) = (true, nil)
    try site.agent.save(notes)
    try Program.require("mv", old, site.image)
    try site.startAgent()
    #expect(site.waits { site.job?.state == .succeeded })
    site.endAgent()
    #expect(site.job?.progress?.total == UInt64(Self.size))
  }

  @Test("in its window, and not before, a resynchronisation begins by itself")
  func window() throws {
    var random = SeededGenerator(for: "windows")
    let site = try ProtectedSite()
    try site.write(random.bytes(4 << 20), at: 0)
    site.time.set(minute: 12 * 60)
    try site.setWindow("22:00-06:00")
    try site.startAgent()
    #expect(try site.hasPoints(1))
    site.endAgent()
    try File(site.image, .writing).truncate(to: 16 << 20)
    let count = try site.points.count
    try site.startAgent()
    #expect(site.waits { site.record?.state == .required })
    #expect(try site.points.count == count && site.job == nil)
    site.endAgent()
    site.time.set(minute: 22 * 60)
    try site.startAgent()
    #expect(site.waits { site.record == nil })
    #expect(try site.hasPoints(count + 1))
    #expect(try site.points.last?.size(of: 0) == 16 << 20)
  }

  @Test("windows are hours of UTC or of a clock that is ahead or behind, also over midnight")
  func windows() throws {
    let cases: [(text: String, open: [Int64], closed: [Int64])] = [
      ("22:00-06:00", [1320, 1439, 0, 359], [360, 720, 1319]),
      ("09:30-09:31", [570], [569, 571]),
      ("22:00-06:00+02:00", [1200, 0, 239], [240, 1199]),
      ("22:00-06:00-05:00", [180, 659], [660, 179]),
      ("automatic", [0, 700], []), ("manual", [], [0, 700]),
    ]
    for (text, open, closed) in cases {
      let window = try #require(ResynchronisationWindow(text), "\(text)")
      #expect(window.description == text)
      let day: Int64 = 20_000 * 86400
      for minute in open { #expect(window.isOpen(at: Timestamp(seconds: day + minute * 60))) }
      for minute in closed {
        #expect(!window.isOpen(at: Timestamp(seconds: day + minute * 60)), "\(text) \(minute)")
      }
    }
    for text in ["", "22:00", "22:00-22:00", "24:00-01:00", "1:00-2:00", "22:00-06:00+15:00", "x"] {
      #expect(ResynchronisationWindow(text) == nil, "\(text)")
    }
  }

  /// A site whose replica needs all of a disk, slowly.
  private static func slow(_ random: inout SeededGenerator) throws -> ProtectedSite {
    let site = try ProtectedSite(size: 24 << 20)
    try site.write(random.bytes(1 << 20), at: 0)
    try site.startAgent()
    try #require(try site.hasPoints(1))
    site.endAgent()
    try site.write(random.bytes(20 << 20), at: 0)
    try File(site.image, .writing).truncate(to: 26 << 20)
    site.link.limit(bytesPerSecond: 5 << 20)
    try site.startAgent()
    try #require(site.waits { (site.job?.progress?.changed ?? 0) > 2 << 20 })
    return site
  }

  @Test("a service that ends in the middle goes on with it, and the job with its count")
  func serviceRestart() throws {
    var random = SeededGenerator(for: "services that end")
    let site = try Self.slow(&random)
    let (job, points) = (site.job?.id, try site.points)
    try site.restartService()
    #expect(site.record?.state == .running && site.job?.state == .inProgress)
    #expect(try site.points == points && site.job?.id == job)
    site.link.limit(bytesPerSecond: nil)
    #expect(site.waits { site.job?.state == .succeeded })
    #expect(site.record == nil && site.job?.id == job)
    site.endAgent()
    let made = try #require(try site.points.dropFirst(points.count).first)
    #expect(try site.content(at: made) == site.source())
  }

  @Test("an agent that ends in the middle, or is paused, goes on; what is stored is not sent again")
  func agentRestart() throws {
    var random = SeededGenerator(for: "agents that end")
    let site = try Self.slow(&random)
    let points = try site.points
    site.endAgent()
    #expect(site.record?.state == .running)
    try site.startAgent()
    #expect(site.waits { site.agent.status()?.state == .resynchronising })
    try site.service.setPaused(true, machine: ProtectedSite.name)
    #expect(site.waits { site.agent.status()?.state == .paused })
    #expect(try site.points == points && site.record?.state == .running)
    site.link.limit(bytesPerSecond: nil)
    try site.service.setPaused(false, machine: ProtectedSite.name)
    #expect(site.waits { site.job?.state == .succeeded })
    site.endAgent()
    let made = try #require(try site.points.dropFirst(points.count).first)
    #expect(try site.content(at: made) == site.source())
    // Each break can cost what was on its way.
    let window = Int(AgentHandler.window)
    #expect(site.link.bytesForward <= (21 << 20) * 11 / 10 + 2 * window)
  }

  @Test("a resynchronisation that is cancelled is still required, and leaves nothing behind")
  func cancellation() throws {
    var random = SeededGenerator(for: "cancellations")
    let site = try Self.slow(&random)
    let points = try site.points
    let job = try #require(site.job)
    _ = try site.service.jobs.cancel(job.id)
    #expect(try site.service.jobs.job(job.id).state == .cancelled)
    #expect(site.record?.state == .required && site.record?.isHeld == true && site.hasHealthError)
    #expect(site.waits { site.agent.status()?.state == .resynchronisationRequired })
    #expect(throws: OperationError.self) {
      try site.service.cancelResynchronisation(of: ProtectedSite.name)
    }
    #expect(try site.points == points)
    // Everything is put back as it was: nothing differs, so what came over half must be gone.
    site.endAgent()
    let kept = try site.content(at: try #require(points.last))
    try File(site.image, .writing).truncate(to: 24 << 20)
    try site.write(kept, at: 0)
    site.link.limit(bytesPerSecond: nil)
    try site.startAgent()
    _ = try site.service.resynchronise(ProtectedSite.name)
    #expect(site.waits { site.job?.state == .succeeded })
    site.endAgent()
    let made = try #require(try site.points.dropFirst(points.count).first)
    #expect(try site.content(at: made) == kept)
    #expect(site.job?.progress?.changed == 0)
    #expect(try Array(site.points.prefix(points.count)) == points)
  }

  @Test("orders reach an agent on the connection it has")
  func orders() throws {
    let site = try ProtectedSite(size: 4 << 20)
    var settings = try site.service.settings(of: ProtectedSite.name)
    settings.cycleSeconds = 3600
    try site.service.catalog.set(settings)
    try site.startAgent()
    #expect(try site.hasPoints(1))
    #expect(site.waits { site.agent.status()?.state == .waiting })
    #expect(try site.service.orderCycle(of: ProtectedSite.name).isEmpty)
    #expect(try site.hasPoints(2))
    try site.service.setPaused(true, machine: ProtectedSite.name)
    #expect(site.waits { site.agent.status()?.state == .paused })
    #expect(throws: OperationError.self) { try site.service.orderCycle(of: ProtectedSite.name) }
    try site.service.setPaused(false, machine: ProtectedSite.name)
    #expect(site.waits { site.agent.status()?.state == .waiting })
    var changes = MachineChanges()
    changes.cycleSeconds = 10
    _ = try site.service.change(ProtectedSite.name, changes)
    #expect(site.waits { site.agent.status()?.intervalSeconds == 10 })
    #expect(site.link.connections == 1)
  }
}
