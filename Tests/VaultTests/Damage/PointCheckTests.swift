import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: of a point that is about to be used what came last is read, and where that is damaged the newest point
/// is named that is whole. Method: points in segments of their own, whose data are damaged one by one.
struct PointCheckTests {
  private let bench: Workbench
  private var points: [ModelPoint] = []

  init() throws {
    bench = try Workbench(on: SimulatedDisk(seed: 12).fileSystem, blocks: 6)
    bench.limits = LogLimits(segmentRecords: 4)
    let writer = try bench.writer()
    for _ in 0..<3 {
      for block in 0..<6 { try bench.write(writer, block: block) }
      points.append(try bench.mark(writer))
    }
    try writer.close()
  }

  /// Reads two segments of a point, which hold its last block, and none of the point before.
  private func check(_ index: Int) throws -> PointCheck {
    try PointCheck(
      points[index].point, of: try bench.reader(), bytes: 1, isOver: { false },
      cancelled: { false })
  }

  /// Damages the last block that was written before a point, which no other point needs.
  private func damage(_ index: Int) throws {
    let reader = try bench.reader().snapshot().disk(0, at: points[index].point)
    let entry = try #require(reader.holders(of: 5).first).entry
    let path = bench.machine.files.path(LogFileName(.segment, entry.segment))
    let file = try File(path, .writing, on: bench.system)
    let place = UInt64(entry.offset) + UInt64(Format.recordHeaderSize)
    try file.write(try file.read(at: place, count: 32).map { ~$0 }, at: place)
    #expect(try bench.unreadableBlocks(points[index]) == [5])
  }

  @Test("a point is checked by what came last to it, and one that is hurt is told with a good one")
  func goodPoints() throws {
    #expect(try check(2).damage == nil && check(2).good == points[2].point)
    try damage(1)
    #expect(try check(2).damage == nil && check(2).good == points[2].point)
    #expect(try check(1).damage != nil && check(1).good == points[0].point)
    try damage(2)
    let both = try check(2)
    #expect(both.damage?.points == [points[2].point.id])
    #expect(both.good == points[0].point, "what the one before needs is looked at, too")
    try damage(0)
    #expect(try check(2).good == nil && check(2).damage?.points == [points[2].point.id])
  }

  @Test("no more is read than was asked for, and at least one segment where the time is over")
  func limits() throws {
    func records(_ limit: UInt64, isOver: Bool = false) throws -> UInt64 {
      let check = try MachineCheck(try bench.reader())
      return try check.runNewest(of: points[2].point, bytes: limit, isOver: { isOver }).records
    }
    let all = try MachineCheck(try bench.reader()).run().records
    #expect(try records(.max) == all)
    let (two, one) = (try records(1), try records(.max, isOver: true))
    #expect(one >= 1 && one < two && two < all, "\(one), \(two), \(all)")
    // Nothing that came behind a point is read of it.
    let check = try MachineCheck(try bench.reader())
    let first = try check.runNewest(of: points[0].point, bytes: .max, isOver: { false })
    #expect(first.records < all, "\(first.records)")
  }
}
