/// The smallest units of Tidemark: how a disk is cut up, and the quantities that name a place in it
/// or in time. No input or output happens here.

/// How a disk is divided. Every size is in bytes and a power of two.
public enum Layout {
  /// The unit a guest's write is stored in.
  public static let pageSize = 4096
  /// The unit that is compressed and checksummed: four pages.
  public static let cellSize = 16384
  /// The unit of the index: four cells.
  public static let blockSize = 65536
  /// Pages of one block; also the width of a page mask.
  public static let pagesPerBlock = blockSize / pageSize
  /// Pages of one cell.
  public static let pagesPerCell = cellSize / pageSize
  /// Cells of one block.
  public static let cellsPerBlock = blockSize / cellSize
  /// The unit disks are measured in.
  public static let sectorSize = 512
  /// The largest disk, 256 TiB: a block number fits 32 bits.
  public static let largestDisk: UInt64 = 1 << 48
}

/// The place of a write in the order of one machine: one counter over all its disks.
///
/// 0 is before the first write.
public struct SequenceNumber: RawRepresentable, Hashable, Comparable, Sendable {
  /// The counter's value.
  public var rawValue: UInt64

  /// Names the write with this number.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Before the first write.
  public static let zero = SequenceNumber(rawValue: 0)
  /// After every write.
  public static let last = SequenceNumber(rawValue: .max)

  /// The number after this one.
  public var next: SequenceNumber { SequenceNumber(rawValue: rawValue + 1) }

  /// Orders by age, the older write first.
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Which disk of a machine: 0 for the first. At most 65,535 fit the index.
public typealias DiskNumber = UInt16
