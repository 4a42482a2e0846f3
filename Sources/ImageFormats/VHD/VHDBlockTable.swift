/// Where a dynamic VHD keeps its blocks: for each, the sector of its bitmap, or none.
package struct VHDBlockTable: Sendable {
  /// The sector at which each block begins; `VHD.absent` for a block of zeros.
  package private(set) var entries: [UInt32]
  /// Bytes of a block's data.
  package let blockSize: UInt64
  /// Bytes of the bitmap before the data: a bit a sector, rounded up to whole sectors.
  package let bitmapSize: UInt64

  /// The smallest block that is believed: a page.
  static let smallestBlock: UInt32 = 4096
  /// The largest block that is believed; the usual ones are 512 KiB and 2 MiB.
  static let largestBlock: UInt32 = 256 << 20
  /// The most entries that are kept in memory, 64 MiB of them.
  static let mostEntries: UInt64 = 16 << 20

  /// Bytes of the bitmap of a block of `blockSize` bytes.
  package static func bitmapSize(ofBlock blockSize: UInt64) -> UInt64 {
    let bytes = blockSize / VHD.sectorSize / 8
    return (bytes + VHD.sectorSize - 1) / VHD.sectorSize * VHD.sectorSize
  }

  /// The blocks of a disk of `size` bytes: rounded up, and not one more (Azure refuses more).
  package static func entryCount(size: UInt64, blockSize: UInt64) -> UInt64 {
    size / blockSize + (size % blockSize > 0 ? 1 : 0)
  }

  /// A table of `count` absent blocks.
  package init(absent count: Int, blockSize: UInt64) {
    entries = [UInt32](repeating: VHD.absent, count: count)
    self.blockSize = blockSize
    bitmapSize = Self.bitmapSize(ofBlock: blockSize)
  }

  /// Reads the entries in `bytes`, four bytes each.
  package init(_ bytes: [UInt8], blockSize: UInt64) {
    self.init(absent: bytes.count / 4, blockSize: blockSize)
    bytes.withUnsafeBytes { buffer in
      for index in 0..<entries.count {
        entries[index] = buffer.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self).bigEndian
      }
    }
  }

  /// The entries of `range` as bytes.
  package func encoded(_ range: Range<Int>) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: range.count * 4) { buffer, initialized in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      for (index, entry) in entries[range].enumerated() {
        raw.storeBytes(of: entry.bigEndian, toByteOffset: index * 4, as: UInt32.self)
      }
      initialized = range.count * 4
    }
  }

  /// Gives a block its place.
  package mutating func place(_ block: Int, atSector sector: UInt32) { entries[block] = sector }

  /// The byte at which a block's data begins; nil if the block is absent.
  @inline(__always)
  func dataOffset(of block: Int) -> UInt64? {
    let entry = entries[block]
    return entry == VHD.absent ? nil : UInt64(entry) * VHD.sectorSize + bitmapSize
  }

  /// Checks that all blocks lie in `room` and outside `reserved`, and no two of them in one place.
  ///
  /// Of the disk's last block only the part that belongs to the disk of `size` bytes must be there.
  /// - Throws: `.damaged`, naming the block and the file `name`.
  func validate(
    size: UInt64, room: Range<UInt64>, outside reserved: [Range<UInt64>], of name: String
  ) throws(ImageError) {
    var previous = room.lowerBound
    var isAscending = true
    for (block, entry) in entries.enumerated() where entry != VHD.absent {
      let start = UInt64(entry) * VHD.sectorSize
      let end = start + bitmapSize + length(of: block, size: size)
      guard start >= room.lowerBound, end <= room.upperBound else {
        throw .damaged(
          name,
          "entry \(block) of the block table places its block at bytes \(start) to \(end), but "
            + "blocks can only lie between \(room.lowerBound) and \(room.upperBound)")
      }
      for range in reserved where start < range.upperBound && end > range.lowerBound {
        throw .damaged(
          name,
          "entry \(block) of the block table places its block at bytes \(start) to \(end), over "
            + "the dynamic header or the block table itself")
      }
      if start < previous { isAscending = false }
      previous = end
    }
    if !isAscending { try refuseOverlaps(size: size, of: name) }
  }

  private func refuseOverlaps(size: UInt64, of name: String) throws(ImageError) {
    // Sector and block in one number, so that sorting moves eight bytes and compares once.
    var places: [UInt64] = []
    for (block, entry) in entries.enumerated() where entry != VHD.absent {
      places.append(UInt64(entry) << 32 | UInt64(block))
    }
    places.sort()
    for (left, right) in zip(places, places.dropFirst()) {
      let (block, next) = (Int(left & 0xFFFF_FFFF), Int(right & 0xFFFF_FFFF))
      let end = (left >> 32) * VHD.sectorSize + bitmapSize + length(of: block, size: size)
      guard end <= (right >> 32) * VHD.sectorSize else {
        throw .damaged(
          name, "entries \(block) and \(next) of the block table place their blocks over each other"
        )
      }
    }
  }

  private func length(of block: Int, size: UInt64) -> UInt64 {
    min(blockSize, size - min(size, UInt64(block) * blockSize))
  }
}
