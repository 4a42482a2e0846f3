import Bytes
import FileIO
import ImageFormats
import Support
import Testing
import Vault

@testable import Capture

/// Goal: a scan stores exactly what differs and never makes a point of a source that changed.
/// Method: real files, a real vault, and the bytes of every point against those of the source.
@Suite struct ScanTests {
  @Test("a later cycle stores exactly the pages that changed, and every point keeps its bytes")
  func exactPages() throws {
    var random = SeededGenerator(for: "scan")
    let bench = try Bench(sizes: [.mebibytes(24)])
    try bench.write(random.bytes(5 << 20), at: .mebibytes(2))
    var kept: [(RecoveryPoint, [UInt8])] = []
    let first = try bench.cycle()
    #expect(first.disks[0].changed == .mebibytes(5))
    #expect(first.disks[0].examined == .mebibytes(24))
    kept.append((first.point, try bench.source()))
    for _ in 0..<6 {
      let pages = Set((0..<50).map { _ in UInt64(random.number(0..<6144)) })
      for page in pages { try bench.write(random.bytes(4096), at: page * 4096) }
      let result = try bench.cycle()
      #expect(result.disks[0].changed == UInt64(pages.count) * 4096)
      kept.append((result.point, try bench.source()))
    }
    for (point, bytes) in kept { #expect(try bench.content(at: point) == bytes) }
    #expect(try bench.points == kept.map(\.0))
  }

  @Test("nothing is stored but the point where nothing changed")
  func nothingChanged() throws {
    var random = SeededGenerator(for: "idle")
    let bench = try Bench(sizes: [.mebibytes(8)])
    try bench.write(random.bytes(3 << 20), at: 12345)
    _ = try bench.cycle()
    let again = try bench.cycle()
    #expect(again.disks[0].changed == 0)
    #expect(again.stored < 2048)
    #expect(try bench.isSame(at: again.point))
  }

  @Test("what the replica lost to damage is stored again from the source")
  func storesDamagedPagesAgain() throws {
    var random = SeededGenerator(for: "lost")
    let bench = try Bench(sizes: [.mebibytes(4)])
    try bench.write(random.bytes(4 << 20), at: 0)
    let first = try bench.cycle()
    try bench.flipBit(ofSegmentAt: 1 << 20)
    #expect(throws: VaultError.self) { try bench.content(at: first.point) }
    let second = try bench.cycle()
    #expect(second.disks[0].changed > 0 && second.disks[0].changed <= 65536)
    #expect(try bench.isSame(at: second.point))
  }

  @Test("holes, zeros written over data and data over holes are seen")
  func zerosAndHoles() throws {
    var random = SeededGenerator(for: "holes")
    let bench = try Bench(sizes: [.mebibytes(32)])
    try bench.write(random.bytes(20 << 20), at: .mebibytes(4))
    _ = try bench.cycle()
    let file = try File(bench.path(), .writing)
    try file.punchHole(at: .mebibytes(5), count: .mebibytes(9))
    try file.punchHole(at: .mebibytes(20) + 8192, count: 4096)
    try bench.write([UInt8](repeating: 0, count: 100_000), at: .mebibytes(15) + 1000)
    try bench.write(random.bytes(5000), at: .mebibytes(30))
    let result = try bench.cycle()
    #expect(try bench.isSame(at: result.point))
    #expect(result.stored < 100_000)
    #expect(try bench.cycle().disks[0].changed == 0)
  }

  @Test(
    "disks whose size is no multiple of a page or block are read to their last sector",
    arguments: [512, 4608, 65_536 - 512, 65_536 + 512, 3 << 20 | 512, (5 << 20) - 512] as [UInt64])
  func oddSizes(size: UInt64) throws {
    var random = SeededGenerator(for: "odd sizes")
    let bench = try Bench(sizes: [size])
    try bench.write(random.bytes(512), at: size - 512)
    let first = try bench.cycle()
    #expect(try bench.isSame(at: first.point))
    try bench.write([UInt8](repeating: 0, count: 512), at: size - 512)
    let second = try bench.cycle()
    #expect(second.disks[0].changed > 0)
    #expect(try bench.isSame(at: second.point))
    #expect(try bench.cycle().disks[0].changed == 0)
  }

  @Test("a size that changed is refused with both sizes until it is accepted")
  func sizeChange() throws {
    var random = SeededGenerator(for: "sizes")
    let bench = try Bench(sizes: [.mebibytes(4)])
    try bench.write(random.bytes(4 << 20), at: 0)
    let first = try bench.cycle()
    let before = try bench.source()
    try File(bench.path(), .writing).truncate(to: .mebibytes(2) + 512)
    let error = try #require(try bench.failure())
    #expect(error.code == .sizeChanged)
    #expect(error.message.contains("2097664") && error.message.contains("4194304"))
    #expect(try bench.points.count == 1)
    var options = CaptureOptions()
    options.acceptSize = true
    let smaller = try bench.cycle(options)
    #expect(try bench.isSame(at: smaller.point))
    try File(bench.path(), .writing).truncate(to: .mebibytes(6))
    let larger = try bench.cycle(options)
    #expect(try bench.isSame(at: larger.point))
    #expect(try bench.content(at: first.point) == before)
    #expect(try bench.failure() == nil)
  }

  @Test("a source that is written to, replaced or cut while it is read yields no point")
  func changedWhileRead() throws {
    var random = SeededGenerator(for: "changes")
    let bench = try Bench(sizes: [.mebibytes(8)])
    try bench.write(random.bytes(8 << 20), at: 0)
    let path = bench.path()
    let disturbances: [() throws -> Void] = [
      { try File(path, .writing).write([1], at: 0) },
      {
        try File(path + ".b", .creating(permissions: 0o600)).truncate(to: .mebibytes(8))
        try FileSystem.system.rename(path + ".b", to: path)
      },
      { try FileSystem.system.remove(path) },
    ]
    for (number, disturb) in disturbances.enumerated() {
      var done = false
      let error = try #require(
        try bench.failure(progress: { _ in
          guard !done else { return }
          done = true
          #expect(throws: Never.self) { try disturb() }
        }))
      #expect(error.code == (number == 2 ? .sourceMissing : .sourceChanged))
      #expect(try bench.points.isEmpty)
    }
  }

