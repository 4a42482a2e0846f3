internal import Bytes

/// Which file of a machine's log.
struct LogFileName: Hashable, Sendable, CustomStringConvertible {
  enum Kind: UInt8, Sendable {
    case segment = 1
    case run = 2
  }

  var kind: Kind
  var number: UInt32

  var description: String { "\(number)." + (kind == .segment ? "seg" : "run") }

  /// Reads a file name of a log; nil if it is no such name.
  init?(_ name: String) {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, let number = UInt32(parts[0]), String(number) == parts[0]
    else { return nil }
    switch parts[1] {
    case "seg": self.init(.segment, number)
    case "run": self.init(.run, number)
    default: return nil
    }
  }

  init(_ kind: Kind, _ number: UInt32) {
    self.kind = kind
    self.number = number
  }
}

/// Where a run lies and what it covers: what the MANIFEST and the run's own trailer say of it.
///
/// A run is entry pages, then fence pages over them, then one root page over those, then the trailer
/// page; `base` is the first page's offset.
struct RunDescription: Hashable, Sendable {
  var file: LogFileName
  var base: UInt64
  var entryPages: UInt32
  var fencePages: UInt32
  var entryCount: UInt64
  /// Bit n: there are zeroed stretches of level n.
  var levels: UInt64
  /// The oldest and newest sequence number of an entry.
  var oldest: UInt64
  var newest: UInt64
  var firstKey: BlockKey
  var lastKey: BlockKey

  static let encodedSize = 72

  /// The index of the root page.
  var rootPage: UInt32 { entryPages + fencePages }
  /// The offset behind the run and its trailer.
  var end: UInt64 { base + (UInt64(rootPage) + 2) * UInt64(Format.indexPageSize) }

  /// The seed of its pages' checksums.
  func seed(_ identity: LogIdentity) -> UInt32 {
    var checksum = Checksum(seed: identity.seed)
    checksum.add(UInt64(file.number) | UInt64(file.kind.rawValue) << 32)
    return checksum.value
  }

  func encode(into writer: inout ByteWriter) {
    writer.integer(UInt32(file.kind.rawValue))
    writer.integer(file.number)
    writer.integer(base)
    writer.integer(entryPages)
    writer.integer(fencePages)
    writer.integer(entryCount)
    writer.integer(levels)
    writer.integer(oldest)
    writer.integer(newest)
    writer.integer(firstKey.rawValue)
    writer.integer(lastKey.rawValue)
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    let kind = LogFileName.Kind(
      rawValue: UInt8(truncatingIfNeeded: try reader.integer(UInt32.self)))
    guard let kind else { throw ByteReader.ShortInput() }
    file = LogFileName(kind, try reader.integer())
    base = try reader.integer()
    entryPages = try reader.integer()
    fencePages = try reader.integer()
    entryCount = try reader.integer()
    levels = try reader.integer()
    oldest = try reader.integer()
    newest = try reader.integer()
    firstKey = BlockKey(rawValue: try reader.integer())
    lastKey = BlockKey(rawValue: try reader.integer())
    // Each level is exactly as large as the one below demands.
    let perPage = UInt64(Format.entriesPerPage)
    guard base % 8 == 0, base < 1 << 40, entryPages > 0, entryCount <= 1 << 24,
      UInt64(entryPages) == (entryCount + perPage - 1) / perPage,
      UInt64(fencePages) == (UInt64(entryPages) + perPage - 1) / perPage,
      fencePages <= UInt32(perPage)
    else { throw ByteReader.ShortInput() }
  }

  init(
    file: LogFileName, base: UInt64, entryPages: UInt32, fencePages: UInt32, entryCount: UInt64,
    levels: UInt64, oldest: UInt64, newest: UInt64, firstKey: BlockKey, lastKey: BlockKey
  ) {
    (self.file, self.base, self.entryPages, self.fencePages) = (file, base, entryPages, fencePages)
    (self.entryCount, self.levels, self.oldest) = (entryCount, levels, oldest)
    (self.newest, self.firstKey, self.lastKey) = (newest, firstKey, lastKey)
  }
}
