internal import Bytes
internal import CExt2
internal import Synchronization

/// A file of a guest could not be read.
struct Unreadable: Error { let path: String }

/// An ext2, ext3 or ext4 file system on a stretch of a disk, for reading (libext2fs). For one thread.
///
/// Whatever is on the disk, no call reads more than the source's budget allows.
final class ExtFileSystem {
  /// Bytes of a file that are read of it at the most; configuration has a few thousand.
  static let fileLimit = 4 << 20

  private let source: Source
  private let system: OpaquePointer

  /// What libext2fs reads from: a stretch of a disk, until the budget is used up.
  private final class Source {
    let disk: any DiskContent
    let offset: UInt64
    let budget: ReadBudget

    init(_ disk: any DiskContent, _ offset: UInt64, _ budget: ReadBudget) {
      (self.disk, self.offset, self.budget) = (disk, offset, budget)
    }

    func read(_ place: UInt64, _ buffer: UnsafeMutableRawBufferPointer) -> Bool {
      guard budget.take(buffer.count) else { return false }
      return (try? disk.read(into: buffer, at: offset + place)) != nil
    }
  }

  /// Nil if there is none that can be read. The range lies within the disk.
  init?(on disk: any DiskContent, in range: Range<UInt64>, _ budget: ReadBudget) {
    source = Source(disk, range.lowerBound, budget)
    let opened = tidemark_ext2_open(
      Unmanaged.passUnretained(source).toOpaque(),
      { context, place, buffer, count in
        guard let context, let buffer, let count = Int(exactly: count) else { return -1 }
        let source = Unmanaged<Source>.fromOpaque(context).takeUnretainedValue()
        return source.read(place, UnsafeMutableRawBufferPointer(start: buffer, count: count))
          ? 0 : -1
      }, UInt64(range.count))
    guard let opened else { return nil }
    system = opened
  }

  deinit { tidemark_ext2_close(system) }

  /// The file system's identifier, as fstab(5) names it.
  var identifier: Identifier {
    var bytes = [UInt8](repeating: 0, count: 16)
    tidemark_ext2_identifier(system, &bytes)
    func number(_ part: ArraySlice<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
    return Identifier(high: number(bytes[..<8]), low: number(bytes[8...]))
  }

  /// The start of a file; nil if there is none.
  func bytes(_ path: String, limit: Int = ExtFileSystem.fileLimit) throws(Unreadable) -> [UInt8]? {
    var result: Int64 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      result = tidemark_ext2_read(system, path, 0, buffer.baseAddress, UInt32(buffer.count))
      count = max(0, min(Int(result), buffer.count))
    }
    if result == -1 { return nil }
    guard result >= 0 else { throw Unreadable(path: path) }
    return bytes
  }

  /// The lines of a text, without its comments; nil if there is no such file.
  func lines(_ path: String) throws(Unreadable) -> [Substring]? {
    guard let bytes = try bytes(path) else { return nil }
    return String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
      .filter { !($0.first { !$0.isWhitespace } == "#") }
  }

  private final class Names { var found: [String] = [] }

  /// The names in a directory, sorted; nil if there is none.
  func names(_ path: String) throws(Unreadable) -> [String]? {
    let names = Names()
    let code = tidemark_ext2_list(
      system, path, Unmanaged.passUnretained(names).toOpaque(),
      { context, text, length in
        guard let context, let text else { return -1 }
        let bytes = UnsafeRawBufferPointer(start: text, count: Int(length))
        let names = Unmanaged<Names>.fromOpaque(context).takeUnretainedValue()
        names.found.append(String(decoding: bytes, as: UTF8.self))
        return 0
      })
    if code == -1 { return nil }
    guard code == 0 else { throw Unreadable(path: path) }
    return names.found.sorted()
  }

  /// Whether there is something at a path.
  func has(_ path: String) -> Bool { tidemark_ext2_kind(system, path) > 0 }
}

/// How much of a guest's disks may still be read. One for all of them.
final class ReadBudget: Sendable {
  private let left: Mutex<(bytes: Int, calls: Int)>

  /// The usual: enough for the largest configurations, read in seconds.
  init(bytes: Int = 256 << 20, calls: Int = 200_000) { left = Mutex((bytes, calls)) }

  func take(_ count: Int) -> Bool {
    left.withLock {
      guard count >= 0, $0.bytes >= count, $0.calls > 0 else { return false }
      $0.bytes -= count
      $0.calls -= 1
      return true
    }
  }
}