  @Test("a source that is gone, a directory or a pipe is told of, and nothing waits for it")
  func unusableSources() throws {
    let bench = try Bench(sizes: [.mebibytes(1)])
    try FileSystem.system.remove(bench.path())
    #expect(try bench.failure()?.code == .sourceMissing)
    try FileSystem.system.makeDirectory(bench.path())
    #expect(try bench.failure()?.code == .sourceUnreadable)
    try FileSystem.system.removeDirectory(bench.path())
    try Program.require("mkfifo", bench.path())
    #expect(try bench.failure()?.code == .sourceUnreadable)
    try FileSystem.system.remove(bench.path())
    try File(bench.path(), .creating(permissions: 0o600)).truncate(to: 1000)
    #expect(try bench.failure()?.code == .sizeInvalid)
  }

  @Test("a cycle that was stopped goes on without storing again what is safe")
  func resumes() throws {
    var random = SeededGenerator(for: "resuming")
    let bench = try Bench(sizes: [.mebibytes(64)])
    try bench.write(random.bytes(64 << 20), at: 0)
    var seen: UInt64 = 0
    let error = try bench.failure(
      progress: { seen = $0.changed }, cancelled: { seen >= .mebibytes(30) })
    #expect(error?.code == .cancelled)
    #expect(try bench.points.isEmpty)
    let result = try bench.cycle()
    #expect(result.disks[0].changed == .mebibytes(64) - seen)
    #expect(try bench.isSame(at: result.point))
  }

  @Test("files that stand still are one moment together")
  func severalDisks() throws {
    var random = SeededGenerator(for: "several disks")
    let bench = try Bench(sizes: [.mebibytes(3), .mebibytes(2), .mebibytes(1) + 512])
    for disk in 0..<3 { try bench.write(random.bytes(700_000), at: 300_000, disk: disk) }
    let result = try bench.cycle()
    #expect(result.point.consistency == .machine)
    #expect(result.point.sourceWatched)
    #expect(result.point.disks.map(\.size) == [3 << 20, 2 << 20, 1 << 20 | 512])
    for disk in 0..<3 { #expect(try bench.isSame(disk, at: result.point)) }
  }

  @Test("progress ends at the whole")
  func progress() throws {
    var random = SeededGenerator(for: "progress")
    let bench = try Bench(sizes: [.mebibytes(9), .mebibytes(5)])
    try bench.write(random.bytes(6 << 20), at: .mebibytes(1))
    var last: CaptureProgress?
    _ = try bench.cycle(progress: { last = $0 })
    let end = try #require(last)
    #expect(end.total == .mebibytes(14))
    #expect(end.examined == end.total)
    #expect(end.changed == .mebibytes(6))
  }

  @Test(
    "the disk inside a VHD is replicated, not the file",
    arguments: [ExportFormat.fixedVHD, .dynamicVHD])
  func vhdSource(format: ExportFormat) throws {
    var random = SeededGenerator(for: "VHD")
    let bench = try Bench(sizes: [.mebibytes(12)])
    try bench.write(random.bytes(3 << 20), at: .mebibytes(4) + 512)
    let vhd = bench.file("source.vhd")
    let export = DiskExport(
      format: format, identity: "test", identifier: .random(using: &random), created: .now())
    try export.run(try openImage(bench.path(), as: .raw), to: vhd)
    let disk = DiskConfiguration(number: 0, path: vhd, capture: .scan, format: .vhd)
    let machine = try bench.vault.addMachine(
      MachineConfiguration(name: "old01", operatingSystem: .windows, disks: [disk]),
      lock: try bench.vault.lock())
    let writer = try MachineWriter(
      machine: machine, in: bench.vault, lock: try bench.vault.lock())
    let result = try CaptureCycle(
      machine: machine.id, disks: [disk], options: CaptureOptions(), progress: { _ in },
      cancelled: { false }
    ).run(with: LocalTarget(writer))
    try writer.close()
    let reader = try machine.snapshot().disk(0, at: result.point)
    var bytes = [UInt8](repeating: 1, count: 12 << 20)
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    #expect(try bytes == bench.source())
    try File(vhd, .writing).truncate(to: .mebibytes(5))
    #expect(throws: CaptureError.self) { try SourceCheck.size(of: disk) }
  }
}
