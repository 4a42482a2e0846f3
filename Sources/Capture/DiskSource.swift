internal import Bytes
internal import FileIO
internal import Vault

/// One disk as one cycle reads it: what to read, and which stretches to compare.
struct DiskSource: Sendable {
  let disk: DiskConfiguration
  let content: any DiskContent
  /// Whole pages, ascending, apart.
  private(set) var ranges: [Range<UInt64>]
  /// The clone of the last cycle, where the ranges are what differs from it.
  private let base: String?
  let whole: WholeComparison?
  let cloneTime: Duration?

  /// Bytes to compare.
  var total: UInt64 { ranges.reduce(0) { $0 + UInt64($1.count) } }

  /// A disk that is compared as a whole.
  init(scanning disk: DiskConfiguration) throws(CaptureError) {
    let content = try SourceCheck.open(disk, at: disk.path)
    self.disk = disk
    self.content = content
    ranges = [0..<content.size]
    whole = .scan
    base = nil
    cloneTime = nil
  }

  /// A clone, of which only what the file system keeps elsewhere than in its base is compared.
  init(
    _ clone: CloneSet.Clone, of disk: DiskConfiguration, lastSize: UInt64?
  ) throws(CaptureError) {
    let store = clone.store
    let content = try SourceCheck.open(disk, at: store.path(of: clone.name), isClone: true)
    self.disk = disk
    self.content = content
    cloneTime = clone.duration
    if let base = clone.base, lastSize == content.size {
      whole = nil
      self.base = store.path(of: base)
      ranges = try store.act { () throws(IOError) in
        try Self.changes(store.path(of: clone.name), store.path(of: base), content.size)
      }
    } else {
      whole = clone.whole ?? .sizeChanged
      base = nil
      ranges = [0..<content.size]
    }
  }

  /// The disk as it was at the newest recovery point; nil if the source has not kept that.
  func openBase() throws(CaptureError) -> (any DiskContent)? {
    guard let base else { return nil }
    return try SourceCheck.open(disk, at: base)
  }

  /// Leaves out what lies before a byte; nil leaves out everything.
  mutating func skip(to position: UInt64?) {
    let position = position ?? content.size
    ranges = ranges.compactMap { range in
      let rest = range.clamped(to: min(position, range.upperBound)..<range.upperBound)
      return rest.isEmpty ? nil : rest
    }
  }

  private static func changes(
    _ clone: String, _ base: String, _ size: UInt64
  ) throws(IOError) -> [Range<UInt64>] {
    let newer = ExtentWalk(try File(clone, .reading))
    let older = ExtentWalk(try File(base, .reading))
    var comparison = try ExtentComparison<IOError>(
      newer: { () throws(IOError) in try newer.next() },
      older: { () throws(IOError) in try older.next() })
    return try comparison.changedRanges(size: size)
  }

  /// An open file and how far its extents were walked.
  private final class ExtentWalk {
    private let file: File
    private var cursor = ExtentCursor()
    init(_ file: consuming File) { self.file = file }
    func next() throws(IOError) -> FileExtent? { try cursor.next(of: file) }
  }
}
