internal import Bytes
internal import Vault

/// Stores what differs between the pages of a source and the vault's replica of them.
///
/// Records go up the disk without exception: that is what lets an interrupted cycle go on behind the
/// last one.
struct BlockComparer: ~Copyable {
  private let disk: DiskNumber
  private let size: UInt64
  private let replica: any Replica
  private let target: any CaptureTarget
  /// Blocks found to be zeros now that are still to be stored as one record.
  private var zeros: Range<UInt64> = 0..<0

  /// Bytes compared so far.
  private(set) var examined: UInt64 = 0
  /// Bytes of pages that differed.
  private(set) var changed: UInt64 = 0

  init(disk: DiskNumber, size: UInt64, replica: any Replica, target: any CaptureTarget) {
    (self.disk, self.size, self.replica, self.target) = (disk, size, replica, target)
  }

  /// Compares the pages that were read into a window.
  mutating func compare(_ window: Window) throws(CaptureError) {
    let differing = try replica.differing(window)
    for block in 0..<Window.blocks where window.pages[block] != 0 {
      examined += UInt64(window.pages[block].nonzeroBitCount * Layout.pageSize)
      if differing[block] != 0 { try store(differing[block], block, of: window) }
    }
  }

  /// Stores that `blocks`, a hole of the source, are zeros, unless the replica has no data there.
  mutating func compare(hole blocks: Range<UInt64>) throws(CaptureError) {
    let block = UInt64(Layout.blockSize)
    let bytes = blocks.lowerBound * block..<min(size, blocks.upperBound * block)
    examined += UInt64(bytes.count)
    guard let data = try replica.firstData(in: bytes) else { return }
    let first = data / block
    changed += bytes.upperBound - first * block
    try addZeros(first..<blocks.upperBound)
  }

  /// Stores what is still held back.
  mutating func finish() throws(CaptureError) { try addZeros(0..<0) }

  private mutating func store(
    _ differing: UInt16, _ block: Int, of window: Window
  ) throws(CaptureError) {
    changed += UInt64(differing.nonzeroBitCount * Layout.pageSize)
    let (pages, source) = (window.pages[block], window.block(block))
    let start = window.start(of: block)
    let number = start / UInt64(Layout.blockSize)
    if pages == Self.allPages(of: start, size: size), Self.isZero(source, pages) {
      return try addZeros(number..<number + 1)
    }
    try addZeros(0..<0)
    try target.write(disk: disk, block: number, bytes: source, pages: differing)
  }

  /// Adds blocks to those held back, storing these first where the new ones do not continue them.
  private mutating func addZeros(_ blocks: Range<UInt64>) throws(CaptureError) {
    if !zeros.isEmpty, zeros.upperBound == blocks.lowerBound {
      zeros = zeros.lowerBound..<blocks.upperBound
      return
    }
    let held = zeros
    zeros = blocks
    guard !held.isEmpty else { return }
    try target.zero(disk: disk, firstBlock: held.lowerBound, count: UInt64(held.count))
  }

  private static func isZero(_ source: UnsafeRawBufferPointer, _ pages: UInt16) -> Bool {
    PageRuns(pages).allSatisfy { run in
      UnsafeRawBufferPointer(
        rebasing: source[run.lowerBound * Layout.pageSize..<run.upperBound * Layout.pageSize]
      ).isZero
    }
  }

  /// The pages that the block at byte `start` has on a disk of `size` bytes.
  private static func allPages(of start: UInt64, size: UInt64) -> UInt16 {
    let bytes = min(UInt64(Layout.blockSize), size - start)
    let count = (Int(bytes) + Layout.pageSize - 1) / Layout.pageSize
    return UInt16.max >> UInt16(Layout.pagesPerBlock - count)
  }
}
