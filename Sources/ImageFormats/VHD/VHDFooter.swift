package import Bytes

/// The 512 bytes at the end of every VHD, and in a dynamic one also at its start.
package struct VHDFooter: Hashable, Sendable {
  /// Bytes of an encoded footer.
  package static let size = 512
  /// Where the checksum lies.
  static let checksumOffset = 64
  /// `conectix`, the first eight bytes.
  package static let cookie: UInt64 = 0x636F_6E65_6374_6978
  /// The only version there is, 1.0.
  package static let version: UInt32 = 0x0001_0000
  /// The data offset of a fixed VHD: none.
  package static let noOffset = UInt64.max

  /// How a VHD keeps its disk.
  package enum Kind: UInt32, Sendable {
    /// Every byte, in order.
    case fixed = 2
    /// Blocks that hold anything.
    case dynamic = 3
    /// Sectors that differ from those of another VHD.
    case differencing = 4
  }

  /// Bit 1 is always set; bit 0 marks a temporary disk.
  package var features: UInt32 = 2
  /// The byte at which the dynamic header lies; `noOffset` in a fixed VHD.
  package var dataOffset: UInt64
  /// When the VHD was made, in seconds since 2000.
  package var timestamp: UInt32
  /// Which program made it, four characters.
  package var creator: UInt32
  /// That program's version, two 16-bit numbers.
  package var creatorVersion: UInt32
  /// The system it ran on, four characters.
  package var creatorSystem: UInt32
  /// Bytes of the disk when it was made.
  package var originalSize: UInt64
  /// Bytes of the disk now.
  package var currentSize: UInt64
  /// The geometry it claims.
  package var geometry: VHDGeometry
  /// The kind, as it is written; see `kind`.
  package var type: UInt32
  /// The image's own id.
  package var identifier: Identifier
  /// 1 if a virtual machine was suspended on it.
  package var savedState: UInt8 = 0

  /// The kind; nil for one that the specification does not have.
  package var kind: Kind? { Kind(rawValue: type) }

  /// The footer of an image made here.
  ///
  /// The creator is Hyper-V's, `win ` 6.3: then QEMU takes the current size, as libvhdi and Azure
  /// always do. Of an unknown creator QEMU before 10 takes what the geometry covers, which is less.
  package init(kind: Kind, diskSize: UInt64, identifier: Identifier, created: Timestamp) {
    dataOffset = kind == .fixed ? Self.noOffset : UInt64(Self.size)
    timestamp = VHD.time(created)
    creator = 0x7769_6E20
    creatorVersion = 0x0006_0003
    creatorSystem = 0x5769_326B
    originalSize = diskSize
    currentSize = diskSize
    geometry = VHDGeometry(sectors: diskSize / VHD.sectorSize)
    type = kind.rawValue
    self.identifier = identifier
  }

  /// The footer as its 512 bytes, with the checksum.
  package func encoded() -> [UInt8] {
    var writer = ByteWriter(capacity: Self.size)
    writer.bigEndian(Self.cookie)
    writer.bigEndian(features)
    writer.bigEndian(Self.version)
    writer.bigEndian(dataOffset)
    writer.bigEndian(timestamp)
    writer.bigEndian(creator)
    writer.bigEndian(creatorVersion)
    writer.bigEndian(creatorSystem)
    writer.bigEndian(originalSize)
    writer.bigEndian(currentSize)
    writer.bigEndian(geometry.cylinders)
    writer.bigEndian(geometry.heads)
    writer.bigEndian(geometry.sectorsPerTrack)
    writer.bigEndian(type)
    writer.bigEndian(UInt32(0))
    writer.identifier(identifier)
    writer.bigEndian(savedState)
    writer.pad(to: Self.size)
    let checksum = writer.bytes.withUnsafeBytes { VHD.checksum($0, at: Self.checksumOffset) }
    writer.replace(at: Self.checksumOffset, with: checksum.byteSwapped)
    return writer.bytes
  }

  /// Whether `bytes` begin as a footer does.
  package static func isCookie(_ bytes: [UInt8]) -> Bool {
    bytes.starts(with: [0x63, 0x6F, 0x6E, 0x65, 0x63, 0x74, 0x69, 0x78])
  }

  /// Reads the footer in `bytes`; 511 bytes, as Virtual PC before 2004 wrote them, will do.
  ///
  /// `name` and `place` go into messages: the file, and where in it the bytes were.
  /// - Throws: `.notAnImage` without the cookie, `.damaged` for a wrong checksum, `.unsupported` if
  ///   it is of another version.
  package init(_ bytes: [UInt8], of name: String, at place: String) throws(ImageError) {
    var whole = bytes
    if whole.count == Self.size - 1 { whole.append(0) }
    guard whole.count == Self.size, Self.isCookie(whole) else {
      throw ImageError(
        .notAnImage, "Cannot read the image '\(name)': no VHD footer lies at \(place).")
    }
    let (stored, computed, fields) = whole.withUnsafeBytes { buffer in
      (
        buffer.loadUnaligned(fromByteOffset: Self.checksumOffset, as: UInt32.self).bigEndian,
        VHD.checksum(buffer, at: Self.checksumOffset), try? Self(fields: buffer)
      )
    }
    guard stored == computed, let fields else {
      throw .damaged(
        name,
        "the checksum of the footer at \(place) is \(hexadecimal(stored)), "
          + "but its bytes give \(hexadecimal(computed))")
    }
    let version = whole[12..<16].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard version == Self.version else {
      throw .unsupported(
        name,
        "its VHD version is \(hexadecimal(version)), and only 1.0 (\(hexadecimal(Self.version))) "
          + "is known. Convert it with the program that made it.")
    }
    self = fields
  }

  private init(fields bytes: UnsafeRawBufferPointer) throws(ByteReader.ShortInput) {
    var reader = ByteReader(bytes)
    try reader.skip(8)
    features = try reader.bigEndian()
    try reader.skip(4)
    dataOffset = try reader.bigEndian()
    timestamp = try reader.bigEndian()
    creator = try reader.bigEndian()
    creatorVersion = try reader.bigEndian()
    creatorSystem = try reader.bigEndian()
    originalSize = try reader.bigEndian()
    currentSize = try reader.bigEndian()
    geometry = VHDGeometry(
      cylinders: try reader.bigEndian(), heads: try reader.bigEndian(),
      sectorsPerTrack: try reader.bigEndian())
    type = try reader.bigEndian()
    try reader.skip(4)
    identifier = try reader.identifier()
    savedState = try reader.bigEndian()
  }
}
