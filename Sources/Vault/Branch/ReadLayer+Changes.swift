internal import Bytes

/// What a log says something of.
extension ReadLayer {
  /// The bytes of a disk that were written or zeroed in this log behind a number, in order and apart from each
  /// other; whole pages, up to `size`.
  func changedRanges(
    _ disk: DiskNumber, size: UInt64, after sequence: UInt64 = 0
  ) throws(VaultError) -> [Range<UInt64>] {
    var ranges: [Range<UInt64>] = []
    for run in runs {
      switch run {
      case .memory(let run): Self.add(run.entries, disk, after: sequence, to: &ranges)
      case .open(let index):
        Self.add(MemoryRun(index.entries).entries, disk, after: sequence, to: &ranges)
      case .file(let run):
        for part in run.partitions
        where part.description.holds(disk) && part.description.newest > sequence {
          for page in 0..<part.description.entryPages {
            Self.add(try part.entries(ofPage: page), disk, after: sequence, to: &ranges)
          }
        }
      }
    }
    return Self.merged(ranges, size)
  }

  /// Adds the pages of entries in order, those of a block together.
  private static func add(
    _ entries: [RunEntry], _ disk: DiskNumber, after sequence: UInt64,
    to ranges: inout [Range<UInt64>]
  ) {
    var block: (key: BlockKey, pages: UInt16)?
    for entry in entries where entry.key.disk == disk && entry.sequence > sequence {
      guard entry.key.level == 0 else {
        let blocks = entry.key.blocks
        ranges.append(
          blocks.lowerBound * UInt64(Layout.blockSize)..<blocks.upperBound
            * UInt64(Layout.blockSize))
        continue
      }
      if let known = block, known.key == entry.key {
        block?.pages |= entry.dataMask | entry.zeroMask
        continue
      }
      if let block { add(block.pages, of: block.key.index, to: &ranges) }
      block = (entry.key, entry.dataMask | entry.zeroMask)
    }
    if let block { add(block.pages, of: block.key.index, to: &ranges) }
  }

  private static func add(_ pages: UInt16, of block: UInt64, to ranges: inout [Range<UInt64>]) {
    var left = UInt32(pages)
    while left != 0 {
      let first = left.trailingZeroBitCount
      let count = (~(left >> UInt32(first))).trailingZeroBitCount
      let start = block * UInt64(Layout.blockSize) + UInt64(first * Layout.pageSize)
      ranges.append(start..<start + UInt64(count * Layout.pageSize))
      left &= ~(((1 << UInt32(count)) - 1) << UInt32(first))
    }
  }

  private static func merged(_ ranges: [Range<UInt64>], _ size: UInt64) -> [Range<UInt64>] {
    var merged: [Range<UInt64>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      let range = range.clamped(to: 0..<size)
      guard !range.isEmpty else { continue }
      if let last = merged.last, range.lowerBound <= last.upperBound {
        merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    return merged
  }
}

extension RunDescription {
  /// Whether some entry may be of a disk.
  fileprivate func holds(_ disk: DiskNumber) -> Bool {
    firstKey.disk <= disk && disk <= lastKey.disk
  }
}
