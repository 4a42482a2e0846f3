import Bytes
import ImageFormats
import Support
import Testing

/// The fixed VHD that exists only while it is read.
struct FixedVHDTests {
  private let id = Identifier(high: 0x1234, low: 0x5678)
  private let moment = Timestamp(seconds: 1_795_170_725)

  private func file(_ vhd: FixedVHD, _ content: MemoryDisk, _ range: Range<Int>) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: range.count)
    try bytes.withUnsafeMutableBytes {
      try vhd.read(into: $0, at: UInt64(range.lowerBound), from: content)
    }
    return bytes
  }

  @Test("it is the disk, zeros to a whole MiB, and a footer, at any place and of any length")
  func reads() throws {
    var random = SeededGenerator(for: "virtual VHD")
    let size = (1 << 20) + 1536
    let disk = random.bytes(size)
    let content = MemoryDisk(disk)
    let vhd = try FixedVHD(diskSize: UInt64(size), identifier: id, created: moment)
    #expect(vhd.paddedSize == 2 << 20 && vhd.fileSize == (2 << 20) + 512)
    let whole = disk + [UInt8](repeating: 0, count: (2 << 20) - size) + vhd.footer
    #expect(try file(vhd, content, 0..<whole.count) == whole)
    let edges = [0, 511, size - 1, size, size + 1, 2 << 20, (2 << 20) - 1, whole.count]
    for start in edges {
      for end in edges where end >= start {
        #expect(try file(vhd, content, start..<end) == Array(whole[start..<end]))
      }
    }
    for _ in 0..<300 {
      let start = random.number(0..<whole.count)
      let end = min(whole.count, start + random.number(0..<70_000))
      #expect(try file(vhd, content, start..<end) == Array(whole[start..<end]), "\(start) \(end)")
    }
  }

  @Test("its holes are those of the disk and the padding")
  func holes() throws {
    let content = MemoryDisk(size: (1 << 20) + 4096)
    content.write([1], at: 8192)
    content.write([1], at: 1 << 20)
    let vhd = try FixedVHD(diskSize: content.size, identifier: id, created: moment)
    var found: [Range<UInt64>] = []
    var place: UInt64 = 0
    while let data = try vhd.nextData(from: place, in: content) {
      place = try vhd.nextHole(from: data, in: content)
      found.append(data..<place)
    }
    let expected: [Range<UInt64>] = [
      8192..<12288, 1 << 20..<(1 << 20) + 4096, 2 << 20..<(2 << 20) + 512,
    ]
    #expect(found == expected)
    #expect(try vhd.nextHole(from: (1 << 20) + 5000, in: content) == (1 << 20) + 5000)
    #expect(try vhd.nextData(from: (2 << 20) + 511, in: content) == (2 << 20) + 511)
    #expect(try vhd.nextData(from: (2 << 20) + 512, in: content) == nil)
    #expect(try vhd.nextHole(from: (2 << 20) + 5, in: content) == vhd.fileSize)
  }

  @Test("a disk of whole MiB has no hole before its footer")
  func noPadding() throws {
    let content = MemoryDisk([UInt8](repeating: 1, count: 1 << 20))
    let vhd = try FixedVHD(diskSize: content.size, identifier: id, created: moment)
    #expect(try vhd.nextHole(from: 0, in: content) == vhd.fileSize)
  }

  @Test("equal arguments give equal bytes; another id gives another footer")
  func deterministic() throws {
    let one = try FixedVHD(diskSize: 512, identifier: id, created: moment)
    let same = try FixedVHD(diskSize: 512, identifier: id, created: moment)
    let other = try FixedVHD(
      diskSize: 512, identifier: Identifier(high: 1, low: 1), created: moment)
    #expect(one.footer == same.footer && one.footer != other.footer)
  }

  @Test("2,040 GiB is laid out, one sector more is refused")
  func largest() throws {
    let vhd = try FixedVHD(diskSize: 2040 << 30, identifier: id, created: moment)
    #expect(vhd.fileSize == 2_190_433_321_472)
    let error = #expect(throws: ImageError.self) {
      try FixedVHD(diskSize: (2040 << 30) + 512, identifier: id, created: moment)
    }
    #expect(error?.code == .tooLarge)
  }
}
