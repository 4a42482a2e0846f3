import Bytes
import Codecs
import FileIO
import Foundation
import Support
import Testing

@testable import Vault

/// Goal: the format stays what its specification says. Method: the example in `Format.md` is decoded,
/// and what it decodes to is encoded again.
@Suite struct GoldenTests {
  let identity: LogIdentity
  let configuration = MachineConfiguration(
    name: "web01", operatingSystem: .linux,
    disks: [
      DiskConfiguration(number: 0, path: "/srv/web01.img", capture: .scan, format: .raw)
    ])
  let time = Timestamp(seconds: 1_795_170_600)

  init() throws {
    identity = LogIdentity(
      vault: try #require(Identifier("00112233-4455-4677-8899-aabbccddeeff")),
      machine: try #require(Identifier("ffeeddcc-bbaa-4988-b766-554433221100")))
  }

  var page: [UInt8] {
    let line = Array("What the sea leaves behind tells how high it stood.\n".utf8)
    return (0..<Layout.pageSize).map { line[$0 % line.count] }
  }

  /// The example of the specification, made by today's code.
  func example() -> [UInt8] {
    let header = SegmentHeader(
      number: 1, firstSequence: SequenceNumber(rawValue: 1), created: time,
      configuration: configuration)
    var bytes = header.encode(identity: identity)
    let start = bytes.count
    var data = RecordHeader(
      type: .data, codec: .zstd, sequence: SequenceNumber(rawValue: 1), time: time, block: 7,
      blockCount: 1, dataMask: 1 << 5, length: 0)
    var block = [UInt8](repeating: 0, count: Layout.blockSize)
    block.replaceSubrange(5 * Layout.pageSize..<6 * Layout.pageSize, with: page)
    var output = [UInt8](repeating: 0, count: Format.largestBlockRecord)
    data = block.withUnsafeBytes { content in
      output.withUnsafeMutableBytes {
        BlockRecordEncoder().encode(data, content: content, identity: identity, into: $0)
      }
    }
    bytes += output[..<Int(data.length)]
    bytes += zeroRecord(after: data)
    let point = NewPoint(
      label: "golden", cycle: 0x1122_3344_5566_7788,
      disks: [PointDisk(number: 0, size: 3 << 20)], time: time
    ).point(sequence: SequenceNumber(rawValue: 3), time: time, among: [])
    let hint = RecordHint(sequence: 2, disk: 0, block: 16, count: 16)
    bytes += PayloadRecord.encode(
      .mark, sequence: point.sequence, time: time, payload: point.encode(), hint: hint,
      identity: identity)
    let sync = SyncPayload(
      flags: SyncPayload.endsAtCut, lastSequence: point.sequence, durableOffset: UInt64(start),
      manifestLength: 200, manifestChecksum: 0xCAFE_F00D, serviceTime: time, disks: point.disks)
    bytes += PayloadRecord.encode(
      .sync, sequence: point.sequence, time: time, payload: sync.encode(), hint: hint,
      identity: identity)
    return bytes
  }

  private func zeroRecord(after data: RecordHeader) -> [UInt8] {
    var zero = RecordHeader(
      type: .zero, sequence: SequenceNumber(rawValue: 2), time: time, block: 16, blockCount: 16,
      length: UInt32(Format.recordHeaderSize))
    zero.hint = RecordHint(data)
    let complete = zero
    var bytes = [UInt8](repeating: 0, count: Format.recordHeaderSize)
    bytes.withUnsafeMutableBytes { complete.encode(into: $0, identity: identity) }
    return bytes
  }

  private var specification: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Sources/Vault/Vault.docc/Format.md")
  }

  /// The bytes of the specification's hex dump: lines of an offset, a colon and digits.
  private func golden() throws -> [UInt8] {
    let text = try String(contentsOf: specification, encoding: .utf8)
    let dump = try #require(text.components(separatedBy: "```hex\n").last?.split(separator: "```"))
    return dump[0].split(separator: "\n").flatMap { line -> [UInt8] in
      let digits = Array(line.drop { $0 != ":" }.dropFirst().filter(\.isHexDigit))
      return stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(digits[$0...$0 + 1]), radix: 16)
      }
    }
  }

  @Test("the example of the specification reads as the specification says")
  func readsExample() throws {
    let bytes = try golden()
    let disk = SimulatedDisk(seed: 1)
    let file = try File("/example", .creating(permissions: 0o600), on: disk.fileSystem)
    try file.write(bytes, at: 0)
    let found = try #require(SegmentHeader.decode(bytes))
    #expect(found.identity == identity)
    #expect(found.header.configuration == configuration)
    let replay = try SegmentReplay(
      LogFile(file), segment: 1, from: UInt64(found.header.length), to: UInt64(bytes.count),
      firstSequence: found.header.firstSequence, disks: [0], identity: identity)
    #expect(replay.end == UInt64(bytes.count))
    #expect(replay.points.map(\.label) == ["golden"])
    #expect(replay.points.map(\.id) == ["20261120T103000Z-crash"])
    #expect(replay.damages.isEmpty)
    let files = LogFiles(directory: "/segments", system: disk.fileSystem)
    try disk.fileSystem.makeDirectory("/segments")
    try disk.fileSystem.rename("/example", to: "/segments/1.seg")
    let reader = DiskReader(
      number: 0, size: 3 << 20, runs: [.memory(MemoryRun(replay.entries))],
      timeline: Timeline(cut: SequenceNumber(rawValue: 3), branchings: []), identity: identity,
      files: files, lease: nil)
    var block = [UInt8](repeating: 1, count: Layout.blockSize)
    try block.withUnsafeMutableBytes { try reader.read(into: $0, at: 7 << 16) }
    #expect(Array(block[5 * Layout.pageSize..<6 * Layout.pageSize]) == page)
    #expect(block[..<(5 * Layout.pageSize)].allSatisfy { $0 == 0 })
  }

  @Test("what is written today is what the specification shows")
  func writesExample() throws {
    let bytes = example()
    if environment("TIDEMARK_PRINT_GOLDEN") != nil { print(Self.dump(bytes)) }
    #expect(bytes == (try golden()))
  }

  static func dump(_ bytes: [UInt8]) -> String {
    stride(from: 0, to: bytes.count, by: 32).map { start in
      let digits = bytes[start..<min(start + 32, bytes.count)].enumerated().map { index, byte in
        (index > 0 && index % 4 == 0 ? " " : "") + String(format: "%02x", byte)
      }
      return String(format: "%04x: ", start) + digits.joined()
    }.joined(separator: "\n")
  }
}
