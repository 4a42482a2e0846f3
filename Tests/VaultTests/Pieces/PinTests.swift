import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: a failover is in the log and in the MANIFEST, or not at all, and an epoch is never lowered.
/// Method: a machine of three points on a simulated disk, failed over, changed and committed with the
/// power going at every change.
struct PinTests {
  private static func identifier(_ number: UInt64) -> Identifier {
    Identifier(high: 1, low: number)
  }

  private static func pin(
    _ number: UInt64, _ point: ModelPoint, _ purpose: BranchPurpose = .failover
  ) -> BranchPin {
    BranchPin(branch: identifier(number), cut: point.point.sequence, purpose: purpose)
  }

  /// Three points, the open segment holding them, and something that belongs to none.
  private func history(_ bench: Workbench) throws -> [ModelPoint] {
    let writer = try bench.writer()
    var points: [ModelPoint] = []
    for block in 0..<3 {
      try bench.write(writer, block: block)
      try bench.write(writer, block: 5)
      points.append(try bench.mark(writer))
    }
    try bench.write(writer, block: 6)
    try writer.close()
    return points
  }

  @Test("a pin is seen until it is released, and one branch has one")
  func pinning() throws {
    let bench = try Workbench(on: SimulatedDisk(seed: 1).fileSystem)
    let points = try history(bench)
    let writer = try bench.writer()
    try writer.pin(Self.pin(1, points[0], .drill))
    #expect(throws: VaultError.self) { try writer.pin(Self.pin(1, points[1], .drill)) }
    let nowhere = BranchPin(
      branch: Self.identifier(2), cut: points[0].point.sequence.next, purpose: .drill)
    #expect(throws: VaultError.self) { try writer.pin(nowhere) }
    #expect(throws: VaultError.self) { try writer.commit(failover: Self.identifier(1)) }
    #expect(try bench.reader().snapshot().pins == [Self.pin(1, points[0], .drill)])
    try writer.release(Self.identifier(1))
    try writer.release(Self.identifier(1))
    #expect(try bench.reader().snapshot().pins.isEmpty)
    #expect(try bench.reader().snapshot().epoch == 0)
  }

  @Test("a failover abandons what follows its point for later cuts, and leaves the points readable")
  func failover() throws {
    let bench = try Workbench(on: SimulatedDisk(seed: 2).fileSystem)
    let points = try history(bench)
    let writer = try bench.writer()
    #expect(try writer.raiseEpoch(Self.pin(1, points[0])) == 1)
    #expect(try writer.changePin(Self.identifier(1), to: Self.pin(2, points[1])) == 2)
    #expect(throws: VaultError.self) {
      try writer.changePin(Self.identifier(1), to: Self.pin(3, points[1]))
    }
    #expect(writer.pins == [Self.pin(2, points[1])])
    for point in points { #expect(try bench.reads(point)) }
    let head = try writer.head(0, size: bench.size)
    #expect(try Workbench.reads(head, 0, points[1].disks))
    #expect(!writer.hasUnmarkedWrites)
    try writer.close()
    #expect(try bench.writer().epoch == 2)
  }

  @Test("an epoch without a pin hides no recovery point, and is durable")
  func epochAlone() throws {
    let disk = SimulatedDisk(seed: 4)
    let bench = try Workbench(on: disk.fileSystem)
    let points = try history(bench)
    let writer = try bench.writer()
    #expect(try writer.raiseEpoch() == 1)
    #expect(try writer.raiseEpoch() == 2)
    #expect(!writer.hasUnmarkedWrites)
    disk.crash()
    bench.lock = nil
    let snapshot = try bench.reader().snapshot()
    #expect(snapshot.epoch == 2 && snapshot.pins.isEmpty)
    #expect(snapshot.points == points.map(\.point))
    for point in points { #expect(try bench.reads(point)) }
    let next = try bench.writer()
    #expect(next.epoch == 2)
    #expect(try Workbench.reads(next.head(0, size: bench.size), 0, points[2].disks))
    try next.raiseEpoch(Self.pin(1, points[0]))
    #expect(try bench.reader().snapshot().pins == [Self.pin(1, points[0])])
  }

  @Test("a commit takes all points away at once, for good, and keeps the cut of its branch")
  func commit() throws {
    let bench = try Workbench(on: SimulatedDisk(seed: 3).fileSystem)
    let points = try history(bench)
    let writer = try bench.writer()
    try writer.raiseEpoch(Self.pin(1, points[1]))
    try writer.commit(failover: Self.identifier(1))
    try writer.commit(failover: Self.identifier(1))
    #expect(writer.points.isEmpty)
    let snapshot = try bench.reader().snapshot()
    #expect(snapshot.points.isEmpty && snapshot.pins.map(\.isCommitted) == [true])
    #expect(throws: VaultError.self) {
      try writer.changePin(Self.identifier(1), to: Self.pin(2, points[0]))
    }
    // A point made later is one again, and what was removed does not come back when its segment is sealed.
    bench.disks = points[1].disks
    try bench.write(writer, block: 9)
    let later = try bench.mark(writer)
    try writer.close()
    bench.limits.segmentRecords = 1
    let next = try bench.writer()
    try bench.write(next, block: 10)
    try next.close()
    #expect(try bench.reader().snapshot().points == [later.point])
    #expect(try bench.reads(later))
  }

  @Test(
    "the power may go at every change of a failover: the epoch only rises, a pin is whole or not there"
  )
  func crashes() throws {
    for calls in 0..<100 {
      let disk = SimulatedDisk(seed: UInt64(calls))
      let bench = try Workbench(on: disk.fileSystem)
      let points = try history(bench)
      disk.cutPower(after: calls)
      var seen: UInt32 = 0
      do {
        let writer = try bench.writer()
        seen = try writer.raiseEpoch(Self.pin(1, points[0]))
        seen = try writer.changePin(Self.identifier(1), to: Self.pin(2, points[1]))
        try writer.commit(failover: Self.identifier(2))
        try writer.close()
      } catch { #expect(disk.isOff, "\(error)") }
      let wasCut = disk.isOff
      disk.crash()
      bench.lock = nil
      let writer = try bench.writer()
      #expect(writer.epoch >= seen)
      #expect(writer.pins.count <= 1)
      #expect(writer.pins.first?.isCommitted ?? false == writer.points.isEmpty)
      if seen == 2 { #expect(writer.pins.map(\.branch) == [Self.identifier(2)]) }
      for point in points where !writer.points.isEmpty { #expect(try bench.reads(point)) }
      let epoch = writer.epoch
      try writer.close()
      #expect(try bench.writer().epoch == epoch)
      guard wasCut else { return }
    }
    Issue.record("the history is longer than was thought")
  }
}
