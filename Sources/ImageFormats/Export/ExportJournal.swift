internal import Bytes
internal import FileIO

/// How far an export durably got, kept beside its output so that it can go on after a kill.
///
/// The file, little-endian: `TMEXPORT`, version (u32), the description's length (u32) and bytes,
/// position (u64), blocks (u64), CRC32C of all before (u32). It is replaced, never changed.
struct ExportJournal: Hashable, Sendable {
  private static let magic = Array("TMEXPORT".utf8)
  private static let version: UInt32 = 1
  /// No journal is longer; a longer file is none of ours.
  private static let limit = 1 << 16

  /// Everything that decides the bytes of the output; another export has another one.
  var description: [UInt8]
  /// The disk's bytes before this one are in the output, durably.
  var position: UInt64
  /// How many blocks they fill, in a dynamic VHD.
  var blocks: UInt64

  func encoded() -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.append(contentsOf: Self.magic)
    writer.integer(Self.version)
    writer.integer(UInt32(description.count))
    writer.append(contentsOf: description)
    writer.integer(position)
    writer.integer(blocks)
    writer.integer(writer.bytes.withUnsafeBytes { Checksum.of($0) })
    return writer.bytes
  }

  /// Reads what `encoded` gave; nil if the bytes are anything else.
  init?(_ bytes: [UInt8]) {
    guard let journal = bytes.withUnsafeBytes({ try? Self(parsing: $0) }) ?? nil
    else { return nil }
    self = journal
  }

  init(description: [UInt8], position: UInt64, blocks: UInt64) {
    (self.description, self.position, self.blocks) = (description, position, blocks)
  }

  private init?(parsing bytes: UnsafeRawBufferPointer) throws(ByteReader.ShortInput) {
    var reader = ByteReader(bytes)
    guard try reader.bytes(Self.magic.count).elementsEqual(Self.magic),
      try reader.integer(UInt32.self) == Self.version
    else { return nil }
    description = Array(try reader.bytes(Int(try reader.integer(UInt32.self))))
    position = try reader.integer()
    blocks = try reader.integer()
    let covered = UnsafeRawBufferPointer(rebasing: bytes[..<reader.position])
    guard try reader.integer() == Checksum.of(covered), reader.remaining == 0 else { return nil }
  }

  /// The journal at `path`; nil if there is none that can be believed.
  static func load(_ path: String, on system: FileSystem) -> ExportJournal? {
    guard let bytes = try? system.readFile(path, limit: limit) else { return nil }
    return ExportJournal(bytes)
  }

  /// Replaces the journal at `path`; durable when it returns.
  func save(_ path: String, on system: FileSystem) throws(IOError) {
    try system.replaceFile(path, with: encoded(), permissions: 0o600)
  }

  /// Removes the journal at `path`, durably, and what a crash left of a replacement.
  static func remove(_ path: String, on system: FileSystem) throws(IOError) {
    for file in [path, path + ".new"] {
      do throws(IOError) { try system.remove(file) } catch {
        guard error.isMissing else { throw error }
      }
    }
    try system.syncDirectory(FileSystem.parent(of: path))
  }
}
