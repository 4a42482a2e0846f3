public import Bytes
internal import Vault

/// A replica whose bytes can be read: the vault's own, or the clone of the cycle before.
///
/// Where it has no data its pages are zeros and are not read.
public final class ContentReplica: Replica {
  private let disk: DiskNumber
  private let content: any DiskContent
  private let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Layout.blockSize, alignment: Layout.pageSize)
  /// There is no data from the first to before the second of these.
  private var knownHole: Range<UInt64> = 0..<0

  /// Compares with `content`, which has the size of the source.
  public init(disk: DiskNumber, content: any DiskContent) {
    (self.disk, self.content) = (disk, content)
  }

  deinit { buffer.deallocate() }

  /// The first byte of a range that may be other than zero.
  public func firstData(in range: Range<UInt64>) throws(CaptureError) -> UInt64? {
    try nextData(from: range.lowerBound).flatMap { $0 < range.upperBound ? $0 : nil }
  }

  /// Which of a window's pages differ.
  public func differing(_ window: Window) throws(CaptureError) -> [UInt16] {
    var masks = [UInt16](repeating: 0, count: Window.blocks)
    for block in 0..<Window.blocks where window.pages[block] != 0 {
      for run in PageRuns(window.pages[block]) {
        masks[block] |= try difference(run, window.block(block), start: window.start(of: block))
      }
    }
    return masks
  }

  /// The pages of one run that differ.
  private func difference(
    _ run: Range<Int>, _ source: UnsafeRawBufferPointer, start: UInt64
  ) throws(CaptureError) -> UInt16 {
    let bytes = run.lowerBound * Layout.pageSize..<run.upperBound * Layout.pageSize
    let from = start + UInt64(bytes.lowerBound)
    let end = min(content.size, start + UInt64(bytes.upperBound))
    let ours = UnsafeRawBufferPointer(rebasing: source[bytes])
    guard try hasData(from..<end) else {
      return ours.isZero ? 0 : Self.pages(run) { !Self.page($0, of: source).isZero }
    }
    // What the replica has lost is stored again: the source still has it.
    guard try read(from..<end, padded: bytes.count) else { return Self.pages(run) { _ in true } }
    let theirs = UnsafeRawBufferPointer(rebasing: buffer[..<bytes.count])
    if ours.firstDifference(from: theirs) == nil { return 0 }
    return Self.pages(run) {
      Self.page($0, of: source).firstDifference(
        from: Self.page($0 - run.lowerBound, of: theirs)) != nil
    }
  }

  /// Reads a range; false if it is damaged there.
  private func read(_ range: Range<UInt64>, padded length: Int) throws(CaptureError) -> Bool {
    let count = Int(range.upperBound - range.lowerBound)
    let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    do {
      try content.read(into: part, at: range.lowerBound)
    } catch let error as VaultError where error.code == .damaged {
      return false
    } catch {
      throw failure(error)
    }
    UnsafeMutableRawBufferPointer(rebasing: buffer[count..<length]).clear()
    return true
  }

  private func hasData(_ range: Range<UInt64>) throws(CaptureError) -> Bool {
    if knownHole.lowerBound <= range.lowerBound, range.upperBound <= knownHole.upperBound {
      return false
    }
    let data = try nextData(from: range.lowerBound) ?? .max
    knownHole = range.lowerBound..<max(data, range.lowerBound)
    return data < range.upperBound
  }

  private func nextData(from offset: UInt64) throws(CaptureError) -> UInt64? {
    do { return try content.nextData(from: offset) } catch { throw failure(error) }
  }

  private func failure(_ error: any Error) -> CaptureError {
    if let error = error as? VaultError { return CaptureError(error) }
    return CaptureError(VaultError(.io, "Cannot read the replica of disk \(disk): \(error)"))
  }

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
