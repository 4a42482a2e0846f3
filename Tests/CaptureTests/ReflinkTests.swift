import Bytes
import Codecs
import FileIO
import Support
import Testing
import Vault

@testable import Capture

/// Goal: cloning sees exactly what changed, survives interruption and lost clones, and never fills the
/// machine's disk. Method: images on real XFS and btrfs in loop devices; interruption by cancelling,
/// and by putting the clones into the state a kill would leave.
@Suite(.enabled(if: Available.root), .serialized) struct ReflinkTests {
  static let kinds: [LoopMount.Kind] = [.xfs, .btrfs]

  /// A bench whose disks lie on a file system of their own, already filled.
  static func prepare(
    _ kind: LoopMount.Kind, disks: Int = 1, _ random: inout SeededGenerator
  ) throws -> Bench {
    let mount = try LoopMount(kind, size: 700 << 20)
    let bench = try Bench(
      sizes: Array(repeating: .mebibytes(32), count: disks), capture: .reflink, on: mount)
    for disk in 0..<disks {
      try bench.write(random.bytes(20 << 20), at: .mebibytes(4), disk: disk)
    }
    return bench
  }

  @Test("200 random pages written between two clones are exactly what is stored", arguments: kinds)
  func exactPages(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "200 pages on \(kind)")
    let bench = try Self.prepare(kind, &random)
    let first = try bench.cycle()
    #expect(first.disks[0].whole == .firstCycle)
    #expect(try bench.isSame(at: first.point))
    var kept = [(first.point, try bench.source())]
    for _ in 0..<3 {
      let pages = Set((0..<400).map { _ in UInt64(random.number(1024..<6144)) }.prefix(200))
      for page in pages { try bench.write(random.bytes(4096), at: page * 4096) }
      let result = try bench.cycle()
      #expect(result.disks[0].whole == nil)
      #expect(result.disks[0].examined == UInt64(pages.count) * 4096)
      #expect(result.disks[0].changed == UInt64(pages.count) * 4096)
      #expect(result.disks[0].cloneTime != nil)
      kept.append((result.point, try bench.source()))
    }
    for (point, bytes) in kept { #expect(try bench.content(at: point) == bytes) }
    #expect(try bench.cycle().disks[0].examined == 0)
  }

  @Test("one clone is kept, readable by its owner only", arguments: kinds)
  func keepsOneClone(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "clones on \(kind)")
    let bench = try Self.prepare(kind, &random)
    for _ in 0..<3 {
      try bench.write(random.bytes(4096), at: .mebibytes(6))
      var during = 0
      _ = try bench.cycle(progress: { _ in during = (try? bench.clones().count) ?? 9 })
      #expect((1...2).contains(during))
      #expect(try bench.clones().count == 1)
    }
    let directory = try FileSystem.system.status(bench.file(CloneStore.directoryName))
    #expect(directory.permissions == 0o700)
    let clone = bench.file(CloneStore.directoryName) + "/" + (try bench.clones()[0])
    #expect(try FileSystem.system.status(clone).permissions == 0o600)
  }

  @Test("holes punched, files grown into holes and room set aside are seen", arguments: kinds)
  func holesAndPreallocation(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "holes on \(kind)")
    let bench = try Self.prepare(kind, &random)
    _ = try bench.cycle()
    let file = try File(bench.path(), .writing)
    try file.punchHole(at: .mebibytes(6), count: .mebibytes(5))
    try file.punchHole(at: .mebibytes(18) + 4096, count: 8192)
    try bench.write(random.bytes(12_288), at: .mebibytes(1))
    try Program.require(
      "fallocate", "-n", "-o", "\(26 << 20)", "-l", "\(4 << 20)", bench.path())
    let result = try bench.cycle()
    #expect(try bench.isSame(at: result.point))
    #expect(result.disks[0].examined < .mebibytes(11))
    #expect(try bench.cycle().disks[0].changed == 0)
    try bench.write(random.bytes(4096), at: .mebibytes(27))
    let written = try bench.cycle()
    #expect(written.disks[0].changed == 4096)
    #expect(try bench.isSame(at: written.point))
  }

  @Test("an interrupted cycle is finished from its own clone, then the present follows")
  func resumesFromItsClone() throws {
    var random = SeededGenerator(for: "resuming a clone")
    let bench = try Self.prepare(.xfs, &random)
    _ = try bench.cycle()
    try bench.write(random.bytes(12 << 20), at: .mebibytes(5))
    let atClone = try bench.source()
    var seen: UInt64 = 0
    let error = try bench.failure(
      progress: { seen = $0.changed }, cancelled: { seen >= .mebibytes(5) })
    #expect(error?.code == .cancelled)
    #expect(try bench.clones().count == 2)
    let interrupted = Timestamp.now()
    try Program.require("sleep", "1.1")
    try bench.write(random.bytes(1 << 20), at: .mebibytes(5))
    var options = CaptureOptions()
    options.label = "present"
    let finished = try bench.cycle(options)
    #expect(finished.resumed)
    #expect(finished.point.label == nil)
    #expect(finished.point.time < interrupted)
    #expect(finished.disks[0].changed == .mebibytes(12) - seen)
    #expect(try bench.content(at: finished.point) == atClone)
    let present = try bench.cycle(options)
    #expect(!present.resumed)
    #expect(present.point.label == "present")
    #expect(present.point.time > interrupted)
    #expect(present.disks[0].changed == .mebibytes(1))
    #expect(try bench.isSame(at: present.point))
  }

  @Test("a cycle that stored nothing before it broke off starts anew with the present")
  func startsAnew() throws {
    var random = SeededGenerator(for: "starting anew")
    let bench = try Self.prepare(.xfs, &random)
    _ = try bench.cycle()
    try File(bench.path(), .writing).punchHole(at: 0, count: .mebibytes(1))
    let error = try bench.failure(cancelled: { true })
    try bench.write(random.bytes(4096), at: .mebibytes(9))
    let result = try bench.cycle()
    #expect(error == nil || !result.resumed)
    #expect(try bench.isSame(at: result.point))
  }

  @Test("a lost clone costs a comparison of everything, and stores nothing twice", arguments: kinds)
  func lostBase(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "lost clones on \(kind)")
    let bench = try Self.prepare(kind, &random)
    _ = try bench.cycle()
    try Program.require("rm", "-r", bench.file(CloneStore.directoryName))
    try bench.write(random.bytes(8192), at: .mebibytes(9))
    let result = try bench.cycle()
    #expect(result.disks[0].whole == .cloneLost)
    #expect(result.disks[0].changed == 8192)
    #expect(try bench.isSame(at: result.point))
    #expect(try bench.cycle().disks[0].whole == nil)
  }

  @Test("pages stored from an interrupted cycle's clone that is lost do not stay in the replica")
  func lostInterruptedClone() throws {
    var random = SeededGenerator(for: "lost interrupted clone")
    let bench = try Self.prepare(.xfs, &random)
    _ = try bench.cycle()
    // Put back by a clone, the old pages lie where the last cycle's clone has them: by their places
    // alone nothing has changed.
    let saved = bench.file("saved")
    try Program.require("cp", "--reflink=always", bench.path(), saved)
    try bench.write(random.bytes(8 << 20), at: .mebibytes(5))
    var seen: UInt64 = 0
    _ = try bench.failure(progress: { seen = $0.changed }, cancelled: { seen >= .mebibytes(4) })
    let base = try #require(
      try bench.clones().compactMap { CloneName(fileName: $0) }.min { $0.after < $1.after })
    for name in try bench.clones() where name != base.fileName {
      try FileSystem.system.remove(bench.file(CloneStore.directoryName) + "/" + name)
    }
    try Program.require("cp", "--reflink=always", saved, bench.path())
    let result = try bench.cycle()
    #expect(result.disks[0].whole == nil)
    #expect(try bench.isSame(at: result.point))
  }

  @Test("a clone that outlived its cycle because of a kill is not taken for an interrupted one")
  func staleCloneIsIgnored() throws {
    var random = SeededGenerator(for: "stale clones")
    let bench = try Self.prepare(.xfs, &random)
    _ = try bench.cycle()
    let directory = bench.file(CloneStore.directoryName)
    let old = try bench.clones()[0]
    try Program.require(
      "cp", "--reflink=always", directory + "/" + old, bench.file("kept"))
    try bench.write(random.bytes(1 << 20), at: .mebibytes(5))
    _ = try bench.cycle()
    // As if killed between making the mark durable and removing the last cycle's clone; then killed
    // once more while storing.
    try Program.require("mv", bench.file("kept"), directory + "/" + old)
    try File(directory + "/" + old + ".new", .creating(permissions: 0o600)).truncate(to: 0)
    try bench.write(random.bytes(4 << 20), at: .mebibytes(9))
    let result = try bench.cycle()
    #expect(!result.resumed)
    #expect(result.disks[0].whole == nil)
    #expect(try bench.isSame(at: result.point))
    #expect(try bench.clones().filter { $0.hasSuffix(CloneStore.temporarySuffix) } == [])
  }

  @Test("two disks in use are one moment each; one is the machine's")
  func consistency() throws {
    var random = SeededGenerator(for: "consistency")
    let two = try Self.prepare(.xfs, disks: 2, &random)
    let result = try two.cycle()
    #expect(result.point.consistency == .perDisk)
    #expect(result.point.sourceWatched)
    #expect(try two.isSame(0, at: result.point) && two.isSame(1, at: result.point))
    let one = try Self.prepare(.xfs, &random)
    #expect(try one.cycle().point.consistency == .machine)
  }

  @Test("a changed size compares everything once it is accepted", arguments: kinds)
  func sizeChange(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "sizes on \(kind)")
    let bench = try Self.prepare(kind, &random)
    _ = try bench.cycle()
    try File(bench.path(), .writing).truncate(to: .mebibytes(10))
    #expect(try bench.failure()?.code == .sizeChanged)
    #expect(try bench.clones().count == 1)
    var options = CaptureOptions()
    options.acceptSize = true
    let smaller = try bench.cycle(options)
    #expect(smaller.disks[0].whole == .sizeChanged)
    try File(bench.path(), .writing).truncate(to: .mebibytes(32))
    let larger = try bench.cycle(options)
    #expect(try bench.isSame(at: larger.point))
  }

  @Test("below the floor of free space no clone is made or kept")
  func spaceFloor() throws {
    var random = SeededGenerator(for: "space")
    let bench = try Self.prepare(.xfs, &random)
    _ = try bench.cycle()
    var options = CaptureOptions()
    options.cloneFloorPercent = 100
    let error = try #require(try bench.failure(options))
    #expect(error.code == .cloneSpace)
    #expect(error.message.contains("resynchronisation is required"))
    #expect(try bench.clones().isEmpty)
    #expect(try bench.points.count == 1)
    #expect(try bench.cycle().disks[0].whole == .cloneLost)
  }

  @Test("where clones can't be made, scan is advised")
  func notClonable() throws {
    let bench = try Bench(sizes: [.mebibytes(1)], capture: .reflink)
    guard try FileSystem.system.kind(at: bench.path()) == .other else { return }
    let error = try #require(try bench.failure())
    #expect(error.code == .notClonable)
    #expect(error.message.contains("--capture scan"))
    #expect(try bench.clones().isEmpty)
  }

  @Test("images that btrfs compresses, or writes in place, are captured all the same")
  func btrfsAttributes() throws {
    var random = SeededGenerator(for: "btrfs attributes")
    for attribute in ["+c", "+C"] {
      let mount = try LoopMount(.btrfs, size: 400 << 20)
      try Program.require("chattr", attribute, mount.path)
      let bench = try Bench(sizes: [.mebibytes(16)], capture: .reflink, on: mount)
      let text = Array(repeating: Array("all work and no play ".utf8), count: 100_000).flatMap(
        \.self)
      try bench.write(text, at: .mebibytes(1))
      try bench.write(random.bytes(1 << 20), at: .mebibytes(8))
      #expect(try bench.isSame(at: bench.cycle().point))
      try bench.write(Array("no play".utf8), at: .mebibytes(2))
      try bench.write(random.bytes(4096), at: .mebibytes(8) + 8192)
      let result = try bench.cycle()
      #expect(result.disks[0].changed == 8192)
      #expect(result.disks[0].whole == nil)
      #expect(try bench.isSame(at: result.point))
    }
  }
}

