import Bytes
import FileIO
import Foundation
import Support
import Testing
import Vault

/// Goal: killing a replication at any moment loses nothing. Method: SIGKILL at random moments of first
/// and later replications by the real binary; after each the vault must open and verify, earlier points
/// be unchanged, and the next cycle be right. `TIDEMARK_KILLS` says how often.
@Suite struct KillTests {
  private static let size = 96 << 20

  /// Kills `replicate` at a random moment of about the time it takes; gives whether it was alive.
  private static func kill(
    _ tool: Tool, _ machine: String, within seconds: Double, _ random: inout SeededGenerator
  ) throws -> Bool {
    let program = try tool.start(["replicate", machine])
    usleep(UInt32(random.number(0..<max(1, Int(seconds * 1_000_000)))))
    let wasRunning = program.isRunning
    program.killGroup()
    _ = program.wait(seconds: 30)
    return wasRunning
  }

  /// Kills `replicate` once a group commit of what it stores is surely durable, and before the mark.
  private static func killWhileStoring(
    _ tool: Tool, _ machine: String, _ random: inout SeededGenerator
  ) throws {
    func stored() throws -> UInt64 {
      let machine = try Vault(opening: tool.vault).machine(named: machine)
      return try machine.occupiedBytes()
    }
    let before = try stored()
    let program = try tool.start(["replicate", machine])
    _ = try Program.poll(seconds: 30) {
      try !program.isRunning || stored() > before + UInt64(17 << 20)
    }
    usleep(UInt32(random.number(0..<20_000)))
    program.killGroup()
    _ = program.wait(seconds: 30)
  }

  private static func change(_ path: String, _ random: inout SeededGenerator) throws {
    let file = try File(path, .writing)
    for _ in 0..<random.number(1..<400) {
      let page = UInt64(random.number(0..<size / 4096))
      try file.write(random.bytes(4096), at: page * 4096)
    }
    let hole = random.number(0..<size / 2 / 65536)
    try file.punchHole(at: UInt64(hole * 65536), count: UInt64(random.number(1..<9) * 4096))
  }

  /// The checksum of a disk at a point, read as a reader does that comes now.
  private static func checksum(_ tool: Tool, _ machine: String, _ id: String) throws -> UInt32 {
    let snapshot = try Vault(opening: tool.vault).machine(named: machine).snapshot()
    let point = try snapshot.resolve(.name(id), now: .now()).point
    let reader = try snapshot.disk(0, at: point)
    var bytes = [UInt8](repeating: 0, count: Int(reader.size))
    return try bytes.withUnsafeMutableBytes {
      try reader.read(into: $0, at: 0)
      return Checksum.of(UnsafeRawBufferPointer($0))
    }
  }

  private static func checksum(_ path: String) throws -> UInt32 {
    let bytes = try FileSystem.system.readFile(path, limit: 1 << 30)
    return bytes.withUnsafeBytes { Checksum.of($0) }
  }

