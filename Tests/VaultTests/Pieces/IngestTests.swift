import Bytes
import Codecs
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: nothing enters a log that a source could not have encoded in its place. Method: records that a
/// stream made, and then every way of being wrong.
struct IngestTests {
  private let bench: Workbench
  private let writer: MachineWriter

  init() throws {
    bench = try Workbench(on: SimulatedDisk(seed: 1).fileSystem)
    writer = try bench.writer()
  }

  private func stream(machine: Identifier? = nil) throws -> RecordStream {
    RecordStream(
      vault: bench.vault.description.id, machine: machine ?? writer.machine.id, codec: .zstd,
      position: try writer.position())
  }

  /// The bytes of records for these blocks of disk 0, each full of its number.
  private func records(
    _ blocks: Range<UInt64>, of stream: RecordStream, disk: DiskNumber = 0
  ) throws -> [UInt8] {
    var bytes: [UInt8] = []
    for block in blocks {
      let content = [UInt8](repeating: UInt8(block + 1), count: Layout.blockSize)
      try content.withUnsafeBytes {
        try stream.write(disk: disk, block: block, bytes: $0, pages: .max)
      }
    }
    stream.drain { bytes += $1 }
    return bytes
  }

  private func append(_ bytes: [UInt8]) throws {
    _ = try bytes.withUnsafeBytes { try writer.append($0) }
  }

  private func expectRefused(_ bytes: [UInt8], _ what: Comment) throws {
    let before = try writer.position()
    do {
      try append(bytes)
      Issue.record(what)
    } catch let error as VaultError {
      #expect(error.code == .malformed, what)
    }
    #expect(try writer.position() == before)
  }

  @Test("records that were encoded elsewhere are read back like the writer's own")
  func roundTrip() throws {
    try append(try records(0..<5, of: try stream()))
    _ = try writer.mark(
      NewPoint(disks: [PointDisk(number: 0, size: 5 << 16)], time: Timestamp(rawValue: 1)))
    try append(try records(1..<2, of: try stream()))
    let head = try writer.head(0, size: 5 << 16)
    var bytes = [UInt8](repeating: 0, count: 5 << 16)
    try bytes.withUnsafeMutableBytes { try head.read(into: $0, at: 0) }
    for block in 0..<5 { #expect(bytes[block << 16] == UInt8(block + 1)) }
    #expect(writer.cursor?.blocks == 1..<2)
  }

  @Test("records that do not go on where the log ends are refused, and the log is as it was")
  func order() throws {
    let first = try stream()
    let one = try records(0..<1, of: first)
    let two = try records(1..<2, of: first)
    try expectRefused(two, "a gap")
    try append(one)
    try expectRefused(one, "the same again")
    try append(two)
    let behind = try stream()
    behind.recordTime = .now()
    try append(try records(2..<3, of: behind))
    let stale = RecordStream(
      vault: bench.vault.description.id, machine: writer.machine.id, codec: .zstd,
      position: try writer.position())
    stale.position.time = Timestamp(rawValue: 0)
    stale.recordTime = Timestamp(rawValue: 1)
    try expectRefused(try records(3..<4, of: stale), "a time that went back")
  }

  @Test("records of another machine or of a disk that is not there are refused")
  func strangers() throws {
    try expectRefused(try records(0..<1, of: try stream(machine: .random())), "another machine")
    try expectRefused(try records(0..<1, of: try stream(), disk: 77), "another disk")
    let mark = PayloadRecord.encode(
      .mark, sequence: try writer.position().sequence.next, time: .now(), payload: [1, 2, 3],
      hint: RecordHint(), identity: writer.machine.identity)
    try expectRefused(mark, "a mark")
  }

  @Test("a flipped bit anywhere, a cut anywhere and noise are refused")
  func noise() throws {
    var random = SeededGenerator(for: "noise in records")
    let good = try records(0..<3, of: try stream())
    for _ in 0..<300 {
      var bad = good
      bad[random.number(0..<bad.count)] ^= 1 << UInt8(random.number(0..<8))
      try expectRefused(bad, "a flipped bit")
    }
    for _ in 0..<100 {
      try expectRefused(Array(good.prefix(random.number(0..<good.count) | 1)), "a cut")
      try expectRefused(random.bytes(random.number(1..<1000)), "noise")
    }
    try append(good)
  }

  @Test("a record of zeros that names cells, and a record of two blocks' data, are refused")
  func lyingHeaders() throws {
    let position = try writer.position()
    var header = RecordHeader(
      type: .zero, sequence: position.sequence.next, time: .now(), blockCount: 1,
      length: UInt32(Format.recordHeaderSize), hint: position.hint)
    header.cellLengths[2] = 40_000
    try expectRefused(try encoded(header), "zeros with a cell")
    header.cellLengths = CellLengths()
    header.zeroMask = 1
    try expectRefused(try encoded(header), "zeros with a mask")
    (header.type, header.blockCount, header.zeroMask) = (.data, 2, 1)
    try expectRefused(try encoded(header), "data of two blocks")
  }

  /// The bytes of a record with this header and nothing else.
  private func encoded(_ header: RecordHeader) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Format.recordHeaderSize)
    bytes.withUnsafeMutableBytes { header.encode(into: $0, identity: writer.machine.identity) }
    return bytes
  }

  @Test(
    "a recovery point of no disk, strange ones, one twice or impossible sizes is refused")
  func strangePoints() throws {
    let good = PointDisk(number: 0, size: 1 << 20)
    let bad: [[PointDisk]] = [
      [], [good, good], [PointDisk(number: 77, size: 512)], [PointDisk(number: 0, size: 0)],
      [PointDisk(number: 0, size: 513)], [PointDisk(number: 0, size: 1 << 62)],
    ]
    for disks in bad { try expectRefused(NewPoint(disks: disks, time: .now())) }
    try expectRefused(NewPoint(label: "latest", disks: [good], time: .now()))
    _ = try writer.mark(sent: NewPoint(disks: [good], time: .now()))
    #expect(writer.points.count == 1)
  }

  private func expectRefused(_ point: NewPoint) throws {
    do {
      _ = try writer.mark(sent: point)
      Issue.record("a point of \(point.disks) labelled \(point.label ?? "nothing") was made")
    } catch { #expect(error.code == .malformed) }
  }
}
