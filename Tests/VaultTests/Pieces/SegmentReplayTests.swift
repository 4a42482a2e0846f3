import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: of a log that lost bytes everything is read that can be, and nothing else is taken for it.
/// Method: a small log whose records are cut off or overwritten one by one.
struct SegmentReplayTests {
  let disk = SimulatedDisk(seed: 3)

  private func bench(blocks: Int = 16) throws -> Workbench {
    try Workbench(on: disk.fileSystem, disks: 2, blocks: blocks)
  }

  /// The records of a segment in order.
  private func records(
    _ bench: Workbench, _ name: LogFileName
  ) throws -> [(header: RecordHeader, offset: UInt64)] {
    let file = LogFile(try File(bench.machine.files.path(name), .reading, on: bench.system))
    var scanner = RecordScanner(
      file, 0..<(try file.file.status().size), identity: bench.machine.identity)
    var found: [(RecordHeader, UInt64)] = []
    while let step = try scanner.next() {
      if case .record(let header, let offset, _) = step { found.append((header, offset)) }
    }
    return found
  }

  /// Overwrites the headers of records with zeros, and the payloads of marks and syncs too.
  private func destroy(
    _ bench: Workbench, _ name: LogFileName, _ offsets: [UInt64], count: Int = 128
  ) throws {
    let file = try File(bench.machine.files.path(name), .writing, on: bench.system)
    for offset in offsets { try file.write([UInt8](repeating: 0, count: count), at: offset) }
  }

  private func segment(_ bench: Workbench) throws -> LogFileName {
    try #require(try bench.files(.segment).last)
  }

  @Test("a log cut off anywhere ends with the last group commit that is whole")
  func cutAnywhere() throws {
    let bench = try bench()
    let writer = try bench.writer()
    var models: [ModelPoint] = []
    for round in 0..<5 {
      for block in 0..<3 { try bench.write(writer, block: round + block, pages: 3) }
      try bench.zero(writer, first: 9, count: 2)
      models.append(try bench.mark(writer))
    }
    let name = try segment(bench)
    let ends = try records(bench, name).filter { $0.header.type == .sync }.map {
      Int($0.offset) + Int($0.header.length)
    }
    #expect(ends.count == 5)
    let path = bench.machine.files.path(name)
    let whole = try bench.system.readFile(path, limit: 1 << 30)
    for length in stride(from: 0, to: whole.count, by: 61) {
      try File(path, .writing, on: bench.system).truncate(to: UInt64(length))
      let machine = try bench.reader()
      let left = ends.count { $0 <= length }
      let points = try machine.snapshot().points
      #expect(points == models.prefix(left).map(\.point))
      if let last = models.prefix(left).last { #expect(try bench.reads(last, by: machine)) }
      try File(path, .writing, on: bench.system).write(whole, at: 0)
    }
  }

  @Test("a lost record hurts its own block, from the point it belongs to, and nothing else")
  func lostRecord() throws {
    let bench = try bench()
    let writer = try bench.writer()
    for block in 0..<16 { try bench.write(writer, block: block) }
    let before = try bench.mark(writer)
    for block in [3, 4, 5] { try bench.write(writer, block: block, pages: 1) }
    try bench.write(writer, disk: 1, block: 4)
    let after = try bench.mark(writer)
    try bench.write(writer, block: 4)
    let mended = try bench.mark(writer)
    try writer.close()
    let name = try segment(bench)
    let lost = try #require(
      try records(bench, name).last { $0.header.block == 4 && $0.header.dataMask == 1 })
    try destroy(bench, name, [lost.offset])
    #expect(try bench.reads(before))
    #expect(try bench.unreadableBlocks(after) == [4])
    #expect(try bench.unreadableBlocks(after, disk: 1) == [])
    #expect(try bench.reads(mended), "what was written since needs nothing older")
    let damages = try MachineCheck(try bench.reader()).run().damages.filter(\.hurtsReads)
    #expect(damages.map(\.points) == [[after.point.id, mended.point.id]])
    #expect(damages.map(\.range) == [4 * 65536..<5 * 65536])
  }

  @Test("a lost record of zeros hurts the range it zeroed")
  func lostZeros() throws {
    let bench = try bench()
    let writer = try bench.writer()
    for block in 0..<16 { try bench.write(writer, block: block) }
    let before = try bench.mark(writer)
    try bench.zero(writer, first: 5, count: 6)
    try bench.write(writer, block: 7)
    let after = try bench.mark(writer)
    try writer.close()
    let name = try segment(bench)
    let lost = try #require(try records(bench, name).first { $0.header.type == .zero })
    try destroy(bench, name, [lost.offset])
    #expect(try bench.reads(before))
    #expect(try bench.unreadableBlocks(after) == [5, 6, 8, 9, 10])
  }

