import Bytes
import FileIO
import Support
import Testing
import Vault

@testable import Capture

/// Goal: a point says no more of its moment than was done for it. Method: a hold that notes when it was
/// asked for what, around real clones and scans.
@Suite struct HoldTests {
  private static func hold(
    _ bench: Bench, _ hold: TestHold, _ extent: HoldExtent = .clones,
    progress: @escaping (CaptureProgress) -> Void = { _ in }
  ) throws -> CaptureResult {
    var options = CaptureOptions()
    options.holdExtent = extent
    let writer = try MachineWriter(
      machine: bench.machine, in: bench.vault, lock: try bench.vault.lock())
    let result = try CaptureCycle(
      machine: bench.machine.id, disks: bench.configuration.disks, options: options, hold: hold,
      progress: progress, cancelled: { false }
    ).run(with: LocalTarget(writer))
    try writer.close()
    return result
  }

  @Test(
    "clones made while writers are held are of one moment, and only then",
    .enabled(if: Available.root))
  func clones() throws {
    let mount = try LoopMount(.xfs, size: 400 << 20)
    let bench = try Bench(sizes: [1 << 20, 1 << 20], capture: .reflink, on: mount)
    let plain = try bench.cycle()
    #expect(plain.point.kind == .crash && plain.point.consistency == .perDisk)
    // Writers hold the lock of nothing here: what counts is that the hold ends before the clones are read.
    let good = TestHold()
    let held = try Self.hold(bench, good) { _ in #expect(good.ends == 1) }
    #expect(held.point.kind == .application && held.point.consistency == .machine)
    #expect(held.point.id.hasSuffix("-app") && good.begins == 1 && good.ends == 1)
    let mute = TestHold(isQuieting: false)
    let muted = try Self.hold(bench, mute)
    #expect(muted.point.kind == .crash && muted.point.consistency == .machine)
    let dump = TestHold(holdsWriters: false)
    let dumped = try Self.hold(bench, dump)
    #expect(dumped.point.kind == .application && dumped.point.consistency == .perDisk)
    for bad in [TestHold(.refused), TestHold(.broken)] {
      let result = try Self.hold(bench, bad)
      #expect(result.point.kind == .crash && result.point.consistency == .perDisk)
      #expect(bad.ends == (bad.manner == .broken ? 1 : 0))
    }
  }

  @Test("a scanned file that stays as it is while writers are held is app-consistent")
  func scans() throws {
    var random = SeededGenerator(for: "held scans")
    let bench = try Bench(sizes: [2 << 20, 2 << 20])
    try bench.write(random.bytes(1 << 20), at: 0)
    let hold = TestHold()
    hold.onEnd = {
      // The next write must be none of this point's business.
      #expect(throws: Never.self) { try bench.write([1, 2, 3], at: 0) }
    }
    let result = try Self.hold(bench, hold, .scans) { _ in #expect(hold.ends == 0) }
    #expect(result.point.kind == .application && result.point.consistency == .machine)
    #expect(hold.begins == 1 && hold.ends == 1)
    let idle = TestHold()
    let unheld = try Self.hold(bench, idle, .clones)
    #expect(unheld.point.kind == .crash && idle.begins == 0)
  }

  @Test("a held file that changes all the same makes no point, and writers are let go")
  func changed() throws {
    let bench = try Bench(sizes: [4 << 20])
    let hold = TestHold()
    #expect(throws: CaptureError.self) {
      try Self.hold(bench, hold, .scans) { progress in
        if progress.examined < 1 << 20 { try? bench.write([9], at: 1 << 20) }
        try? bench.write([UInt8(truncatingIfNeeded: progress.examined >> 16)], at: 3 << 20)
      }
    }
    #expect(hold.begins == 1 && hold.ends == 1)
  }

  @Test(
    "scanned disks are read first, clones after the writers were let go",
    .enabled(if: Available.root))
  func mixed() throws {
    var random = SeededGenerator(for: "mixed holds")
    let mount = try LoopMount(.xfs, size: 400 << 20)
    let bench = try Bench(sizes: [2 << 20, 2 << 20, 2 << 20], capture: .reflink, on: mount)
    for disk in 0..<3 { try bench.write(random.bytes(1 << 20), at: 4096, disk: disk) }
    var disks = bench.configuration.disks
    disks[1].capture = .scan
    let hold = TestHold()
    var order: [DiskNumber] = []
    var options = CaptureOptions()
    options.holdExtent = .scans
    let writer = try MachineWriter(
      machine: bench.machine, in: bench.vault, lock: try bench.vault.lock())
    let result = try CaptureCycle(
      machine: bench.machine.id, disks: disks, options: options, hold: hold,
      progress: { progress in
        if order.last != progress.disk { order.append(progress.disk) }
        #expect((hold.ends == 0) == (progress.disk == 1))
      }, cancelled: { false }
    ).run(with: LocalTarget(writer))
    try writer.close()
    #expect(order == [1, 0, 2] && result.disks.map(\.number) == [0, 1, 2])
    #expect(result.point.kind == .application && result.point.consistency == .machine)
    #expect(result.point.disks.map(\.number) == [0, 1, 2])
  }
}

/// Notes what it is asked for.
final class TestHold: WriterHold {
  enum Manner { case good, refused, broken }

  let manner: Manner
  let isQuieting: Bool
  let holdsWriters: Bool
  private(set) var begins = 0
  private(set) var ends = 0
  var onEnd: () -> Void = {}

  init(_ manner: Manner = .good, isQuieting: Bool = true, holdsWriters: Bool = true) {
    (self.manner, self.isQuieting, self.holdsWriters) = (manner, isQuieting, holdsWriters)
  }

  func begin() -> Bool {
    begins += 1
    return manner != .refused
  }
  var isUnbroken: Bool { manner == .good && begins > ends }
  func end() {
    ends += 1
    onEnd()
  }
}
