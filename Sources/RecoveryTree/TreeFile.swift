internal import Bytes
internal import ImageFormats
internal import Vault

/// An open file of the tree. It stays readable, and the same, until the last reference to it is gone.
///
/// All calls may block the calling thread and may be made from several threads at once.
public final class TreeFile: Sendable {
  /// What lseek(2) looks for.
  public enum Target: Sendable { case data, hole }

  private enum Body {
    case document([UInt8])
    case image(DiskReader, ImageShape)
  }

  private let body: Body
  /// Bytes of the file.
  public let size: UInt64

  init(document: [UInt8]) {
    body = .document(document)
    size = UInt64(document.count)
  }

  init(_ reader: DiskReader, _ shape: ImageShape) {
    body = .image(reader, shape)
    size = shape.size
  }

  /// True if the content belongs to a cut, so that what was read once may be cached forever.
  public var neverChanges: Bool {
    if case .image = body { return true }
    return false
  }

  /// Fills `buffer` from `offset` as far as the file reaches.
  ///
  /// - Returns: how many bytes that were; 0 at or beyond the end.
  /// - Throws: EIO if a byte of the range is damaged in the vault; no byte of it is then to be used.
  public func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(TreeError) -> Int {
    guard offset < size else { return 0 }
    let count = Int(min(UInt64(buffer.count), size - offset))
    let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    switch body {
    case .document(let bytes):
      target.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
    case .image(let reader, let shape):
      do { try shape.read(reader, into: target, at: offset) } catch { throw .wrapping(error) }
    }
    return count
  }

  /// The first byte of data, or of a hole, at or after `offset` (lseek(2), SEEK_DATA and SEEK_HOLE).
  ///
  /// - Throws: ENXIO beyond the end, or if no data follows.
  public func seek(_ target: Target, from offset: UInt64) throws(TreeError) -> UInt64 {
    let found = offset < size ? try next(target, from: offset) : nil
    guard let found else { throw .nothingFollows(offset, target) }
    return found
  }

  private func next(_ target: Target, from offset: UInt64) throws(TreeError) -> UInt64? {
    guard case .image(let reader, let shape) = body else {
      return target == .data ? offset : size
    }
    do {
      return switch target {
      case .data: try shape.nextData(reader, from: offset)
      case .hole: try shape.nextHole(reader, from: offset)
      }
    } catch { throw .wrapping(error) }
  }
}

extension ImageShape {
  /// Fills `buffer`, which lies inside the file.
  @inline(__always)
  fileprivate func read(
    _ disk: DiskReader, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws {
    switch self {
    case .window(let start, _): try disk.read(into: buffer, at: start + offset)
    case .vhd(let image): try image.read(into: buffer, at: offset, from: disk)
    }
  }

  fileprivate func nextData(_ disk: DiskReader, from offset: UInt64) throws -> UInt64? {
    switch self {
    case .window(let start, let count):
      guard let found = try disk.nextData(from: start + offset) else { return nil }
      return found < start + count ? found - start : nil
    case .vhd(let image): return try image.nextData(from: offset, in: disk)
    }
  }

  fileprivate func nextHole(_ disk: DiskReader, from offset: UInt64) throws -> UInt64 {
    switch self {
    case .window(let start, let count):
      return min(try disk.nextHole(from: start + offset) - start, count)
    case .vhd(let image): return try image.nextHole(from: offset, in: disk)
    }
  }
}