  @Test("kill -9 during a later replication leaves earlier points as they were")
  func laterReplication() throws {
    var random = SeededGenerator(for: "kills of later replications")
    let tool = try Tool.withVault("kills")
    let image = try tool.image("disk.img", size: UInt64(Self.size))
    try File(image, .writing).write(random.bytes(Self.size / 2), at: 0)
    try tool.require("machine", "add", "m", "--disk", image)
    var known = [try tool.require("replicate", "m"): try Self.checksum(image)]
    try Self.change(image, &random)
    let clock = ContinuousClock()
    let start = clock.now
    known[try tool.require("replicate", "m")] = try Self.checksum(image)
    let usual = max(0.02, (clock.now - start) / .seconds(1))
    var alive = 0
    for _ in 0..<Count.of("TIDEMARK_KILLS", normally: 15) {
      try Self.change(image, &random)
      let before = try tool.points(of: "m")
      if try Self.kill(tool, "m", within: usual, &random) { alive += 1 }
      #expect(try tool.run("verify").status == 0)
      let points = try tool.points(of: "m")
      #expect(points.starts(with: before) && points.count <= before.count + 1)
      for id in points.suffix(1) + [points[random.number(0..<points.count)]] {
        // A point whose mark was durable when the process died is a point of this state.
        #expect(try Self.checksum(tool, "m", id) == known[id] ?? Self.checksum(image))
      }
      let id = try tool.require("replicate", "m")
      known[id] = try Self.checksum(image)
      for id in points where known[id] == nil { known[id] = try Self.checksum(image) }
      #expect(try Self.checksum(tool, "m", id) == known[id])
    }
    for (id, sum) in known { #expect(try Self.checksum(tool, "m", id) == sum) }
    print("killed alive: \(alive)")
    #expect(alive > 0)
  }

  @Test("kill -9 during a first replication costs only what was not yet safe")
  func firstReplication() throws {
    var random = SeededGenerator(for: "kills of first replications")
    let tool = try Tool.withVault("kills-first")
    let image = try tool.image("disk.img", size: UInt64(Self.size))
    try File(image, .writing).write(random.bytes(Self.size), at: 0)
    try tool.require("machine", "add", "timing", "--disk", image)
    let clock = ContinuousClock()
    let start = clock.now
    try tool.require("replicate", "timing")
    let usual = max(0.05, (clock.now - start) / .seconds(1))
    for round in 0..<Count.of("TIDEMARK_KILLS", normally: 15) {
      let name = "m\(round)"
      try tool.require("machine", "add", name, "--disk", image)
      for _ in 0..<random.number(1..<4) {
        _ = try Self.kill(tool, name, within: usual, &random)
      }
      #expect(try tool.run("verify").status == 0)
      let id = try tool.require("replicate", name)
      #expect(try Self.checksum(tool, name, id) == Self.checksum(image))
      // A kill can cost the group commit under way, 16 MiB at the most, and what is being written.
      let shown = try tool.json("machine", "show", name)
      #expect(try #require(shown["storedBytes"] as? Int) < Self.size + 3 * (40 << 20))
      try tool.require("machine", "remove", name, "--yes")
    }
  }

  @Test(
    "kill -9 during a replication by cloning is made good from the clone it left",
    .enabled(if: Available.root))
  func cloning() throws {
    var random = SeededGenerator(for: "kills of cloning")
    let mount = try LoopMount(.xfs, size: 1 << 30)
    let tool = try Tool.withVault("kills-clone")
    let image = mount.file("disk.img")
    try File(image, .creating(permissions: 0o600)).truncate(to: UInt64(Self.size))
    try File(image, .writing).write(random.bytes(Self.size / 2), at: 0)
    try tool.require("machine", "add", "m", "--disk", image, "--capture", "reflink")
    var known = [try tool.require("replicate", "m"): try Self.checksum(image)]
    var resumed = 0
    for _ in 0..<Count.of("TIDEMARK_KILLS", normally: 15) {
      try File(image, .writing).write(
        random.bytes(64 << 20), at: UInt64(random.number(0..<Self.size - 64 << 20)))
      let atClone = try Self.checksum(image)
      let before = try tool.points(of: "m")
      if random.once(in: 3) {
        _ = try Self.kill(tool, "m", within: 0.5, &random)
      } else {
        try Self.killWhileStoring(tool, "m", &random)
      }
      try Self.change(image, &random)
      let made = try tool.json("replicate", "m")
      let present = try Self.checksum(image)
      let cycles = made["cycles"] as? [[String: Any]] ?? []
      if cycles.count == 2 { resumed += 1 }
      let points = try tool.points(of: "m")
      #expect(points.starts(with: before))
      for id in points.dropFirst(before.count) {
        known[id] = id == points.last ? present : atClone
      }
      for id in points.suffix(3) { #expect(try Self.checksum(tool, "m", id) == known[id]) }
      let clones = try FileSystem.system.list(mount.file(".tidemark"))
      #expect(clones.count == 1, "\(clones)")
    }
    #expect(try tool.run("verify").status == 0)
    for (id, sum) in known { #expect(try Self.checksum(tool, "m", id) == sum) }
    print("finished from a clone: \(resumed)")
    #expect(resumed > 0)
  }
}