/// Goal: devices and enormous sparse files are read as they should.
@Suite(.enabled(if: Available.root), .serialized) struct DeviceTests {
  @Test("a block device is replicated, and its point says that it could not be watched")
  func blockDevice() throws {
    var random = SeededGenerator(for: "block device")
    let directory = try TemporaryDirectory("device")
    let image = directory.file("image")
    try File(image, .creating(permissions: 0o600)).truncate(to: .mebibytes(16))
    try File(image, .writing).write(random.bytes(5 << 20), at: .mebibytes(3))
    let device = try Program.require("losetup", "--find", "--show", image)
      .split(separator: "\n").joined()
    defer { #expect(throws: Never.self) { try Program.require("losetup", "-d", device) } }
    let vault = try Vault.create(at: directory.file("vault"), name: "bench", codec: .zstd)
    let disk = DiskConfiguration(number: 0, path: device, capture: .scan, format: .raw)
    let machine = try vault.addMachine(
      MachineConfiguration(name: "dev01", operatingSystem: .linux, disks: [disk]),
      lock: try vault.lock())
    let writer = try MachineWriter(machine: machine, in: vault, lock: try vault.lock())
    let result = try CaptureCycle(
      machine: machine.id, disks: [disk], options: CaptureOptions(), progress: { _ in },
      cancelled: { false }
    ).run(with: LocalTarget(writer))
    try writer.close()
    #expect(!result.point.sourceWatched)
    #expect(result.disks[0].size == .mebibytes(16))
    let reader = try machine.snapshot().disk(0, at: result.point)
    var bytes = [UInt8](repeating: 1, count: 16 << 20)
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    #expect(try bytes == File(image, .reading).read(at: 0, count: 16 << 20))
  }

  @Test(
    "a sparse disk of 32 TiB with one page costs seconds and kilobytes",
    arguments: [CaptureMode.scan, .reflink])
  func enormousSparseDisk(capture: CaptureMode) throws {
    var random = SeededGenerator(for: "32 TiB")
    let mount = try LoopMount(.xfs, size: 400 << 20)
    let bench = try Bench(sizes: [32 << 40], capture: capture, on: mount)
    let page = random.bytes(4096)
    try bench.write(page, at: 20 << 40)
    let clock = ContinuousClock()
    let start = clock.now
    let result = try bench.cycle()
    #expect(clock.now - start < .seconds(10))
    #expect(result.disks[0].changed == 4096)
    #expect(result.stored < 100_000)
    let reader = try bench.machine.snapshot().disk(0, at: result.point)
    #expect(try reader.nextData(from: 0) == 20 << 40)
    #expect(try reader.nextHole(from: 20 << 40) == 20 << 40 | 4096)
    try File(bench.path(), .writing).punchHole(at: 20 << 40, count: 4096)
    let empty = try bench.cycle()
    #expect(try bench.machine.snapshot().disk(0, at: empty.point).nextData(from: 0) == nil)
  }
}
