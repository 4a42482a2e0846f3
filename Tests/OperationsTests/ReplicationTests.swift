import Bytes
import Capture
import Codecs
import FileIO
import ImageFormats
import Support
import Testing
import Vault

@testable import Operations

/// Goal: a cycle, a lookup, an export and a status do what they say, and refuse what they must.
@Suite struct ReplicationTests {
  @Test("labels name points, and may not be mistaken for anything else")
  func labels() throws {
    let site = try Site()
    _ = try site.add("web01", [try site.disk("a.img")])
    let point = try #require(try site.replicate("web01", label: "before upgrade").first?.point)
    let bad = [
      "latest", "latest-processed", "20261120T103205Z", "2026-11-20T10:32:05Z", "@17", "5m-ago",
      "20261120T103000Z-crash", "a/b", "a:b", "", "..",
    ]
    for label in bad {
      #expect(try site.failure { try site.replicate("web01", label: label) }?.code == .refused)
    }
    #expect(
      try site.failure { try site.replicate("web01", label: "before upgrade") }?.code == .refused)
    let found = try PointLookup("before upgrade", of: "web01", in: site.vault, now: .now())
    #expect(found.point == point)
    #expect(found.snapshot.points.count == 1)
  }

  @Test("a stopped replication says how to go on")
  func cancelling() throws {
    let site = try Site()
    let disk = try site.disk("a.img", size: 16 << 20)
    var random = SeededGenerator(for: "stopping")
    try File(disk, .writing).write(random.bytes(16 << 20), at: 0)
    _ = try site.add("web01", [disk])
    let error = try site.failure { try site.replicate("web01", cancelled: { true }) }
    #expect(error?.code == .cancelled)
    #expect(error?.message.contains("again") == true)
    #expect(try site.replicate("web01").count == 1)
  }

  @Test("a disk must be named where a point has several")
  func choosingDisks() throws {
    let site = try Site()
    _ = try site.add("web01", [try site.disk("a.img"), try site.disk("b.img", size: 2 << 20)])
    try site.replicate("web01")
    let found = try PointLookup("latest", of: "web01", in: site.vault, now: .now())
    #expect(try site.failure { _ = try found.disk(nil) }?.code == .refused)
    #expect(try site.failure { _ = try found.disk(2) }?.code == .unknown)
    #expect(try found.disk(1).size == 2 << 20)
  }

  @Test("an export is what the point shows, refuses what its target would, and is verified")
  func exporting() throws {
    let site = try Site()
    let disk = try site.disk("a.img", size: 3 << 20 | 512)
    var random = SeededGenerator(for: "exporting")
    try File(disk, .writing).write(random.bytes(1 << 20), at: 1 << 20)
    _ = try site.add("web01", [disk])
    try site.replicate("web01")
    let found = try PointLookup("latest", of: "web01", in: site.vault, now: .now())
    func export(
      _ name: String, _ format: ExportFormat, _ target: UploadTarget? = nil
    ) throws -> ExportDisk {
      try ExportDisk(
        disk: nil, of: found, in: site.vault, format: format, for: target,
        to: site.directory.file(name), replaces: false)
    }
    let raw = try export("out.img", .raw)
    _ = try raw.write(progress: { _, _ in }, cancelled: { false })
    try raw.verify(progress: { _, _ in }, cancelled: { false })
    try Program.require("cmp", disk, raw.output)
    let again = try site.failure { _ = try raw.write(progress: { _, _ in }, cancelled: { false }) }
    #expect(again?.code == .refused)
    #expect(try site.failure { _ = try export("x", .raw, .azure) }?.code == .refused)
    #expect(try site.failure { _ = try export("x", .fixedVHD, .azure) }?.code == .refused)
    let one = try export("one.vhd", .fixedVHD, .hyperV)
    _ = try one.write(progress: { _, _ in }, cancelled: { false })
    let two = try export("two.vhd", .fixedVHD, .hyperV)
    _ = try two.write(progress: { _, _ in }, cancelled: { false })
    try Program.require("cmp", one.output, two.output)
    try File(one.output, .writing).write([0xFF], at: 5)
    let damage = try site.failure {
      try one.verify(progress: { _, _ in }, cancelled: { false })
    }
    #expect(damage?.code == .damaged)
  }

  @Test("status weighs each machine by its newest point, and the vault by its worst machine")
  func status() throws {
    let site = try Site()
    _ = try site.add("a", [try site.disk("a.img")])
    _ = try site.add("b", [try site.disk("b.img")])
    try site.replicate("a")
    let now = Timestamp.now()
    let status = try VaultStatus(of: site.vault, now: now, threshold: nil)
    #expect(status.machines.map(\.health) == [.healthy, .warning])
    #expect(status.health == .warning)
    #expect(status.machines[1].rpo == nil)
    let rpo = try #require(status.machines[0].rpo)
    #expect((0..<60_000_000_000).contains(rpo))
    let late = Timestamp(rawValue: now.rawValue + 3_600_000_000_000)
    let later = try VaultStatus(of: site.vault, now: late, threshold: 1_800_000_000_000)
    #expect(later.machines[0].health == .warning)
    #expect(later.machines[0].reasons.count == 1)
  }

  @Test("a sound vault is found intact, and a damaged one names the machine")
  func verifying() throws {
    let site = try Site()
    let disk = try site.disk("a.img", size: 4 << 20)
    var random = SeededGenerator(for: "verifying")
    try File(disk, .writing).write(random.bytes(4 << 20), at: 0)
    let machine = try site.add("web01", [disk])
    try site.replicate("web01")
    func verify() throws -> [VerifyVault.Finding] {
      try VerifyVault(machine: nil).run(
        in: try Vault(opening: site.vault.path), progress: { _, _, _ in }, cancelled: { false })
    }
    #expect(try verify().allSatisfy(\.isIntact))
    let directory = site.vault.path + "/machines/\(machine.id)"
    let manifest = try File(directory + "/MANIFEST", .writing)
    try manifest.write([UInt8](repeating: 0xEE, count: 64), at: 0)
    let found = try verify()
    #expect(found.count == 1 && !found[0].isIntact)
    #expect(found[0].problem?.code == .damaged)
    let outcomes = try RebuildVault(directory: site.vault.path).run()
    #expect(outcomes.map(\.points) == [1])
    #expect(try verify().allSatisfy(\.isIntact))
  }
}
