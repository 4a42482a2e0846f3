internal import Bytes

/// Cutting writes of any alignment into pages and blocks.
extension BranchWriter {
  private static let page = UInt64(Layout.pageSize)
  private static let block = UInt64(Layout.blockSize)

  /// Stages the bytes: whole pages as they are, the rest with what its pages held.
  func write(
    _ disk: BranchView, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(VaultError) {
    var position = offset
    let end = offset + UInt64(bytes.count)
    while position < end {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[Int(position - offset)...])
      let next: UInt64
      if position % Self.page != 0 || end - position < Self.page {
        next = min(end, (position / Self.page + 1) * Self.page)
        let part = UnsafeRawBufferPointer(rebasing: rest[..<Int(next - position)])
        try change(disk, position..<next) { $0.copyMemory(from: part) }
      } else {
        next = min(end / Self.page * Self.page, (position / Self.block + 1) * Self.block)
        let first = Int(position % Self.block / Self.page)
        let count = Int((next - position) / Self.page)
        try stage(
          disk, block: position / Self.block, pages: Self.mask(first, count),
          UnsafeRawBufferPointer(rebasing: rest[..<Int(next - position)]), from: first)
      }
      position = next
    }
  }

  /// Stages zeros: whole blocks as one record, whatever their number.
  func zero(_ disk: BranchView, _ range: Range<UInt64>) throws(VaultError) {
    // What lies behind the end of the disk is zeros already.
    let end =
      range.upperBound == disk.size
      ? (range.upperBound + Self.block - 1) / Self.block * Self.block : range.upperBound
    var position = range.lowerBound
    while position < range.upperBound {
      let next: UInt64
      if position % Self.page != 0 || end - position < Self.page {
        next = min(end, (position / Self.page + 1) * Self.page)
        try change(disk, position..<min(next, disk.size)) { part in
          part.initializeMemory(as: UInt8.self, repeating: 0)
        }
      } else if position % Self.block != 0 || end - position < Self.block {
        next = min(end / Self.page * Self.page, (position / Self.block + 1) * Self.block)
        let first = Int(position % Self.block / Self.page)
        let count = Int((next - position) / Self.page)
        try stage(disk, block: position / Self.block, zeros: Self.mask(first, count))
      } else {
        next = end / Self.block * Self.block
        try stage(disk, zeroed: position / Self.block..<next / Self.block)
      }
      position = next
    }
  }

  /// Stages one page of which a part changes.
  private func change(
    _ disk: BranchView, _ range: Range<UInt64>, _ body: (UnsafeMutableRawBufferPointer) -> Void
  ) throws(VaultError) {
    // What is staged is not read yet, and may be of this page.
    try settle()
    let start = range.lowerBound / Self.page * Self.page
    let held = Int(min(Self.page, disk.size - start))
    page.initializeMemory(as: UInt8.self, repeating: 0)
    if UInt64(range.count) < UInt64(held) {
      try disk.readPages(
        into: UnsafeMutableRawBufferPointer(rebasing: page[..<held]), at: start)
    }
    let first = Int(range.lowerBound - start)
    body(UnsafeMutableRawBufferPointer(rebasing: page[first..<first + range.count]))
    let place = Int(start % Self.block / Self.page)
    try stage(
      disk, block: start / Self.block, pages: Self.mask(place, 1),
      UnsafeRawBufferPointer(page), from: place)
  }

  private static func mask(_ first: Int, _ count: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: (1 << (first + count)) - (1 << first))
  }
}
