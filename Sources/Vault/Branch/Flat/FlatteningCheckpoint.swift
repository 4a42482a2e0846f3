internal import Bytes
internal import FileIO

/// How far the copy of a branch to plain files is: everything in front of the cursor is as it was at `sequence`.
///
/// File `flatten.state`, 64 bytes, little endian: magic "TMFC" (32 bit), version (32), branch, sequence number
/// (64), place of the disk in the branch (64), byte of that disk (64), zeros, checksum of what comes before (32),
/// seeded with vault and machine. One that does not read, or does not fit, means that the copy starts again.
///
/// Protocol: it is replaced in one step, behind an fdatasync of the plain files, and of the log up to `sequence`.
/// Its being there says that the copy is wanted.
struct FlatteningCheckpoint: Equatable {
  static let fileName = "flatten.state"
  private static let magic: UInt32 = 0x4346_4D54
  private static let version: UInt32 = 1
  private static let length = 64

  /// A place in the disks of a branch, one behind the other.
  struct Cursor: Equatable {
    var disk = 0
    var offset: UInt64 = 0
  }

  var sequence: UInt64 = 0
  var cursor = Cursor()

  func encode(_ branch: Identifier, _ identity: LogIdentity) -> [UInt8] {
    var writer = ByteWriter(capacity: Self.length)
    writer.integer(Self.magic)
    writer.integer(Self.version)
    writer.identifier(branch)
    writer.integer(sequence)
    writer.integer(UInt64(cursor.disk))
    writer.integer(cursor.offset)
    writer.zeros(Self.length - 4 - writer.bytes.count)
    writer.integer(writer.bytes.withUnsafeBytes { Checksum.of($0, seed: identity.seed) })
    return writer.bytes
  }

  init() {}

  /// Nil for what is not the checkpoint of this branch, or was not written whole.
  init?(_ bytes: [UInt8], _ branch: Identifier, _ identity: LogIdentity) {
    guard bytes.count == Self.length else { return nil }
    let found = bytes.withUnsafeBytes { buffer -> FlatteningCheckpoint? in
      var reader = ByteReader(buffer)
      var checkpoint = FlatteningCheckpoint()
      do throws(ByteReader.ShortInput) {
        try reader.skip(24)
        checkpoint.sequence = try reader.integer()
        checkpoint.cursor.disk = Int(clamping: try reader.integer(UInt64.self))
        checkpoint.cursor.offset = try reader.integer()
      } catch { return nil }
      return checkpoint
    }
    // What is written for these values is all that may be there.
    guard let found, found.encode(branch, identity) == bytes else { return nil }
    self = found
  }
}

extension LogPlace {
  var wantsFlat: Bool { system.exists(directory + "/" + FlatteningCheckpoint.fileName) }

  /// How far a copy was that broke off; nil if there is nothing to go on from.
  func flatteningCheckpoint(of branch: BranchDescription) -> FlatteningCheckpoint? {
    let path = directory + "/" + FlatteningCheckpoint.fileName
    guard let bytes = try? system.readFile(path, limit: 4096),
      let found = FlatteningCheckpoint(bytes, branch.id, identity),
      found.cursor.disk <= branch.disks.count
    else { return nil }
    let size = found.cursor.disk < branch.disks.count ? branch.disks[found.cursor.disk].size : 0
    return found.cursor.offset <= size ? found : nil
  }

  func replace(
    _ checkpoint: FlatteningCheckpoint, of branch: BranchDescription
  ) throws(VaultError) {
    try translated { () throws(IOError) in
      try system.replaceFile(
        directory + "/" + FlatteningCheckpoint.fileName,
        with: checkpoint.encode(branch.id, identity), permissions: permissions.file)
    }
  }
}
