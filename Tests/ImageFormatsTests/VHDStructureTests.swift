import Bytes
import ImageFormats
import Support
import Testing

/// Footer, geometry and dynamic header against what other programs wrote, and against damage.
struct VHDStructureTests {
  @Test("a disk's geometry is the one that QEMU, Hyper-V and Azure give it")
  func geometry() {
    let table: [(UInt64, UInt16, UInt8, UInt8)] = [
      (1, 0, 4, 17), (67, 0, 4, 17), (68, 1, 4, 17), (2048, 30, 4, 17), (6145, 90, 4, 17),
      (40960, 602, 4, 17), (69631, 1023, 4, 17), (69632, 140, 16, 31), (139_264, 280, 16, 31),
      (278_528, 561, 16, 31), (507_903, 1023, 16, 31), (507_904, 503, 16, 63),
      (1_032_191, 1023, 16, 63), (1_032_192, 1024, 16, 63), (2_097_152, 2080, 16, 63),
      (8_388_608, 8322, 16, 63), (41_943_040, 41610, 16, 63), (66_059_279, 65534, 16, 63),
      (66_059_280, 16191, 16, 255), (66_059_281, 16191, 16, 255), (67_108_864, 16448, 16, 255),
      (266_338_304, 65278, 16, 255), (267_382_800, 65535, 16, 255),
      (267_382_801, 65535, 16, 255), (4_278_190_080, 65535, 16, 255),
      (.max, 65535, 16, 255),
    ]
    for (sectors, cylinders, heads, track) in table {
      let expected = VHDGeometry(cylinders: cylinders, heads: heads, sectorsPerTrack: track)
      #expect(VHDGeometry(sectors: sectors) == expected, "\(sectors) sectors")
    }
  }

  @Test("a geometry never covers more than the disk, and misses less than a cylinder below 127 GiB")
  func geometryIsClose() {
    var random = SeededGenerator(for: "geometry")
    for _ in 0..<20_000 {
      let sectors = UInt64.random(in: 68..<VHDGeometry.largest, using: &random)
      let geometry = VHDGeometry(sectors: sectors)
      let cylinder = UInt64(geometry.heads) * UInt64(geometry.sectorsPerTrack)
      #expect(geometry.sectors <= sectors && sectors - geometry.sectors < cylinder, "\(sectors)")
    }
  }

  @Test("every footer of another program is read, and written again byte for byte")
  func footerVectors() throws {
    let names = try Vectors.names(endingIn: ".footer.hex")
    #expect(names.count == 18)
    for name in names {
      let bytes = try Vectors.bytes(name + ".footer")
      let footer = try VHDFooter(bytes, of: name, at: "its end")
      #expect(footer.encoded() == bytes, "\(name)")
      guard let facts = Vectors.Facts(name) else { continue }
      #expect(footer.currentSize == facts.size && footer.originalSize == facts.size, "\(name)")
      #expect(footer.kind == (facts.isDynamic ? .dynamic : .fixed), "\(name)")
      #expect(footer.dataOffset == (facts.isDynamic ? 512 : VHDFooter.noOffset), "\(name)")
      #expect(footer.creator == (facts.isExact ? 0x7165_6D32 : 0x7165_6D75), "\(name)")
      let geometry = VHDGeometry(sectors: facts.isExact ? .max : facts.size / 512)
      #expect(footer.geometry == geometry, "\(name)")
    }
  }

  @Test("every dynamic header of another program is read, and written again byte for byte")
  func headerVectors() throws {
    let names = try Vectors.names(endingIn: ".dynheader.hex")
    #expect(names.count == 8)
    for name in names {
      let bytes = try Vectors.bytes(name + ".dynheader")
      let header = try VHDDynamicHeader(bytes, of: name)
      let facts = try #require(Vectors.Facts(name))
      #expect(header.tableOffset == 1536 && header.blockSize == 2 << 20)
      let count = VHDBlockTable.entryCount(size: facts.size, blockSize: 2 << 20)
      #expect(UInt64(header.entryCount) == count, "\(name)")
      #expect(header.encoded() == bytes, "\(name)")
    }
  }

  @Test("a differencing VHD's header names its parent")
  func parentName() throws {
    let head = try Vectors.bytes("handmade-child.first4096")
    let header = try VHDDynamicHeader(Array(head[512..<1536]), of: "child.vhd")
    #expect(header.parentName == "parent-dyn.vhd")
  }

