import FileIO
import Support
import Testing
import Vault

@testable import Capture

/// Goal: a cycle goes on behind what was stored only if that was read from its own clones. Method: cycles
/// that are broken off again and again, and clones that are taken away in between.
@Suite(.enabled(if: Available.root), .serialized) struct ResumeTests {
  @Test(
    "what is stored of clones that are gone is not skipped in those that replace them",
    arguments: [true, false])
  func lostClones(isFirstCopy: Bool) throws {
    var random = SeededGenerator(for: "clones lost in a first copy: \(isFirstCopy)")
    let bench = try ReflinkTests.prepare(.xfs, disks: 2, &random)
    if !isFirstCopy {
      _ = try bench.cycle()
      for disk in 0..<2 { try bench.write(random.bytes(20 << 20), at: .mebibytes(4), disk: disk) }
    }
    var seen: UInt64 = 0
    _ = try bench.failure(
      progress: { seen = $0.changed }, cancelled: { seen >= .mebibytes(30) })
    try Program.require("rm", "-r", bench.file(CloneStore.directoryName))
    try bench.write(random.bytes(4096), at: .mebibytes(5))
    try bench.write(random.bytes(4096), at: .mebibytes(6), disk: 1)
    // The first piece is a hole: nothing is stored of it.
    #expect(try bench.failure(cancelled: { true })?.code == .cancelled)
    #expect(try bench.clones().count == 2)
    let result = try bench.cycle()
    #expect(!result.resumed)
    #expect(try bench.isSame(0, at: result.point) && bench.isSame(1, at: result.point))
    // It is the base of the next.
    let next = try bench.cycle()
    #expect(next.disks.allSatisfy { $0.whole == nil && $0.changed == 0 })
  }

  @Test("a cycle that finds no change ends without a recovery point if it was told to stop")
  func stoppedWithoutChange() throws {
    var random = SeededGenerator(for: "stopping")
    let bench = try ReflinkTests.prepare(.xfs, &random)
    _ = try bench.cycle()
    #expect(try bench.failure(cancelled: { true })?.code == .cancelled)
    #expect(try bench.points.count == 1)
  }

  @Test("files named as clones of this disk once were are removed, those of others are not")
  func earlierNames() throws {
    var random = SeededGenerator(for: "earlier names")
    let bench = try ReflinkTests.prepare(.xfs, &random)
    _ = try bench.cycle()
    let zeros = String(repeating: "0", count: 16)
    let ours = "\(bench.machine.id)_disk0_\(zeros)_after_\(zeros)"
    let others = "\(bench.machine.id)_disk1_\(zeros)_after_\(zeros)"
    for name in [ours, others] {
      let path = bench.file(CloneStore.directoryName) + "/" + name
      try File(path, .creating(permissions: 0o600)).truncate(to: 4096)
    }
    _ = try bench.cycle()
    #expect(try !bench.clones().contains(ours))
    #expect(try bench.clones().contains(others))
  }
}
