internal import Bytes
internal import FileIO

/// The MANIFEST of one machine as it lies on disk: a header, then entries in transactions.
///
/// Header, 64 bytes: magic "TMMF", version (32 bit), vault, machine, zeros, checksum.
/// Entry: length with padding to 8 (32 bit), payload length (32), type (16), flags (16), magic "TME1",
/// generation (64), checksum (32), zeros (32), payload. The checksum is seeded with vault, machine and
/// the entry's offset. Flag 1 ends a transaction: entries without one after them do not count. Flag 2
/// lets a reader pass over a type it does not know.
///
/// Durability: a transaction is one write and one fdatasync, durable when `ManifestWriter.append`
/// returns. A crash in between leaves a tail that is cut by the next writer and ignored by readers.
struct Manifest: Sendable {
  static let fileName = "MANIFEST"
  /// A copy of the first transaction of a branch's MANIFEST, which nothing else tells.
  static let firstName = "MANIFEST.first"
  static let magic: UInt32 = 0x464D_4D54
  static let entryMagic: UInt32 = 0x3145_4D54
  static let headerSize = 64
  static let entryHeaderSize = 32
  static let endsTransaction: UInt16 = 1
  static let mayBeIgnored: UInt16 = 2

  var state = ManifestState()
  /// Bytes that count; what follows is a tail.
  var length: UInt64 = 0
  /// The checksum of the bytes that count.
  var checksum: UInt32 = 0
  /// Bytes in the file behind `length`.
  var tail: UInt64 = 0
  /// Single flipped bits that were repaired in memory: their offsets' entries.
  var repaired: [UInt64] = []

  static func header(_ identity: LogIdentity) -> [UInt8] {
    var writer = ByteWriter(capacity: headerSize)
    writer.integer(magic)
    writer.integer(UInt32(Format.version))
    writer.identifier(identity.vault)
    writer.identifier(identity.machine)
    writer.zeros(headerSize - 4 - writer.bytes.count)
    writer.integer(writer.bytes.withUnsafeBytes { Checksum.of($0, seed: identity.seed) })
    return writer.bytes
  }

  static func encode(
    _ entry: ManifestEntry, flags: UInt16, generation: UInt64, at offset: UInt64,
    identity: LogIdentity
  ) -> [UInt8] {
    let payload = entry.encode()
    var writer = ByteWriter(capacity: entryHeaderSize + payload.count + 8)
    writer.integer(UInt32((entryHeaderSize + payload.count + 7) & ~7))
    writer.integer(UInt32(payload.count))
    writer.integer(entry.type)
    writer.integer(flags)
    writer.integer(entryMagic)
    writer.integer(generation)
    writer.integer(UInt64(0))
    writer.append(contentsOf: payload)
    writer.pad(to: 8)
    let checksum = writer.bytes.withUnsafeBytes { Self.checksum($0, at: offset, identity) }
    writer.replace(at: 24, with: checksum)
    return writer.bytes
  }

  /// The checksum of an entry, its own field left out.
  static func checksum(
    _ entry: UnsafeRawBufferPointer, at offset: UInt64, _ identity: LogIdentity
  ) -> UInt32 {
    var checksum = Checksum(seed: identity.seed)
    checksum.add(offset)
    checksum.add(UnsafeRawBufferPointer(rebasing: entry[..<24]))
    checksum.add(UnsafeRawBufferPointer(rebasing: entry[28...]))
    return checksum.value
  }
}
