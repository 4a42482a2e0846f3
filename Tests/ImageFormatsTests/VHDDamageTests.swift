import Bytes
import FileIO
import ImageFormats
import Support
import Testing

/// Reading of VHDs that are not as they should be: each is refused in words that help, and none
/// costs memory, time or the process.
struct VHDDamageTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("disk.vhd") }

  init() throws { directory = try TemporaryDirectory("vhd") }

  private func expect(
    _ code: ImageError.Code, _ words: String, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let error = #expect(throws: ImageError.self, sourceLocation: location) { try VHDImage(path) }
    #expect(error?.code == code, "\(error?.message ?? "")", sourceLocation: location)
    let message = error?.message ?? ""
    #expect(message.contains(words), "\(message)", sourceLocation: location)
    #expect(message.contains("'\(path)'"), "\(message)", sourceLocation: location)
  }

  @Test("a differencing VHD is refused, and its parent is named")
  func differencing() throws {
    let head = try Vectors.bytes("handmade-child.first4096")
    let file = try File(path, .creating(permissions: 0o600))
    try file.write(head, at: 0)
    try file.write(try Vectors.bytes("handmade-child.footer"), at: 3584 + 2 << 20)
    try expect(.unsupported, "differs from its parent 'parent-dyn.vhd'. Merge the two first")
  }

  @Test("a footer whose checksum is wrong is refused; an intact copy at the start is mentioned")
  func checksum() throws {
    var vhd = HandmadeVHD(size: 1 << 20)
    try vhd.write(to: path)
    let file = try File(path, .writing)
    try file.write([9], at: vhd.end + 60)
    try expect(.damaged, "The copy of the footer at the file's start is intact")
    try FileSystem.system.remove(path)
    vhd.headCopy = false
    try vhd.write(to: path)
    try File(path, .writing).write([9], at: vhd.end + 60)
    try expect(.damaged, "the checksum of the footer at its end is")
  }

  @Test("a dynamic VHD that was cut short is refused as such, whatever is missing")
  func truncated() throws {
    var vhd = HandmadeVHD(size: 1 << 20)
    vhd.add(block: 3, slot: 0, bitmap: [1], data: [UInt8](repeating: 1, count: 1 << 16))
    try vhd.write(to: path)
    for end in [vhd.end + 511 - 1, vhd.end, vhd.end - 512, 4096, 2048, 1536, 1024] {
      try File(path, .writing).truncate(to: end)
      try expect(.damaged, "its end holds no footer, while the copy at its start tells of")
    }
    try File(path, .writing).truncate(to: 512)
    // What is left is a footer alone; it points to a header that is gone.
    try expect(.damaged, "where none can lie")
  }

  @Test("a fixed VHD that was cut short, and a file that is none, are told apart from a VHDX")
  func noVHD() throws {
    try write([UInt8](repeating: 0, count: 4096), to: path)
    try expect(.notAnImage, "If it is a raw image, say so; if it is a VHD, it was cut short")
    try File(path, .writing).write(Array("vhdxfile".utf8), at: 0)
    try expect(.unsupported, "it is a VHDX. Convert it first: qemu-img convert")
    try File(path, .writing).truncate(to: 100)
    try expect(.unsupported, "VHDX")
    try File(path, .writing).truncate(to: 0)
    try expect(.notAnImage, "no VHD footer lies at the end of its 0 bytes")
  }

  @Test("a fixed VHD that lost bytes in the middle is refused")
  func shortFixed() throws {
    let file = try File(path, .creating(permissions: 0o600))
    try file.write(try Vectors.bytes("fixed-1MiB-force_size_on.footer"), at: (1 << 20) - 512)
    try expect(.damaged, "tells of a disk of 1048576 bytes, but only 1048064 bytes lie before it")
  }

  @Test("sizes that no disk has are refused")
  func sizes() throws {
    for (size, code, words) in [
      (0, .invalidSize, "holds no bytes"), (1000, .invalidSize, "1000 bytes is not a whole number"),
      (VHD.maximumSize + 512, .tooLarge, "ends at 2,040 GiB"), (.max - 511, .tooLarge, "256 TiB"),
    ] as [(UInt64, ImageError.Code, String)] {
      var vhd = HandmadeVHD(size: 1 << 20)
      vhd.footer.currentSize = size
      try vhd.write(to: path)
      try expect(code, words)
      try FileSystem.system.remove(path)
    }
  }

  @Test("block sizes, tables and headers that make no sense are refused before memory is spent")
  func headers() throws {
    let cases: [(ImageError.Code, String, (inout HandmadeVHD) -> Void)] = [
      (.unsupported, "its blocks are of 0 bytes", { $0.header.blockSize = 0 }),
      (.unsupported, "its blocks are of 3000000 bytes", { $0.header.blockSize = 3_000_000 }),
      (.unsupported, "its blocks are of 512 bytes", { $0.header.blockSize = 512 }),
      (.unsupported, "its blocks are of 2147483648", { $0.header.blockSize = 1 << 31 }),
      (.damaged, "has 3 entries, but a disk of 1048576", { $0.header.entryCount = 3 }),
      (.damaged, "begin at byte 18446744073709551104", { $0.header.tableOffset = .max - 511 }),
      (.damaged, "would begin at byte 1537", { $0.header.tableOffset = 1537 }),
      (.damaged, "would begin at byte 0", { $0.header.tableOffset = 0 }),
      (
        .damaged, "dynamic header at byte 18446744073709551104",
        { $0.footer.dataOffset = .max - 511 }
      ),
      (.damaged, "dynamic header at byte 0", { $0.footer.dataOffset = 0 }),
      (.damaged, "no dynamic header lies where", { $0.footer.dataOffset = 1024 }),
      (.unsupported, "disk type 5", { $0.footer.type = 5 }),
      (
        .unsupported, "entries; at most 16777216 are read",
        {
          $0.header.blockSize = 4096
          $0.header.entryCount = .max
          $0.footer.currentSize = VHD.maximumSize
        }
      ),
    ]
    for (code, words, spoil) in cases {
      var vhd = HandmadeVHD(size: 1 << 20)
      spoil(&vhd)
      try vhd.write(to: path)
      try expect(code, words)
      try FileSystem.system.remove(path)
    }
  }

  @Test("blocks outside the file, over its structures or over each other are refused by number")
  func blocks() throws {
    let cases: [(String, (inout HandmadeVHD) -> Void)] = [
      (
        "entry 2 of the block table places its block at bytes 1073741824", { $0.table[2] = 1 << 21 }
      ),
      ("entry 3 of the block table", { $0.table[3] = 0xFFFF_FFFE }),
      ("entry 4 of the block table", { $0.table[4] = 0 }),
      ("over the dynamic header or the block table", { $0.table[5] = 1 }),
      ("over the dynamic header or the block table", { $0.table[5] = 3 }),
      (
        "entries 0 and 15 of the block table place their blocks over each other",
        { ($0.table[0], $0.table[15]) = ($0.sector(ofSlot: 1), $0.sector(ofSlot: 2) - 1) }
      ),
      (
        "entries 1 and 9 of the block table place their blocks over each other",
        { ($0.table[1], $0.table[9]) = ($0.sector(ofSlot: 3), $0.sector(ofSlot: 3)) }
      ),
    ]
    for (words, spoil) in cases {
      var vhd = HandmadeVHD(size: 1 << 20)
      spoil(&vhd)
      try vhd.write(to: path)
      try expect(.damaged, words)
      try FileSystem.system.remove(path)
    }
  }

  @Test("footers at start and end that disagree on the size are refused")
  func disagreement() throws {
    let vhd = HandmadeVHD(size: 1 << 20)
    try vhd.write(to: path)
    var other = vhd.footer
    other.currentSize = 512
    try File(path, .writing).write(other.encoded(), at: 0)
    try expect(
      .damaged, "at its end tells of a disk of 1048576 bytes, the copy at its start of 512")
  }

  @Test("a later version is refused as that, not as damage")
  func versions() throws {
    var bytes = try Vectors.bytes("fixed-1MiB-force_size_on.footer")
    // The sum of the bytes stays, so the checksum does too.
    (bytes[13], bytes[101]) = (2, 0)
    bytes[64..<68] = [0xFF, 0xFF, 0xE4, 0x97]
    try write([UInt8](repeating: 0, count: 1 << 20) + bytes, to: path)
    try expect(.unsupported, "its VHD version is 0x00020000")
  }

  @Test("headers of random damage with right checksums are refused or read, and never trap")
  func fuzz() throws {
    var random = SeededGenerator(for: "VHD fuzz")
    var opened = 0
    let count = Count.of("TIDEMARK_FUZZ", normally: 1500)
    for _ in 0..<count {
      var vhd = HandmadeVHD(size: UInt64(random.number(1..<64)) << 14, blockSize: 8192)
      vhd.add(block: 0, slot: 0, bitmap: random.bytes(2), data: random.bytes(512))
      spoil(&vhd, &random)
      try vhd.write(to: path)
      if random.once(in: 4) {
        try File(path, .writing).truncate(to: UInt64(random.number(0..<Int(vhd.end))))
      }
      do {
        let image = try VHDImage(path)
        opened += 1
        let start = UInt64(random.number(0..<Int(min(image.size, 1 << 20))))
        let count = min(20_000, image.size - start)
        _ = try? image.bytes(start, Int(count))
        _ = try? image.nextData(from: start)
        _ = try? image.nextHole(from: start)
      } catch {
        // Refused, which is right as well; a trap would end the tests.
      }
      try FileSystem.system.remove(path)
    }
    #expect(opened >= count / 30)
  }

  private func spoil(_ vhd: inout HandmadeVHD, _ random: inout SeededGenerator) {
    for _ in 0..<random.number(0..<3) {
      let wild = random.next() >> UInt64(random.number(0..<64))
      switch random.number(0..<8) {
      case 0: vhd.footer.currentSize = wild & ~511
      case 1: vhd.footer.dataOffset = wild
      case 2: vhd.footer.type = UInt32(random.number(0..<6))
      case 3: vhd.header.tableOffset = wild & ~511 & 0xFFFF_FFFF
      case 4: vhd.header.entryCount = UInt32(truncatingIfNeeded: wild)
      case 5: vhd.header.blockSize = 1 << UInt32(random.number(0..<32))
      case 6: vhd.table[random.number(0..<vhd.table.count)] = UInt32(truncatingIfNeeded: wild)
      default: vhd.table[random.number(0..<vhd.table.count)] = vhd.sector(ofSlot: wild % 12)
      }
    }
  }
}
