internal import Bytes
internal import FileIO
internal import Vault

/// One disk as one cycle reads it: what to read, and which stretches to compare.
struct DiskSource: Sendable {
  let disk: DiskConfiguration
  let content: any DiskContent
  /// Whole pages, ascending, apart.
  let ranges: [Range<UInt64>]
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
    cloneTime = nil
  }

  /// A clone, of which only what the file system keeps elsewhere than in its base is compared.
  init(
    _ clone: CloneSet.Clone, of disk: DiskConfiguration, lastSize: UInt64?
  ) throws(CaptureError) {
    let store = clone.store
    let content = try SourceCheck.open(disk, at: store.path(of: clone.name))
    self.disk = disk
    self.content = content
    cloneTime = clone.duration
    if let base = clone.base, lastSize == content.size {
      whole = nil
      ranges = try store.act { () throws(IOError) in
        try Self.changes(store.path(of: clone.name), store.path(of: base), content.size)
      }
    } else {
      whole = clone.whole ?? .sizeChanged
      ranges = [0..<content.size]
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
