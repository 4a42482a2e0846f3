internal import CFileIO
internal import Glibc

/// A stretch of a file and where the file system keeps it.
public struct FileExtent: Hashable, Sendable {
  /// First byte, in the file.
  public var logical: UInt64
  /// First byte, on the device.
  public var physical: UInt64
  /// Bytes.
  public var length: UInt64
  /// The bits of `FIEMAP_EXTENT_*`.
  public var flags: UInt32

  /// Describes a stretch.
  public init(logical: UInt64, physical: UInt64, length: UInt64, flags: UInt32) {
    (self.logical, self.physical) = (logical, physical)
    (self.length, self.flags) = (length, flags)
  }

  /// The first byte after it, in the file.
  public var end: UInt64 { logical + length }

  /// No further extent follows (FIEMAP_EXTENT_LAST).
  public var isLast: Bool { flags & 0x1 != 0 }

  /// Whether equal physical places mean equal content.
  ///
  /// False for UNKNOWN, DELALLOC, ENCODED, DATA_ENCRYPTED, NOT_ALIGNED, DATA_INLINE, DATA_TAIL and
  /// UNWRITTEN extents: their place says nothing of their bytes.
  public var isComparable: Bool { flags & 0xFCE == 0 }
}

/// Walks the extents of one file in order, in bounded memory however fragmented the file is.
public struct ExtentCursor: Sendable {
  private var batch: [FileExtent] = []
  private var next = 0
  private var start: UInt64 = 0
  private var ended = false

  /// Starts at the first extent.
  public init() {}

  /// The next extent of `file`, which is the same file at every call; nil after the last.
  ///
  /// What is cached of the file is written back first (FS_IOC_FIEMAP with FIEMAP_FLAG_SYNC,
  /// Documentation/filesystems/fiemap.rst).
  public mutating func next(of file: borrowing File) throws(IOError) -> FileExtent? {
    if next == batch.count {
      guard !ended else { return nil }
      batch = try file.extents(from: start, atMost: 1024)
      next = 0
      guard let last = batch.last else {
        ended = true
        return nil
      }
      start = last.end
      ended = last.isLast
    }
    next += 1
    return batch[next - 1]
  }
}

extension File {
  /// The extents from byte `start`, at most so many of them.
  fileprivate func extents(
    from start: UInt64, atMost limit: Int
  ) throws(IOError) -> [FileExtent] {
    var raw = [tidemark_extent](repeating: tidemark_extent(), count: limit)
    let count = tidemark_extents(descriptor, start, &raw, UInt32(limit))
    guard count >= 0 else { throw IOError("map the extents of", path, code: errno) }
    return raw.prefix(Int(count)).map {
      FileExtent(logical: $0.logical, physical: $0.physical, length: $0.length, flags: $0.flags)
    }
  }
}
