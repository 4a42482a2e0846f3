internal import Bytes
internal import Codecs

#if _endian(big)
  #error("index pages are read in place and are little-endian")
#endif

/// Where one record's pages lie: 40 bytes, the same in memory and in an index page.
///
/// Entries are ordered by key ascending, then by sequence number descending, so that the newest
/// entry not newer than a cut is the first one found.
struct RunEntry: Equatable, Sendable {
  /// The flag of entries that stand in for a record lost to damage.
  static let damaged: UInt8 = 0x80

  var key: BlockKey
  var sequence: UInt64
  var segment: UInt32
  /// Of the record's header, in the segment.
  var offset: UInt32
  var dataMask: UInt16
  var zeroMask: UInt16
  var cellLengths: CellLengths
  var codec: UInt8
  var flags: UInt8
  var keyID: UInt16

  /// Whether this entry comes before the place of (`key`, `sequence`) in the order.
  @inline(__always)
  func precedes(_ key: BlockKey, _ sequence: UInt64) -> Bool {
    self.key.rawValue < key.rawValue || (self.key == key && self.sequence > sequence)
  }
}

/// What an index is sorted by: disk, level and block in one number.
///
/// Level 0 is the blocks that data records hold. Level n + 1 is stretches of 2ⁿ blocks that became
/// zeros, cut at multiples of their length: of every level at most one stretch covers a block, so
/// finding the newest zero over a block takes one look-up a level, however long the discards were.
struct BlockKey: Hashable, Sendable {
  var rawValue: UInt64

  @inline(__always)
  init(rawValue: UInt64) { self.rawValue = rawValue }

  @inline(__always)
  init(disk: DiskNumber, level: Int = 0, index: UInt64) {
    rawValue = UInt64(disk) << 48 | UInt64(level) << 40 | index
  }

  var disk: DiskNumber { DiskNumber(rawValue >> 48) }
  var level: Int { Int(rawValue >> 40 & 0xFF) }
  var index: UInt64 { rawValue & 0xFF_FFFF_FFFF }

  /// The blocks the key stands for.
  var blocks: Range<UInt64> {
    let shift = UInt64(max(0, level - 1))
    return index << shift..<(index + 1) << shift
  }

  /// The stretch that covers every block a disk can have.
  static func everything(of disk: DiskNumber) -> BlockKey {
    BlockKey(disk: disk, level: 33, index: 0)
  }

  /// The keys of the stretches that `count` zeroed blocks are cut into, at most 2 · log₂(count).
  static func zeros(disk: DiskNumber, first: UInt64, count: UInt64) -> [BlockKey] {
    var keys: [BlockKey] = []
    var block = first
    let end = first + count
    while block < end {
      let fit = (end - block).leadingZeroBitCount ^ 63
      let shift = block == 0 ? fit : min(fit, block.trailingZeroBitCount)
      keys.append(BlockKey(disk: disk, level: shift + 1, index: block >> UInt64(shift)))
      block += 1 << UInt64(shift)
    }
    return keys
  }
}

extension RunEntry {
  /// The entries of an intact data or zero record; none for a mark or sync.
  static func entries(
    of header: RecordHeader, segment: UInt32, offset: UInt64, into entries: inout [RunEntry]
  ) {
    var entry = RunEntry(
      key: BlockKey(disk: DiskNumber(truncatingIfNeeded: header.disk), index: header.block),
      sequence: header.sequence.rawValue, segment: segment, offset: UInt32(offset),
      dataMask: header.dataMask, zeroMask: header.zeroMask, cellLengths: header.cellLengths,
      codec: header.codec.rawValue, flags: 0, keyID: UInt16(truncatingIfNeeded: header.keyID))
    switch header.type {
    case .data: entries.append(entry)
    case .zero:
      (entry.dataMask, entry.zeroMask) = (0, .max)
      let keys = BlockKey.zeros(
        disk: entry.key.disk, first: header.block, count: header.blockCount)
      for key in keys {
        entry.key = key
        entries.append(entry)
      }
    case .mark, .sync: break
    }
  }
}
