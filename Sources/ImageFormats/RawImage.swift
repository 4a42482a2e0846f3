public import Bytes
internal import FileIO

/// A disk in a file or block device that holds its bytes and nothing else.
///
/// The size is the one found when it was opened.
public final class RawImage: DiskContent {
  /// Bytes of the disk.
  public let size: UInt64
  /// The path it was opened by.
  public let path: String
  private let file: File
  /// The same file, read around the kernel's memory; nil if that is not wanted or not to be had.
  private let direct: File?

  /// Opens the file or block device at `path` for reading.
  ///
  /// `isReadOnce` says that little of it is in the kernel's memory and nothing of it is wanted there
  /// afterwards: whole pages are then read directly from where they are kept. That is true of a clone, which
  /// shares its blocks on the disk with its source, and none in memory.
  /// - Throws: `.io` if it can't be opened, `.invalidSize` if it is no whole number of sectors,
  ///   `.unsupported` if it is neither file nor block device.
  public init(_ path: String, isReadOnce: Bool = false) throws(ImageError) {
    self.path = path
    file = try onDisk { () throws(IOError) in try File(path, .reading) }
    direct = isReadOnce ? Self.openDirectly(path) : nil
    size = try imageFileSize(file, path)
    try checkDiskSize(size, of: path)
  }

  /// Fills `buffer` with the bytes from `offset`; the whole range lies within `size`.
  ///
  /// - Throws: `.io`, or `.damaged` if the file has become shorter than it was.
  public func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(ImageError) {
    let done = direct == nil ? 0 : readPages(into: buffer, at: offset)
    guard done < buffer.count else { return }
    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
    try readExactly(file, into: rest, at: offset + UInt64(done))
  }

  private static func openDirectly(_ path: String) -> File? {
    guard let file = try? File(path, .reading), file.readDirectly() else { return nil }
    return file
  }

  /// Reads directly what can be; gives how many bytes that were. Whatever hinders it is met again, and told,
  /// by who reads the rest.
  private func readPages(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
    let page = Layout.pageSize
    let count = buffer.count / page * page
    guard count > 0, offset % UInt64(page) == 0, let base = buffer.baseAddress,
      UInt(bitPattern: base) % UInt(page) == 0
    else { return 0 }
    let pages = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
    return (try? direct?.read(into: pages, at: offset)) ?? 0
  }

  /// Lets the next reads come from where the file is kept, not from the kernel's memory.
  func forgetCached() { file.forgetCached() }

  /// The first byte at or after `offset` outside the file's holes; nil if none follows.
  public func nextData(from offset: UInt64) throws(ImageError) -> UInt64? {
    guard offset < size else { return nil }
    guard let found = try onDisk({ () throws(IOError) in try file.nextData(from: offset) })
    else { return nil }
    return found < size ? max(found, offset) : nil
  }

  /// The first byte at or after `offset` in a hole of the file; `size` if none follows.
  public func nextHole(from offset: UInt64) throws(ImageError) -> UInt64 {
    guard offset < size else { return size }
    let found = try onDisk { () throws(IOError) in try file.nextHole(from: offset) }
    return min(max(found, offset), size)
  }
}

/// Bytes of a file or block device; anything else is refused.
func imageFileSize(_ file: borrowing File, _ path: String) throws(ImageError) -> UInt64 {
  let status: FileStatus
  do throws(IOError) { status = try file.status() } catch { throw ImageError(error) }
  guard status.kind == .file || status.kind == .device else {
    throw ImageError(
      .unsupported,
      "Cannot use '\(path)' as a disk: it is neither a file nor a block device.")
  }
  return status.size
}

/// Fills all of `buffer`; a file that ends before is damaged.
func readExactly(
  _ file: borrowing File, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
) throws(ImageError) {
  let count: Int
  do throws(IOError) { count = try file.read(into: buffer, at: offset) } catch {
    throw ImageError(error)
  }
  guard count == buffer.count else {
    throw .damaged(
      file.path,
      "it ends at byte \(offset + UInt64(count)), \(buffer.count - count) bytes before what is "
        + "there to be read; it was longer when it was opened")
  }
}
