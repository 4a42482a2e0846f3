public import Bytes
internal import Crypto
internal import Vault

/// The digest of a block or page as of a sequence number: SHA-256 of a salt and the bytes, cut to 16.
///
/// The salt is the asker's, new for each session, so that nobody can prepare bytes that collide.
public struct ContentDigest: Hashable, Sendable {
  /// Bytes of a digest.
  public static let size = 16
  /// Bytes of a salt.
  public static let saltSize = 16

  /// The first half of the digest.
  public var high: UInt64
  /// The second half.
  public var low: UInt64

  /// Digests bytes.
  public init(of bytes: UnsafeRawBufferPointer, salt: [UInt8]) {
    var hash = SHA256()
    hash.update(data: salt)
    hash.update(bufferPointer: bytes)
    (high, low) = hash.finalize().withUnsafeBytes {
      ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    (high, low) = (try reader.integer(), try reader.integer())
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(high)
    writer.integer(low)
  }
}

/// Asks for the digests of blocks that follow each other.
public struct BlockQuery: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.blockQuery
  /// Blocks in a query at the most: 256 MiB of disk.
  public static let limit = 4096

  /// The disk.
  public var disk: DiskNumber
  /// Its size for the asker: blocks reach to its end, behind which everything is zeros.
  public var size: UInt64
  /// The blocks.
  public var blocks: Range<UInt64>
  /// What the digests are salted with.
  public var salt: [UInt8]

  /// Puts the message together.
  public init(disk: DiskNumber, size: UInt64, blocks: Range<UInt64>, salt: [UInt8]) {
    (self.disk, self.size, self.blocks, self.salt) = (disk, size, blocks, salt)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    disk = try reader.integer()
    size = try reader.integer()
    let (first, count) = (try reader.integer(UInt64.self), try reader.integer(UInt32.self))
    guard count <= Self.limit, first < 1 << 32, size <= Layout.largestDisk else {
      throw ByteReader.ShortInput()
    }
    blocks = first..<first + UInt64(count)
    salt = Array(try reader.bytes(ContentDigest.saltSize))
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(disk)
    writer.integer(size)
    writer.integer(blocks.lowerBound)
    writer.integer(UInt32(blocks.count))
    writer.append(contentsOf: salt)
  }
}

/// Asks for the digests of each page of some blocks.
public struct PageQuery: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.pageQuery
  /// Blocks in a query at the most.
  public static let limit = 256

  /// The disk.
  public var disk: DiskNumber
  /// Its size for the asker.
  public var size: UInt64
  /// The blocks, each with 16 digests in the answer.
  public var blocks: [UInt64]
  /// What the digests are salted with.
  public var salt: [UInt8]

  /// Puts the message together.
  public init(disk: DiskNumber, size: UInt64, blocks: [UInt64], salt: [UInt8]) {
    (self.disk, self.size, self.blocks, self.salt) = (disk, size, blocks, salt)
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    disk = try reader.integer()
    size = try reader.integer()
    guard size <= Layout.largestDisk else { throw ByteReader.ShortInput() }
    blocks = try reader.list(limit: Self.limit) { reader throws(ByteReader.ShortInput) in
      let block = try reader.integer(UInt64.self)
      guard block < 1 << 32 else { throw ByteReader.ShortInput() }
      return block
    }
    salt = Array(try reader.bytes(ContentDigest.saltSize))
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(disk)
    writer.integer(size)
    writer.list(blocks) { $0.integer($1) }
    writer.append(contentsOf: salt)
  }
}

/// The answer to the oldest query that has none yet.
public struct Digests: Message, Hashable {
  /// Travels in a frame of this type.
  public static let type = MessageType.digests

  /// The number they are as of: everything up to it is in them, and nothing later.
  public var sequence: SequenceNumber
  /// One for each block or page, in the order of the query; nil where the vault has damage.
  public var digests: [ContentDigest?]

  /// Puts the message together.
  public init(sequence: SequenceNumber, digests: [ContentDigest?]) {
    (self.sequence, self.digests) = (sequence, digests)
  }

  /// Bytes that the digests take on their way.
  public var cost: Int { digests.reduce(0) { $0 + ($1 == nil ? 1 : 1 + ContentDigest.size) } }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    sequence = SequenceNumber(rawValue: try reader.integer())
    digests = try reader.list(limit: 1 << 13) { reader throws(ByteReader.ShortInput) in
      try reader.flag() ? try ContentDigest(from: &reader) : nil
    }
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(sequence.rawValue)
    writer.list(digests) { writer, digest in
      writer.flag(digest != nil)
      digest?.encode(into: &writer)
    }
  }
}
