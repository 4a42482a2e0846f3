internal import Bytes
internal import FileIO

/// Walks the records of a segment in order, passing over what is damaged.
///
/// Memory: one window of 4 MiB. The walk trusts nothing but what carries the log's identity and fits
/// its checksum.
struct RecordScanner: ~Copyable {
  /// What stands at one place of the segment.
  enum Step {
    /// An intact header, or one in which a single flipped bit was repaired.
    case record(RecordHeader, offset: UInt64, repaired: Bool)
    /// Bytes that are no record, an intact record or the end behind them.
    case gap(Range<UInt64>)
  }

  private static let windowSize = 4 << 20

  private let file: LogFile
  private let identity: LogIdentity
  private let end: UInt64
  private var position: UInt64
  private let window = UnsafeMutableRawBufferPointer.allocate(
    byteCount: windowSize, alignment: 64)
  private var loaded: Range<UInt64> = 0..<0

  /// Walks the bytes of `range`.
  init(_ file: LogFile, _ range: Range<UInt64>, identity: LogIdentity) {
    (self.file, self.identity) = (file, identity)
    (position, end) = (range.lowerBound, range.upperBound)
  }

  deinit { window.deallocate() }

  /// The next step; nil at the end.
  mutating func next() throws(VaultError) -> Step? {
    guard position + UInt64(Format.recordHeaderSize) <= end else {
      guard position < end else { return nil }
      defer { position = end }
      return .gap(position..<end)
    }
    if let step = try record(at: position, repairing: true) { return step }
    let start = position
    position += UInt64(Format.recordAlignment)
    while position + UInt64(Format.recordHeaderSize) <= end {
      if try header(at: position) != nil { return .gap(start..<position) }
      position += UInt64(Format.recordAlignment)
    }
    position = end
    return .gap(start..<end)
  }

  private mutating func record(
    at offset: UInt64, repairing: Bool
  ) throws(VaultError) -> Step? {
    if let header = try header(at: offset) {
      position = offset + UInt64(header.length)
      return .record(header, offset: offset, repaired: false)
    }
    let bytes = try bytes(offset, Format.recordHeaderSize)
    // An empty place is no record with one flipped bit.
    guard let bytes, !bytes.isZero else { return nil }
    var copy = [UInt8](bytes)
    guard SingleBitRepair.repair(&copy, until: RecordHeader.isIntact) else { return nil }
    let header = copy.withUnsafeBytes { RecordHeader($0, identity: identity) }
    guard let header, offset + UInt64(header.length) <= end else { return nil }
    position = offset + UInt64(header.length)
    return .record(header, offset: offset, repaired: true)
  }

  private mutating func header(at offset: UInt64) throws(VaultError) -> RecordHeader? {
    guard let bytes = try bytes(offset, Format.recordHeaderSize),
      let header = RecordHeader(bytes, identity: identity),
      offset + UInt64(header.length) <= end
    else { return nil }
    return header
  }

  /// The stored bytes of a record that `next` gave.
  mutating func bytes(
    of header: RecordHeader, at offset: UInt64
  ) throws(VaultError) -> UnsafeRawBufferPointer? {
    try bytes(offset, Int(header.length))
  }

  /// `count` bytes from `offset`, valid until the next call; nil behind the end of the file.
  private mutating func bytes(
    _ offset: UInt64, _ count: Int
  ) throws(VaultError) -> UnsafeRawBufferPointer? {
    if offset < loaded.lowerBound || offset + UInt64(count) > loaded.upperBound {
      let length = Int(min(UInt64(Self.windowSize), end - offset))
      let target = UnsafeMutableRawBufferPointer(rebasing: window[..<length])
      do throws(IOError) {
        let count = try file.file.read(into: target, at: offset)
        loaded = offset..<offset + UInt64(count)
      } catch {
        throw VaultError(error)
      }
    }
    guard offset + UInt64(count) <= loaded.upperBound else { return nil }
    let start = Int(offset - loaded.lowerBound)
    return UnsafeRawBufferPointer(rebasing: window[start..<start + count])
  }
}