  @Test("where several records in a row are lost, nothing that is older is given out any more")
  func lostRecords() throws {
    let bench = try bench()
    let writer = try bench.writer()
    for block in 0..<16 { try bench.write(writer, block: block, pages: 7) }
    let before = try bench.mark(writer)
    for block in [1, 2, 3] { try bench.write(writer, block: block) }
    for block in [8, 9] { try bench.write(writer, block: block) }
    let after = try bench.mark(writer)
    try writer.close()
    let name = try segment(bench)
    let lost = try records(bench, name).filter { [1, 2, 3].contains($0.header.block) }.suffix(3)
    let start = try #require(lost.first).offset
    let end = try #require(lost.last)
    try destroy(
      bench, name, [start], count: Int(end.offset + UInt64(end.header.length) - start))
    #expect(try bench.reads(before))
    #expect(try bench.unreadableBlocks(after) == (0..<16).filter { $0 != 8 && $0 != 9 })
    #expect(try bench.unreadableBlocks(after, disk: 1).count == 16)
    let reader = try bench.reader().snapshot().disk(0, at: after.point)
    #expect(throws: VaultError.self) { try reader.nextData(from: 0) }
    #expect(try reader.nextData(from: 8 * 65536) == 8 * 65536)
  }

  @Test("records lost at the start of a segment hurt no point of the segments before")
  func lostStart() throws {
    let bench = try bench()
    bench.limits = LogLimits(segmentRecords: 17)
    let writer = try bench.writer()
    for block in 0..<16 { try bench.write(writer, block: block) }
    let before = try bench.mark(writer)
    bench.limits = LogLimits()
    try writer.close()
    let next = try bench.writer()
    for block in [1, 2, 3] { try bench.write(next, block: block) }
    let after = try bench.mark(next)
    try next.close()
    let name = try segment(bench)
    #expect(name.number > 1)
    let found = try records(bench, name)
    let span = found[2].offset - found[0].offset
    try destroy(bench, name, [found[0].offset], count: Int(span))
    #expect(try bench.reads(before))
    #expect(try bench.unreadableBlocks(after) == (0..<16).filter { $0 != 3 })
  }

  @Test("a lost mark loses its point and no other, and verify says so")
  func lostMark() throws {
    let bench = try bench()
    let writer = try bench.writer()
    var models: [ModelPoint] = []
    for block in 0..<4 {
      try bench.write(writer, block: block)
      models.append(try bench.mark(writer))
    }
    try writer.close()
    let name = try segment(bench)
    let marks = try records(bench, name).filter { $0.header.type == .mark }
    try destroy(bench, name, [marks[1].offset], count: Int(marks[1].header.length))
    let points = try bench.reader().snapshot().points
    #expect(points == [0, 2, 3].map { models[$0].point })
    for index in [0, 2, 3] { #expect(try bench.reads(models[index])) }
    #expect(try MachineCheck(try bench.reader()).run().damages.count == 1)
  }

  @Test("a closed log that lost its end is read as far as it goes, and not written to")
  func lostEnd() throws {
    let bench = try bench()
    let first = try writeTwoPoints(bench)
    let name = try segment(bench)
    let sync = try #require(try records(bench, name).first { $0.header.type == .sync })
    try File(bench.machine.files.path(name), .writing, on: bench.system)
      .truncate(to: sync.offset + UInt64(sync.header.length))
    #expect(try bench.reader().snapshot().points == [first.point])
    #expect(try bench.reads(first))
    #expect { try bench.writer() } throws: { ($0 as? VaultError)?.code == .damaged }
    #expect(try MachineCheck(try bench.reader()).run().damages.count == 1)
    bench.lock = nil
    let outcomes = try Rebuild.run(at: bench.path, on: bench.system)
    #expect(outcomes.map(\.points) == [1])
    let next = try bench.writer()
    #expect(next.points.map(\.sequence) == [first.point.sequence])
  }

  /// Makes two points and closes the log; gives the first.
  private func writeTwoPoints(_ bench: Workbench) throws -> ModelPoint {
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    let first = try bench.mark(writer)
    try bench.write(writer, block: 2)
    try bench.mark(writer)
    try writer.close()
    return first
  }
}
