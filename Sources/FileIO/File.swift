internal import Bytes
internal import CFileIO
internal import Glibc

/// An open file, closed when the value ends.
///
/// All calls block the calling thread, retry EINTR, and may be made from several threads at once.
public struct File: ~Copyable, Sendable {
  /// The descriptor (or a double's handle); -1 once closed.
  public let descriptor: Int32
  /// The path the file was opened by.
  public let path: String
  let double: (any FileSystemDouble)?

  /// Opens a file (open(2)), with O_CLOEXEC.
  public init(_ path: String, _ mode: OpenMode, on system: FileSystem = .system) throws(IOError) {
    let opened: Int32
    if let double = system.double {
      opened = try double.open(path, mode)
    } else {
      opened = try Self.open(path, mode)
    }
    descriptor = opened
    self.path = path
    double = system.double
  }

  private static func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
    let descriptor: Int32
    var operation = "open"
    switch mode {
    case .reading: descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    case .writing: descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
    case .creating(let permissions):
      descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, permissions)
      operation = "create"
    }
    guard descriptor >= 0 else { throw IOError(operation, path, code: errno) }
    return descriptor
  }

  deinit {
    if let double { double.close(descriptor) } else { _ = Glibc.close(descriptor) }
  }

  /// Fills `buffer` from `offset`, as far as the file reaches (pread(2)).
  ///
  /// - Returns: the bytes read; less than the buffer holds only at the end of the file.
  public func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(IOError) -> Int {
    if let double { return try double.read(descriptor, into: buffer, at: offset) }
    var done = 0
    while done < buffer.count {
      guard let base = buffer.baseAddress else { break }
      let count = pread(descriptor, base + done, buffer.count - done, off_t(offset) + off_t(done))
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw IOError("read", path, code: errno)
      }
      done += count
    }
    return done
  }

  /// Reads up to `count` bytes from `offset`; fewer only at the end of the file.
  public func read(at offset: UInt64, count: Int) throws(IOError) -> [UInt8] {
    var failure: IOError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(IOError) {
        initialized = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Writes all of `bytes` at `offset` (pwrite(2)). Durable only after `sync`.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOError) {
    if let double { return try double.write(descriptor, bytes, at: offset) }
    var done = 0
    while done < bytes.count {
      guard let base = bytes.baseAddress else { break }
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
      if count < 0 {
        if errno == EINTR { continue }
        throw IOError("write", path, code: errno)
      }
      done += count
    }
  }

  /// Writes all of `bytes` at `offset`. Durable only after `sync`.
  public func write(_ bytes: [UInt8], at offset: UInt64) throws(IOError) {
    var failure: IOError?
    bytes.withUnsafeBytes { buffer in
      do throws(IOError) { try write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Makes content and size durable (fdatasync(2)).
  ///
  /// After a failure the kernel may have dropped what was to be written: never call it again on
  /// this file and believe a success.
  public func sync() throws(IOError) {
    if let double { return try double.sync(descriptor) }
    guard fdatasync(descriptor) == 0 else { throw IOError("sync", path, code: errno) }
  }

  /// Asks the kernel to begin writing a range to the disk, and does not wait for it
  /// (sync_file_range(2)): a later `sync` has less to do. Promises nothing.
  public func beginWriteback(_ range: Range<UInt64>) {
    guard double == nil else { return }
    _ = tidemark_begin_writeback(descriptor, Int64(range.lowerBound), Int64(range.count))
  }

  /// Sets the size; new bytes are zeros (ftruncate(2)).
  public func truncate(to size: UInt64) throws(IOError) {
    if let double { return try double.truncate(descriptor, to: size) }
    guard ftruncate(descriptor, off_t(size)) == 0 else {
      throw IOError("resize", path, code: errno)
    }
  }

  /// What is known of the file (fstat(2)); a block device's size is asked of the device.
  public func status() throws(IOError) -> FileStatus {
    if let double { return try double.status(descriptor) }
    var facts = stat()
    guard fstat(descriptor, &facts) == 0 else { throw IOError("look at", path, code: errno) }
    var status = FileStatus(facts)
    if status.kind == .device {
      guard tidemark_device_size(descriptor, &status.size) == 0 else {
        throw IOError("measure", path, code: errno)
      }
    }
    return status
  }

  /// The next byte at or after `offset` that is not in a hole; nil if there is none (SEEK_DATA).
  ///
  /// Devices and file systems that know no holes answer `offset` itself.
  public func nextData(from offset: UInt64) throws(IOError) -> UInt64? {
    if double != nil { return try offset < status().size ? offset : nil }
    let found = lseek(descriptor, off_t(offset), 3)
    if found >= 0 { return UInt64(found) }
    if errno == ENXIO { return nil }
    if errno == EINVAL || errno == ENOTTY { return offset }
    throw IOError("look for data in", path, code: errno)
  }

  /// The next hole at or after `offset`; the end of the file counts as one (SEEK_HOLE).
  public func nextHole(from offset: UInt64) throws(IOError) -> UInt64 {
    if double != nil { return try status().size }
    let found = lseek(descriptor, off_t(offset), 4)
    if found >= 0 { return UInt64(found) }
    if errno == EINVAL || errno == ENOTTY || errno == ENXIO { return try status().size }
    throw IOError("look for holes in", path, code: errno)
  }

  /// Asks the kernel to forget the bytes it holds of this file, so that the next read comes from
  /// the disk (posix_fadvise(2) DONTNEED). What is not durable yet stays.
  public func forgetCached() {
    guard double == nil else { return }
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
  }

  /// Lets reads go around the kernel's memory from now on (O_DIRECT of open(2)): buffer, offset and count of
  /// each then have to be whole pages, but for what lies behind the end of the file.
  ///
  /// - Returns: false, and nothing is changed, where the file system can't do that.
  public func readDirectly() -> Bool {
    double == nil && tidemark_read_directly(descriptor) == 0
  }

  /// Frees the room of a range, which then reads as zeros (fallocate(2) PUNCH_HOLE | KEEP_SIZE).
  package func punchHole(at offset: UInt64, count: UInt64) throws(IOError) {
    guard double == nil else { throw IOError("free room in", path, code: EOPNOTSUPP) }
    guard tidemark_punch_hole(descriptor, Int64(offset), Int64(count)) == 0 else {
      throw IOError("free room in", path, code: errno)
    }
  }
}
