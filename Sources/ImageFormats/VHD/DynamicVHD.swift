internal import Bytes
internal import FileIO

/// The layout of a dynamic VHD that is written from start to end: blocks in the disk's order.
///
/// The data of a block begins at a multiple of 4 KiB of the file, so that what is zero there can be
/// a hole, and behind a gap of 3.5 KiB and a bitmap of one sector. All bits of a bitmap are set: a
/// sector that is not written is zeros anyway, and some readers ignore bitmaps or misread them.
struct DynamicVHD: OutputLayout {
  /// Bytes of a block, the size that every program uses.
  static let blockSize: UInt64 = 2 << 20
  private static let page: UInt64 = 4096
  /// From the data of a block to that of the next.
  private static let stride = page + blockSize
  private static let tableOffset = UInt64(VHDFooter.size + VHDDynamicHeader.size)

  let paddedSize: UInt64
  private let footer: [UInt8]
  private var table: VHDBlockTable
  /// How many blocks have a place.
  private var count = 0
  /// Entries before this one are in the file as they are here.
  private var settled = 0
  /// Entries from this one on have not been changed.
  private var reached = 0

  /// Lays out a disk of `diskSize` bytes.
  ///
  /// - Throws: `.invalidSize`, `.tooLarge` as a fixed VHD does.
  init(diskSize: UInt64, identifier: Identifier, created: Timestamp) throws(ImageError) {
    paddedSize = try VHD.paddedSize(of: diskSize)
    footer =
      VHDFooter(kind: .dynamic, diskSize: paddedSize, identifier: identifier, created: created)
      .encoded()
    let entries = VHDBlockTable.entryCount(size: paddedSize, blockSize: Self.blockSize)
    table = VHDBlockTable(absent: Int(entries), blockSize: Self.blockSize)
  }

  /// Bytes from the file's start to the end of its block table.
  private var tableEnd: UInt64 {
    let bytes = UInt64(table.entries.count) * 4
    return Self.tableOffset + (bytes + VHD.sectorSize - 1) / VHD.sectorSize * VHD.sectorSize
  }

  /// The byte at which the data of the block in a slot begins.
  private func dataOffset(ofSlot slot: Int) -> UInt64 {
    let first = (tableEnd + table.bitmapSize + Self.page - 1) / Self.page * Self.page
    return first + UInt64(slot) * Self.stride
  }

  /// Bytes before the footer, with so many blocks.
  private func end(withBlocks count: Int) -> UInt64 {
    count == 0 ? tableEnd : dataOffset(ofSlot: count - 1) + Self.blockSize
  }

  func begin(_ file: borrowing File) throws(IOError) {
    try file.truncate(to: 0)
    try clearTable(file, from: 0)
  }

  mutating func resume(
    _ file: borrowing File, at position: UInt64, blocks: Int
  ) throws(IOError) -> Bool {
    let known = Int(position / Self.blockSize)
    guard known <= table.entries.count, blocks <= known,
      try file.status().size >= end(withBlocks: blocks)
    else { return false }
    let bytes = try file.read(at: Self.tableOffset, count: known * 4)
    let written = VHDBlockTable(bytes, blockSize: Self.blockSize)
    for (block, entry) in written.entries.enumerated() where entry != VHD.absent {
      guard entry == sector(ofSlot: count) else { return false }
      table.place(block, atSector: entry)
      count += 1
    }
    guard count == blocks, written.entries.count == known else { return false }
    try file.truncate(to: end(withBlocks: count))
    try clearTable(file, from: known)
    (settled, reached) = (known, known)
    return true
  }

  private func sector(ofSlot slot: Int) -> UInt32 {
    UInt32((dataOffset(ofSlot: slot) - table.bitmapSize) / VHD.sectorSize)
  }

  mutating func place(of offset: UInt64, in file: borrowing File) throws(IOError) -> UInt64 {
    let block = Int(offset / Self.blockSize)
    if table.dataOffset(of: block) == nil {
      table.place(block, atSector: sector(ofSlot: count))
      count += 1
      reached = block + 1
      let data = dataOffset(ofSlot: count - 1)
      try file.truncate(to: data + Self.blockSize)
      try file.write(
        [UInt8](repeating: 0xFF, count: Int(table.bitmapSize)), at: data - table.bitmapSize)
    }
    return dataOffset(ofSlot: count - 1) + offset % Self.blockSize
  }

  mutating func settle(_ file: borrowing File, at position: UInt64) throws(IOError) -> Int {
    try writeTable(file, settled..<reached)
    settled = reached
    // The last block may have its place, but not all of its bytes.
    return UInt64(reached) * Self.blockSize > position ? count - 1 : count
  }

  mutating func finish(_ file: borrowing File) throws(IOError) {
    try writeTable(file, settled..<reached)
    let header = VHDDynamicHeader(
      tableOffset: Self.tableOffset, entryCount: UInt32(table.entries.count),
      blockSize: UInt32(Self.blockSize))
    try file.write(footer + header.encoded(), at: 0)
    try file.write(footer, at: end(withBlocks: count))
  }

  private func writeTable(_ file: borrowing File, _ range: Range<Int>) throws(IOError) {
    guard !range.isEmpty else { return }
    try file.write(table.encoded(range), at: Self.tableOffset + UInt64(range.lowerBound) * 4)
  }

  /// Makes all entries from `block` on absent, and what pads the table to a whole sector.
  private func clearTable(_ file: borrowing File, from block: Int) throws(IOError) {
    let start = Self.tableOffset + UInt64(block) * 4
    try file.write([UInt8](repeating: 0xFF, count: Int(tableEnd - start)), at: start)
  }
}