  @Test("the footer of a new image says Hyper-V made it, with real geometry and exact size")
  func newFooter() throws {
    let id = Identifier(high: 0x0011_2233_4455_6677, low: 0x8899_AABB_CCDD_EEFF)
    let footer = VHDFooter(
      kind: .fixed, diskSize: 4 << 20, identifier: id,
      created: Timestamp(seconds: VHD.epoch + 0x1234))
    let bytes = footer.encoded()
    #expect(bytes.count == 512)
    #expect(
      Array(bytes[24..<40]) == [0, 0, 0x12, 0x34] + Array("win ".utf8) + [0, 6, 0, 3]
        + Array("Wi2k".utf8))
    #expect(
      bytes[68..<84].elementsEqual([
        0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE,
        0xFF,
      ]))
    #expect(try VHDFooter(bytes, of: "new", at: "its end") == footer)
    #expect(footer.geometry == VHDGeometry(sectors: 8192))
  }

  @Test("times outside what a VHD can say become the nearest that it can")
  func times() {
    #expect(VHD.time(Timestamp(seconds: 0)) == 0)
    #expect(VHD.time(Timestamp(seconds: VHD.epoch + 1)) == 1)
    #expect(VHD.time(Timestamp(rawValue: .max)) == .max)
  }

  @Test("a footer without its last byte is read as Virtual PC before 2004 wrote it")
  func oldFooter() throws {
    let bytes = try Vectors.bytes("fixed-1MiB-force_size_on.footer")
    let footer = try VHDFooter(Array(bytes.dropLast()), of: "old.vhd", at: "its end")
    #expect(footer.currentSize == 1 << 20)
  }

  @Test("any flipped bit of a footer or header is refused, and the message names the file")
  func flippedBits() throws {
    let footer = try Vectors.bytes("fixed-127GiB-force_size_on.footer")
    let header = try Vectors.bytes("dynamic-127GiB-force_size_on.dynheader")
    var random = SeededGenerator(for: "flipped bits")
    for _ in 0..<500 {
      let bit = random.number(0..<512 * 8)
      var damaged = footer
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      var error = #expect(throws: ImageError.self) {
        try VHDFooter(damaged, of: "x.vhd", at: "its end")
      }
      #expect(error?.code == (bit < 64 ? .notAnImage : .damaged))
      #expect(error?.message.contains("'x.vhd'") == true)

      let place = random.number(0..<1024 * 8)
      damaged = header
      damaged[place / 8] ^= 1 << UInt8(place % 8)
      error = #expect(throws: ImageError.self) { try VHDDynamicHeader(damaged, of: "x.vhd") }
      #expect(error?.code == .damaged)
    }
  }

  @Test("the checksum named in the message is the one the bytes give")
  func checksumMessage() throws {
    var bytes = try Vectors.bytes("fixed-1MiB-force_size_on.footer")
    bytes[100] = 1
    let error = #expect(throws: ImageError.self) {
      try VHDFooter(bytes, of: "a.vhd", at: "its end")
    }
    #expect(error?.message.contains("0xffffe498, but its bytes give 0xffffe497") == true)
  }

  @Test("sizes are padded to whole MiB, and one sector above 2,040 GiB is refused with the limit")
  func padding() throws {
    #expect(try VHD.paddedSize(of: 512) == 1 << 20)
    #expect(try VHD.paddedSize(of: 1 << 20) == 1 << 20)
    #expect(try VHD.paddedSize(of: (3 << 20) + 512) == 4 << 20)
    #expect(try VHD.paddedSize(of: VHD.maximumSize) == 2_190_433_320_960)
    for (size, code) in [
      (0, ImageError.Code.invalidSize), (513, .invalidSize), (VHD.maximumSize + 512, .tooLarge),
    ] as [(UInt64, ImageError.Code)] {
      let error = #expect(throws: ImageError.self) { try VHD.paddedSize(of: size) }
      #expect(error?.code == code)
    }
    let error = #expect(throws: ImageError.self) { try VHD.paddedSize(of: VHD.maximumSize + 512) }
    #expect(error?.message.contains("2,040 GiB (2190433320960 bytes)") == true)
  }
}
