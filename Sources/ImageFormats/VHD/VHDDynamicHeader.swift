internal import Bytes

/// The 1024 bytes that say how a dynamic VHD is divided, and where its block table lies.
package struct VHDDynamicHeader: Hashable, Sendable {
  /// Bytes of an encoded header.
  package static let size = 1024
  static let checksumOffset = 36
  /// `cxsparse`, the first eight bytes.
  package static let cookie: UInt64 = 0x6378_7370_6172_7365
  /// The only version there is, 1.0.
  package static let version: UInt32 = 0x0001_0000

  /// The byte at which the block table begins.
  package var tableOffset: UInt64
  /// Entries of the block table.
  package var entryCount: UInt32
  /// Bytes of a block, its sector bitmap not counted.
  package var blockSize: UInt32
  /// The file name of the disk underneath, of a differencing VHD; empty in a dynamic one.
  package var parentName: String = ""

  /// A dynamic header of these numbers.
  package init(tableOffset: UInt64, entryCount: UInt32, blockSize: UInt32) {
    (self.tableOffset, self.entryCount) = (tableOffset, entryCount)
    self.blockSize = blockSize
  }

  /// The header of a dynamic VHD as its 1024 bytes, with the checksum. A parent is not written.
  package func encoded() -> [UInt8] {
    var writer = ByteWriter(capacity: Self.size)
    writer.bigEndian(Self.cookie)
    writer.bigEndian(UInt64.max)
    writer.bigEndian(tableOffset)
    writer.bigEndian(Self.version)
    writer.bigEndian(entryCount)
    writer.bigEndian(blockSize)
    writer.pad(to: Self.size)
    let checksum = writer.bytes.withUnsafeBytes { VHD.checksum($0, at: Self.checksumOffset) }
    writer.replace(at: Self.checksumOffset, with: checksum.byteSwapped)
    return writer.bytes
  }

  /// Reads the header in `bytes`; `name` is the file, for messages.
  ///
  /// - Throws: `.damaged` for a wrong cookie or checksum, `.unsupported` for another version.
  package init(_ bytes: [UInt8], of name: String) throws(ImageError) {
    let parsed = bytes.withUnsafeBytes { try? Self.parse($0) }
    guard bytes.count == Self.size, let parsed, parsed.cookie == Self.cookie else {
      throw .damaged(name, "no dynamic header lies where its footer says")
    }
    guard parsed.stored == parsed.computed else {
      throw .damaged(
        name,
        "the checksum of the dynamic header is \(hexadecimal(parsed.stored)), "
          + "but its bytes give \(hexadecimal(parsed.computed))")
    }
    guard parsed.version == Self.version else {
      throw .unsupported(
        name,
        "its dynamic header is of version \(hexadecimal(parsed.version)), and only 1.0 "
          + "(\(hexadecimal(Self.version))) is known. Convert it with the program that made it.")
    }
    self = parsed.header
  }

  private struct Parsed {
    var cookie: UInt64
    var version: UInt32
    var stored: UInt32
    var computed: UInt32
    var header: VHDDynamicHeader
  }

  private static func parse(
    _ bytes: UnsafeRawBufferPointer
  ) throws(ByteReader.ShortInput) -> Parsed {
    var reader = ByteReader(bytes)
    let cookie: UInt64 = try reader.bigEndian()
    try reader.skip(8)
    let tableOffset: UInt64 = try reader.bigEndian()
    let version: UInt32 = try reader.bigEndian()
    let entryCount: UInt32 = try reader.bigEndian()
    let blockSize: UInt32 = try reader.bigEndian()
    let stored: UInt32 = try reader.bigEndian()
    try reader.skip(24)
    var header = VHDDynamicHeader(
      tableOffset: tableOffset, entryCount: entryCount, blockSize: blockSize)
    header.parentName = name(try reader.bytes(512))
    let computed = VHD.checksum(bytes, at: checksumOffset)
    return Parsed(
      cookie: cookie, version: version, stored: stored, computed: computed, header: header)
  }

  /// A parent's name: UTF-16, big-endian, up to the first zero.
  private static func name(_ bytes: UnsafeRawBufferPointer) -> String {
    var units: [UInt16] = []
    for index in stride(from: 0, to: bytes.count, by: 2) {
      let unit = UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1])
      if unit == 0 { break }
      units.append(unit)
    }
    return printable(String(decoding: units, as: UTF16.self))
  }
}
