internal import Bytes
internal import FileIO

/// Finds the stretches in which two files of one file system may differ, from where their bytes lie.
///
/// Where both files share a block, the file system never overwrites it in place, so equal places mean
/// equal bytes, as long as the flags of both extents allow it (`FileExtent.isComparable`).
struct ExtentComparison<Failure: Error> {
  /// Gives the next extent of a file, in order; nil after the last.
  typealias Extents = () throws(Failure) -> FileExtent?

  private let newer: Extents
  private let older: Extents
  private var newerExtent: FileExtent?
  private var olderExtent: FileExtent?

  init(newer: @escaping Extents, older: @escaping Extents) throws(Failure) {
    self.newer = newer
    self.older = older
    newerExtent = try newer()
    olderExtent = try older()
  }

  /// What a file keeps at one byte, and up to where that goes on.
  private struct Place {
    enum Kind: Equatable {
      case hole
      case bytes(at: UInt64)
      case unknown
    }
    var kind: Kind
    var end: UInt64

    init(_ extent: FileExtent?, at position: UInt64) {
      guard let extent else {
        (kind, end) = (.hole, .max)
        return
      }
      guard extent.logical <= position else {
        (kind, end) = (.hole, extent.logical)
        return
      }
      let physical = extent.physical &+ (position - extent.logical)
      kind = extent.isComparable ? .bytes(at: physical) : .unknown
      end = extent.end
    }
  }

  /// The stretches that may differ within the first `size` bytes: whole pages, ascending, apart.
  mutating func changedRanges(size: UInt64) throws(Failure) -> [Range<UInt64>] {
    var ranges: [Range<UInt64>] = []
    var position: UInt64 = 0
    while position < size {
      while let extent = newerExtent, extent.end <= position { newerExtent = try newer() }
      while let extent = olderExtent, extent.end <= position { olderExtent = try older() }
      let now = Place(newerExtent, at: position)
      let then = Place(olderExtent, at: position)
      let end = min(size, now.end, then.end)
      if now.kind == .unknown || now.kind != then.kind {
        Self.add(position..<end, to: &ranges, size: size)
      }
      position = end
    }
    return ranges
  }

  private static func add(
    _ range: Range<UInt64>, to ranges: inout [Range<UInt64>], size: UInt64
  ) {
    let page = UInt64(Layout.pageSize)
    let start = range.lowerBound / page * page
    let end = min(size, (range.upperBound + page - 1) / page * page)
    if let last = ranges.last, last.upperBound >= start {
      ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, end)
    } else {
      ranges.append(start..<end)
    }
  }
}
