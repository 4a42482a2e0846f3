import Bytes
import FileIO
import ImageFormats
import Support
import Testing

/// Reading of VHDs that are as they should be.
struct VHDImageTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("disk.vhd") }

  init() throws { directory = try TemporaryDirectory("vhd") }

  @Test("a dynamic VHD reads as its blocks, and as zeros where it has none")
  func dynamic() throws {
    var vhd = HandmadeVHD(size: 6 << 16)
    let full = [UInt8](repeating: 0xFF, count: 512)
    vhd.add(block: 1, slot: 1, bitmap: full, data: [UInt8](repeating: 1, count: 1 << 16))
    vhd.add(block: 4, slot: 0, bitmap: full, data: [UInt8](repeating: 4, count: 1 << 16))
    try vhd.write(to: path)
    let image = try VHDImage(path)
    #expect(image.isDynamic && image.size == 6 << 16)
    let bytes = try image.bytes()
    for block in 0..<6 {
      let expected = [0, 1, 0, 0, 4, 0][block] as UInt8
      let range = block << 16..<(block + 1) << 16
      #expect(bytes[range].allSatisfy { $0 == expected }, "block \(block)")
    }
    #expect(try image.bytes((1 << 16) - 2, 4) == [0, 0, 1, 1])
    #expect(try image.bytes((2 << 16) - 2, 4) == [1, 1, 0, 0])
    #expect(try image.stretches() == [1 << 16..<2 << 16, 4 << 16..<5 << 16])
  }

  @Test("a sector that the bitmap lacks is zeros, though the file holds bytes in its place")
  func bitmaps() throws {
    var vhd = HandmadeVHD(size: 1 << 16)
    // The highest bit of a byte is the first sector: sectors 0, 9, 10 and 127.
    var bitmap = [UInt8](repeating: 0, count: 16)
    (bitmap[0], bitmap[1], bitmap[15]) = (0x80, 0x60, 0x01)
    vhd.add(block: 0, slot: 0, bitmap: bitmap, data: [UInt8](repeating: 8, count: 1 << 16))
    try vhd.write(to: path)
    let image = try VHDImage(path)
    let bytes = try image.bytes()
    for sector in 0..<128 {
      let expected: UInt8 = [0, 9, 10, 127].contains(sector) ? 8 : 0
      #expect(bytes[sector * 512..<sector * 512 + 512].allSatisfy { $0 == expected }, "\(sector)")
    }
    #expect(try image.stretches() == [0..<512, 9 * 512..<11 * 512, 127 * 512..<128 * 512])
    #expect(try image.bytes(511, 2) == [8, 0])
    #expect(try image.bytes(9 * 512 - 1, 1026) == [0] + [UInt8](repeating: 8, count: 1024) + [0])
    #expect(try image.nextHole(from: 10 * 512 + 5) == 11 * 512)
    #expect(try image.nextData(from: 11 * 512) == 127 * 512)
  }

  @Test("reads at any place and of any length agree with a model of random blocks and bitmaps")
  func model() throws {
    var random = SeededGenerator(for: "VHD reads")
    var vhd = HandmadeVHD(size: 40 * 8192 - 512, blockSize: 8192, room: 40)
    var model = [UInt8](repeating: 0, count: 40 * 8192)
    for (slot, block) in (0..<40).shuffled(using: &random).prefix(25).enumerated() {
      let bitmap = [[0xFF, 0xFF], [0, 0], random.bytes(2)][random.number(0..<3)]
      let data = random.bytes(8192)
      vhd.add(block: block, slot: UInt64(slot), bitmap: bitmap, data: data)
      for sector in 0..<16 where bitmap[sector / 8] & (0x80 >> UInt8(sector % 8)) != 0 {
        let place = block * 8192 + sector * 512
        model.replaceSubrange(place..<place + 512, with: data[sector * 512..<sector * 512 + 512])
      }
    }
    try vhd.write(to: path)
    let image = try VHDImage(path)
    #expect(image.size == 40 * 8192 - 512)
    for _ in 0..<1000 {
      let start = random.number(0..<Int(image.size))
      let count = random.number(0..<min(30_000, Int(image.size) - start) + 1)
      #expect(try image.bytes(UInt64(start), count) == Array(model[start..<start + count]))
    }
    var covered = 0
    for stretch in try image.stretches() {
      #expect(model[covered..<Int(stretch.lowerBound)].allSatisfy { $0 == 0 })
      covered = Int(stretch.upperBound)
    }
    #expect(model[covered..<Int(image.size)].allSatisfy { $0 == 0 })
  }

  @Test("holes of the file inside a block are holes of the disk")
  func holesInBlocks() throws {
    var vhd = HandmadeVHD(size: 2 << 20, blockSize: 2 << 20, room: 1)
    vhd.end = 4096 * 2 + 2 << 20
    vhd.table[0] = (4096 * 2 - 512) / 512
    vhd.parts = [
      (4096 * 2 - 512, [UInt8](repeating: 0xFF, count: 512)),
      (4096 * 2 + 65536, [UInt8](repeating: 3, count: 4096)),
    ]
    try vhd.write(to: path)
    #expect(try VHDImage(path).stretches() == [65536..<65536 + 4096])
  }

  @Test("a fixed VHD reads as the bytes before its footer, and its holes are the file's")
  func fixed() throws {
    let footer = VHDFooter(
      kind: .fixed, diskSize: 3 << 20, identifier: .random(), created: Timestamp(seconds: 0))
    let file = try File(path, .creating(permissions: 0o600))
    try file.write([UInt8](repeating: 6, count: 4096), at: 1 << 20)
    try file.write(footer.encoded(), at: 3 << 20)
    let image = try openImage(path, as: .vhd)
    #expect(image.size == 3 << 20)
    #expect(try image.stretches() == [1 << 20..<(1 << 20) + 4096])
    #expect(try image.bytes((1 << 20) + 4094, 4) == [6, 6, 0, 0])
    #expect(try image.nextHole(from: (3 << 20) - 1) == (3 << 20) - 1)
  }

  @Test("the old footer of 511 bytes ends a fixed and a dynamic VHD")
  func oldFooters() throws {
    var vhd = HandmadeVHD(size: 1 << 16)
    vhd.add(
      block: 0, slot: 0, bitmap: [UInt8](repeating: 0xFF, count: 16),
      data: [UInt8](repeating: 2, count: 1 << 16))
    try vhd.write(to: path, footerLength: 511)
    #expect(try VHDImage(path).bytes(0, 2) == [2, 2])
    var bytes = [UInt8](repeating: 9, count: 1 << 20)
    bytes += try Vectors.bytes("fixed-1MiB-force_size_on.footer").dropLast()
    try write(bytes, to: directory.file("fixed.vhd"))
    #expect(try VHDImage(directory.file("fixed.vhd")).bytes((1 << 20) - 1, 1) == [9])
  }

  @Test(
    "the size is the current size, whichever program made the VHD",
    arguments: ["win ", "vpc ", "d2v", "qemu", "qem2", "wa", "vbox", "tap"])
  func creators(creator: String) throws {
    var vhd = HandmadeVHD(size: (3 << 20) + 512)
    let name = Array(creator.utf8) + [0, 0]
    vhd.footer.creator = name.prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    vhd.footer.geometry = VHDGeometry(sectors: creator == "d2v" ? .max : 6145)
    try vhd.write(to: directory.file("a.vhd"))
    #expect(try VHDImage(directory.file("a.vhd")).size == (3 << 20) + 512)
  }

  @Test("a table with entries to spare, blocks in any order and a short last block are read")
  func odd() throws {
    // QEMU once wrote one entry too many; Virtual PC grows blocks in the order they are written.
    var vhd = HandmadeVHD(size: 3 * 8192 - 4096, blockSize: 8192, room: 3)
    vhd.header.entryCount += 1
    let full: [UInt8] = [0xFF, 0xFF]
    vhd.add(block: 1, slot: 0, bitmap: full, data: [UInt8](repeating: 1, count: 8192))
    vhd.add(block: 0, slot: 1, bitmap: full, data: [UInt8](repeating: 2, count: 8192))
    vhd.add(block: 2, slot: 2, bitmap: full, data: [UInt8](repeating: 3, count: 4096))
    vhd.end -= 4096
    try vhd.write(to: path)
    let bytes = try VHDImage(path).bytes()
    #expect(bytes.count == 20480 && bytes[0] == 2 && bytes[8192] == 1 && bytes[20479] == 3)
  }

  @Test("the hand-made vector with a partial bitmap is read sector by sector")
  func handmadeVector() throws {
    let head = try Vectors.bytes("handmade-parent-dyn.first4096")
    let footer = try Vectors.bytes("handmade-parent-dyn.footer")
    let file = try File(path, .creating(permissions: 0o600))
    try file.write(head, at: 0)
    // Behind the eight sectors of the bitmap lie bytes that are not part of the disk.
    try file.write([UInt8](repeating: 0xCC, count: 8192), at: 2560 + 4096)
    try file.write(footer, at: 2560 + 2 << 20)
    let image = try VHDImage(path)
    #expect(image.size == 8 << 20)
    #expect(try image.stretches() == [0..<4096])
    #expect(try image.bytes(0, 1536) == [UInt8](repeating: 0x50, count: 1536))
    #expect(try image.bytes(4096, 8192) == [UInt8](repeating: 0, count: 8192))
  }
}
