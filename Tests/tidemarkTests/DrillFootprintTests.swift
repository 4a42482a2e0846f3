import FileIO
import Foundation
import Support
import Testing

/// A machine that is replicated when a test says so, and drilled on disks that are really served.
private final class DrilledMachine {
  static let name = "web01"

  let tool: Tool
  private let image: String
  private let size: Int
  private var random: SeededGenerator
  private var service: RunningService?
  /// What each cycle is said to have stored, changed and compared.
  private(set) var counters: [[UInt64]] = []

  /// Makes it with some content, and two points.
  init(_ purpose: String, seed: UInt64, mebibytes: Int) throws {
    size = mebibytes << 20
    tool = try ServeTests.prepare(purpose, size: UInt64(size))
    image = tool.file("a.img")
    random = SeededGenerator(seed: seed)
    service = try RunningService(tool)
    for _ in 0..<2 { try cycle() }
  }

  deinit {
    if let service { #expect(service.stop().status == 0) }
    // What outlives the service, outlives a test that failed, too.
    killAll(with: tool.vault)
    for mount in (try? FileSystem.mounts()) ?? [] where mount.point.hasPrefix(tool.file("run")) {
      umount2(mount.point, 2)  // MNT_DETACH
    }
  }

  /// Changes the source at places and by bytes that the seed chooses, and replicates that.
  func cycle() throws {
    let file = try File(image, .writing)
    for _ in 0..<8 {
      let bytes = random.bytes(random.number(1..<200_000))
      try file.write(bytes, at: UInt64(random.number(0..<size - bytes.count)))
    }
    let cycles = try tool.json("replicate", Self.name)["cycles"] as? [[String: Any]] ?? []
    counters += cycles.map { cycle in
      let disks = cycle["disks"] as? [[String: Any]] ?? []
      return [cycle["storedBytes"] as? UInt64 ?? 0]
        + disks.flatMap { disk in
          ["changedBytes", "examinedBytes"].map { disk[$0] as? UInt64 ?? 0 }
        }
    }
  }

  func startDrill() throws {
    try tool.require("test-failover", "start", Self.name, "--expires", "8h")
    let drill = try tool.json("test-failover", "report", Self.name)
    #expect(drill["expires"] is String, "\(drill)")
    let misspelt = try tool.run("test-failover", "start", Self.name, "--expires", "soon")
    #expect(misspelt.status == 64 && misspelt.errors.contains("--expires"), "\(misspelt.report)")
  }

  /// Has the drill's disk written to, all over, in order and durably.
  func writeInDrill() throws {
    let recovery = try tool.json("machine", "show", Self.name)["recovery"] as? [String: Any]
    let disk = try #require(recovery?["directory"] as? String) + "/disk0.raw"
    try Program.require(
      "dd", "if=/dev/urandom", "of=" + disk, "bs=1M", "count=\(size >> 20)", "conv=notrunc,fsync",
      seconds: 600)
  }

  func cleanUp() throws {
    try tool.require("test-failover", "cleanup", Self.name, "--notes", "Written to.")
    let branches = tool.vault + "/branches"
    #expect(try FileSystem.system.list(branches).isEmpty)
  }

  /// The digest of every file that holds records or their index, by name.
  func files() throws -> [String: String] {
    let machines = tool.vault + "/machines"
    let directory = machines + "/" + (try #require(try FileSystem.system.list(machines).first))
    var found: [String: String] = [:]
    for name in try FileSystem.system.list(directory)
    where name.hasSuffix(".seg") || name.hasSuffix(".run") {
      found[name] = try digest(of: directory + "/" + name)
    }
    return found
  }

  /// The digests of the disk at all points, the oldest first.
  func points() throws -> [String] {
    let mount = try VaultMount(tool)
    return try tool.points(of: Self.name).map {
      try digest(of: mount.file(Self.name, $0, "disk0.raw"))
    }
  }

  /// How much of it there is in the log: records, index pages and points, as reading all of it counts them.
  func counts() throws -> [String: Int] {
    let machines = try tool.json("verify")["machines"] as? [[String: Any]]
    let machine = try #require(machines?.first)
    #expect(machine["intact"] as? Bool == true, "\(machine)")
    return ["records", "indexPages", "points"].reduce(into: [:]) { counts, name in
      counts[name] = machine[name] as? Int
    }
  }
}

/// Goal: a drill leaves no trace in the replica of what it drills. Method: everything that is stored of a machine
/// before, during and after a drill on disks that are really served and written to; and two machines with the
/// same history, of which one is drilled meanwhile. `TIDEMARK_DRILL_MIB` says how much a drill writes.
@Suite(
  .serialized, .timeLimit(.minutes(15 + Count.of("TIDEMARK_DRILL_MIB", normally: 0) / 16)),
  .enabled(if: Available.root && Available.fuse))
struct DrillFootprintTests {
  static let mebibytes = Count.of("TIDEMARK_DRILL_MIB", normally: 64)

  @Test("while nothing is replicated, a drill that writes much changes no byte of log and points")
  func quiet() throws {
    let machine = try DrilledMachine("quiet-drill", seed: 3, mebibytes: Self.mebibytes)
    let (files, points, counts) = (
      try machine.files(), try machine.points(), try machine.counts()
    )
    #expect(!files.isEmpty && points.count == 2 && counts.count == 3)
    try machine.startDrill()
    #expect(try machine.files() == files)
    try machine.writeInDrill()
    #expect(try machine.files() == files)
    #expect(try machine.points() == points)
    #expect(try machine.counts() == counts)
    try machine.cleanUp()
    #expect(try machine.files() == files)
    #expect(try machine.points() == points)
    #expect(try machine.counts() == counts)
  }

  @Test(
    "a machine that is replicated while it is drilled has the points and counters of one that is not"
  )
  func replicated() throws {
    let seed = SeededGenerator(for: "drilled and not").seed
    let (drilled, other) = (
      try DrilledMachine("drilled", seed: seed, mebibytes: 16),
      try DrilledMachine("not-drilled", seed: seed, mebibytes: 16)
    )
    try drilled.startDrill()
    for round in 0..<3 {
      try drilled.writeInDrill()
      if round == 2 { try drilled.cleanUp() }
      try drilled.cycle()
      try other.cycle()
    }
    #expect(try drilled.points() == other.points())
    #expect(drilled.counters == other.counters && drilled.counters.count == 5)
    #expect(try drilled.counts() == other.counts())
  }
}
