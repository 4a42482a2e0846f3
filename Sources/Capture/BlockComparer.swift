internal import Bytes
internal import Vault

/// Compares pages of a source with the replica and stores those that differ.
///
/// Where the replica has no data its pages are zeros and are not read.
struct BlockComparer: ~Copyable {
  private let disk: DiskNumber
  private let head: DiskReader
  private let writer: MachineWriter
  private let replica = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Layout.blockSize, alignment: Layout.pageSize)
  /// The replica holds no data from the first to before the second of these.
  private var knownHole: Range<UInt64> = 0..<0
  /// Blocks found to be zeros now that are still to be stored as one record.
  private var zeros: Range<UInt64> = 0..<0

  /// Bytes compared so far.
  private(set) var examined: UInt64 = 0
  /// Bytes of pages that differed.
  private(set) var changed: UInt64 = 0

  init(disk: DiskNumber, head: DiskReader, writer: MachineWriter) {
    (self.disk, self.head, self.writer) = (disk, head, writer)
  }

  deinit { replica.deallocate() }

  /// Compares the pages that were read into a window.
  mutating func compare(_ window: Window) throws(CaptureError) {
    for block in 0..<Window.blocks where window.pages[block] != 0 {
      try compare(block, of: window)
    }
  }

  /// Stores that `blocks`, a hole of the source, are zeros, unless the replica has no data there.
  mutating func compare(hole blocks: Range<UInt64>) throws(CaptureError) {
    let block = UInt64(Layout.blockSize)
    let bytes = blocks.lowerBound * block..<min(head.size, blocks.upperBound * block)
    examined += UInt64(bytes.count)
    guard let data = try nextData(from: bytes.lowerBound), data < bytes.upperBound else { return }
    let first = data / block
    changed += bytes.upperBound - first * block
    try addZeros(first..<blocks.upperBound)
  }

  /// Stores what is still held back.
  mutating func finish() throws(CaptureError) { try addZeros(0..<0) }

  private mutating func compare(_ block: Int, of window: Window) throws(CaptureError) {
    let pages = window.pages[block]
    let start = window.base + UInt64(block * Layout.blockSize)
    let source = UnsafeRawBufferPointer(
      rebasing: window.buffer[block * Layout.blockSize..<(block + 1) * Layout.blockSize])
    examined += UInt64(pages.nonzeroBitCount * Layout.pageSize)
    var differing: UInt16 = 0
    for run in PageRuns(pages) {
      differing |= try difference(run, source, start: start)
    }
    guard differing != 0 else { return }
    changed += UInt64(differing.nonzeroBitCount * Layout.pageSize)
    let number = start / UInt64(Layout.blockSize)
    if pages == Self.allPages(of: start, size: head.size), Self.isZero(source, pages) {
      return try addZeros(number..<number + 1)
    }
    let (disk, writer) = (disk, writer)
    try inVault { () throws(VaultError) in
      try writer.write(disk: disk, block: number, bytes: source, pages: differing)
    }
  }

  /// The pages of one run that differ.
  private mutating func difference(
    _ run: Range<Int>, _ source: UnsafeRawBufferPointer, start: UInt64
  ) throws(CaptureError) -> UInt16 {
    let bytes = run.lowerBound * Layout.pageSize..<run.upperBound * Layout.pageSize
    let from = start + UInt64(bytes.lowerBound)
    let end = min(head.size, start + UInt64(bytes.upperBound))
    let ours = UnsafeRawBufferPointer(rebasing: source[bytes])
    guard try hasData(from..<end) else {
      return ours.isZero ? 0 : Self.pages(run) { !Self.page($0, of: source).isZero }
    }
    // What the replica has lost is stored again: the source still has it.
    guard try read(from..<end, padded: bytes.count) else { return Self.pages(run) { _ in true } }
    let theirs = UnsafeRawBufferPointer(rebasing: replica[..<bytes.count])
    if ours.firstDifference(from: theirs) == nil { return 0 }
    return Self.pages(run) {
      Self.page($0, of: source).firstDifference(
        from: Self.page($0 - run.lowerBound, of: theirs)) != nil
    }
  }

  /// Reads a range of the replica; false if it is damaged there.
  private func read(_ range: Range<UInt64>, padded length: Int) throws(CaptureError) -> Bool {
    let count = Int(range.upperBound - range.lowerBound)
    let part = UnsafeMutableRawBufferPointer(rebasing: replica[..<count])
    do throws(VaultError) {
      try head.readPages(into: part, at: range.lowerBound)
    } catch {
      guard error.code == .damaged else { throw CaptureError(error) }
      return false
    }
    UnsafeMutableRawBufferPointer(rebasing: replica[count..<length]).clear()
    return true
  }

  private mutating func hasData(_ range: Range<UInt64>) throws(CaptureError) -> Bool {
    if knownHole.lowerBound <= range.lowerBound, range.upperBound <= knownHole.upperBound {
      return false
    }
    let data = try nextData(from: range.lowerBound) ?? .max
    knownHole = range.lowerBound..<max(data, range.lowerBound)
    return data < range.upperBound
  }

  private func nextData(from offset: UInt64) throws(CaptureError) -> UInt64? {
    do { return try head.nextData(from: offset) } catch let error as VaultError {
      throw CaptureError(error)
    } catch {
      throw CaptureError(VaultError(.io, "Cannot read the replica of disk \(disk): \(error)"))
    }
  }

  /// Adds blocks to those held back, storing these first where the new ones do not continue them.
  private mutating func addZeros(_ blocks: Range<UInt64>) throws(CaptureError) {
    if !zeros.isEmpty, zeros.upperBound == blocks.lowerBound {
      zeros = zeros.lowerBound..<blocks.upperBound
      return
    }
    let (held, disk, writer) = (zeros, disk, writer)
    zeros = blocks
    guard !held.isEmpty else { return }
    try inVault { () throws(VaultError) in
      try writer.zero(disk: disk, firstBlock: held.lowerBound, count: UInt64(held.count))
    }
  }
}

extension BlockComparer {
  private static func page(
    _ number: Int, of bytes: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer {
    let start = number * Layout.pageSize
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start + Layout.pageSize])
  }

  private static func pages(_ run: Range<Int>, where matches: (Int) -> Bool) -> UInt16 {
    var mask: UInt16 = 0
    for page in run where matches(page) { mask |= 1 << UInt16(page) }
    return mask
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

/// The stretches of neighbouring pages in a mask.
struct PageRuns: Sequence, IteratorProtocol {
  private var mask: UInt16
  private var position = 0

  init(_ mask: UInt16) { self.mask = mask }

  mutating func next() -> Range<Int>? {
    guard mask != 0 else { return nil }
    let skipped = mask.trailingZeroBitCount
    let length = (~(mask >> UInt16(skipped))).trailingZeroBitCount
    let start = position + skipped
    position = start + length
    mask = skipped + length >= 16 ? 0 : mask >> UInt16(skipped + length)
    return start..<position
  }
}
