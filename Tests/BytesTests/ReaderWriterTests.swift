import Bytes
import Support
import Testing

/// What the writer puts, the reader takes; whatever else the reader gets, it never traps.
struct ReaderWriterTests {
  @Test("values come back as they were written, and the bytes lie as the format says")
  func roundTrip() throws {
    var writer = ByteWriter()
    writer.integer(UInt32(0x0403_0201))
    writer.bigEndian(UInt16(0x0506))
    writer.text("Zoë")
    writer.identifier(Identifier(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10))
    writer.append(contentsOf: [0xAA])
    writer.pad(to: 8)
    writer.integer(Int64(-2))
    writer.replace(at: 4, with: UInt16(0x0807))
    let text: [UInt8] = [4, 0, 0, 0, 0x5A, 0x6F, 0xC3, 0xAB]
    let expected: [UInt8] =
      [1, 2, 3, 4, 7, 8] + text + Array(1...16) + [0xAA, 0]
      + [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
    #expect(writer.bytes == expected)

    try writer.bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      #expect(try reader.integer(UInt32.self) == 0x0403_0201)
      #expect(try reader.bigEndian(UInt16.self) == 0x0708)
      #expect(try reader.text() == "Zoë")
      #expect(try reader.identifier().description == "01020304-0506-0708-090a-0b0c0d0e0f10")
      #expect(try reader.bytes(1).first == 0xAA)
      try reader.skip(1)
      #expect(try reader.integer(Int64.self) == -2)
      #expect(reader.remaining == 0)
    }
  }

  @Test("padding fills to the next multiple and leaves one alone")
  func padding() {
    var writer = ByteWriter()
    writer.pad(to: 16)
    #expect(writer.bytes.isEmpty)
    writer.append(contentsOf: [1])
    writer.pad(to: 16)
    #expect(writer.bytes.count == 16)
    writer.pad(to: 16)
    #expect(writer.bytes.count == 16)
  }

  @Test(
    "any steps over any bytes end in values or in ShortInput, and the position never passes the end"
  )
  func hostileBytes() {
    var random = SeededGenerator(for: "hostile bytes")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 20_000) {
      let bytes = random.bytes(random.number(0..<40))
      bytes.withUnsafeBytes { bytes in
        var reader = ByteReader(bytes)
        for _ in 0..<8 {
          let before = reader.position
          do {
            try step(&reader, &random)
          } catch {
            #expect(error is ByteReader.ShortInput)
          }
          #expect(reader.position >= before && reader.position <= bytes.count)
          #expect(reader.remaining == bytes.count - reader.position)
        }
      }
    }
  }

  private func step(_ reader: inout ByteReader, _ random: inout SeededGenerator) throws {
    switch random.number(0..<7) {
    case 0: _ = try reader.integer(UInt8.self)
    case 1: _ = try reader.integer(UInt64.self)
    case 2: _ = try reader.bigEndian(Int32.self)
    case 3: _ = try reader.text()
    case 4: _ = try reader.identifier()
    case 5: try reader.skip([-1, 0, 3, .max, .min][random.number(0..<5)])
    default: _ = try reader.bytes(random.number(-3..<50))
    }
  }

  @Test("no bytes at all are short for everything")
  func noBytes() {
    var reader = ByteReader(UnsafeRawBufferPointer(start: nil, count: 0))
    #expect(throws: ByteReader.ShortInput.self) { try reader.integer(UInt8.self) }
    #expect(throws: ByteReader.ShortInput.self) { try reader.text() }
    #expect(throws: Never.self) { try reader.skip(0) }
  }
}
