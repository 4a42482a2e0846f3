internal import Bytes
internal import FileIO
internal import Synchronization

/// A disk of a branch that is a plain file: what is left of the branch once it was flattened.
///
/// Protocol: a write is answered once pwrite(2) has returned, so the end of the process loses nothing; it is
/// durable behind the next fdatasync. A loss of power takes any sectors that were not flushed, as of any plain
/// file. After an fdatasync that failed nothing more is written until the branch is opened again.
/// Safe from any thread; calls block.
final class FlatDisk: Sendable {
  let number: DiskNumber
  let size: UInt64
  private let file: File
  /// Whether something was written since the last fdatasync; at first by the process before this one.
  private let isDirty = Atomic(true)
  /// Writes that were answered and may not be durable.
  private let pending = Atomic<UInt64>(0)
  /// The kernel tells once of bytes that it could not write: so fdatasyncs go one by one, and after one that
  /// failed each that follows fails.
  private let failure = Mutex<IOError?>(nil)

  /// Opens the file of a disk, which has to have its size.
  init(_ disk: PointDisk, at path: String, _ mode: OpenMode, on system: FileSystem) throws(IOError)
  {
    (number, size) = (disk.number, disk.size)
    file = try File(path, mode, on: system)
  }

  /// The name of a disk's file in the directory of its branch.
  static func name(of disk: DiskNumber) -> String { "disk\(disk).raw" }

  var path: String { file.path }
  /// Bytes it takes on the file system, or those of the disk where that can't be told.
  var allocated: UInt64 { (try? file.status().allocated) ?? size }
  /// When it was written to last, whoever did.
  var modified: Timestamp {
    get throws(VaultError) { try translated { () throws(IOError) in try file.status().modified } }
  }
  var unsyncedWrites: UInt64 { pending.load(ordering: .relaxed) }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(VaultError) {
    guard offset <= size, UInt64(buffer.count) <= size - offset else {
      throw VaultError(
        .invalid, "A read of \(buffer.count) bytes at \(offset) is past the disk's \(size) bytes.")
    }
    let count = try translated { () throws(IOError) in try file.read(into: buffer, at: offset) }
    guard count == buffer.count else {
      throw VaultError(
        .damaged, "'\(path)' ends before byte \(offset + UInt64(buffer.count)): it was cut short.")
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(VaultError) {
    try change { () throws(IOError) in try file.write(bytes, at: offset) }
  }

  /// Frees the room of the bytes; where the file system can't do that, zeros are written.
  func zero(_ range: Range<UInt64>) throws(VaultError) {
    try change { () throws(IOError) in
      do throws(IOError) {
        try file.punchHole(at: range.lowerBound, count: range.upperBound - range.lowerBound)
      } catch {
        guard error.isUnsupported else { throw error }
        try writeZeros(range)
      }
    }
  }

  private func writeZeros(_ range: Range<UInt64>) throws(IOError) {
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    var position = range.lowerBound
    while position < range.upperBound {
      let count = min(UInt64(zeros.count), range.upperBound - position)
      try file.write(count == zeros.count ? zeros : Array(zeros[..<Int(count)]), at: position)
      position += count
    }
  }

  private func change(_ body: () throws(IOError) -> Void) throws(VaultError) {
    try translated(body)
    pending.wrappingAdd(1, ordering: .relaxed)
    isDirty.store(true, ordering: .releasing)
  }

  /// Makes durable what was written before the call.
  func sync() throws(IOError) {
    try failure.withLock { failure throws(IOError) in
      if let failure { throw failure }
      let answered = pending.load(ordering: .relaxed)
      guard isDirty.exchange(false, ordering: .acquiringAndReleasing) else { return }
      do throws(IOError) { try file.sync() } catch {
        failure = error
        throw error
      }
      pending.wrappingSubtract(answered, ordering: .relaxed)
    }
  }

  func nextData(from offset: UInt64) throws(VaultError) -> UInt64? {
    try translated { () throws(IOError) in try file.nextData(from: offset) }
  }

  func nextHole(from offset: UInt64) throws(VaultError) -> UInt64 {
    try translated { () throws(IOError) in try file.nextHole(from: offset) }
  }

  /// Whether all of these bytes have their room, so that writing them takes no more.
  func hasRoom(for range: Range<UInt64>) throws(VaultError) -> Bool {
    guard try nextHole(from: range.lowerBound) >= range.upperBound else { return false }
    // A file system that knows of no holes tells of none in a sparse file either.
    if allocated >= size { return true }
    return try nextHole(from: 0) < size
  }

  /// Makes everything from `offset` on zeros again, which take no room.
  func clear(from offset: UInt64) throws(VaultError) {
    try change { () throws(IOError) in
      try file.truncate(to: offset)
      try file.truncate(to: size)
    }
  }

  /// Has the kernel forget what it holds of the file and has written, or could not write: from then on what is
  /// read is what the disk has, whatever became of an fdatasync of another process.
  func forgetCached() { file.forgetCached() }

  /// Lets the kernel begin to write a range to the disk.
  func beginWriteback(_ range: Range<UInt64>) { file.beginWriteback(range) }

  /// Makes this file, just made, share all bytes of another one, as they are at one moment.
  func clone(_ other: FlatDisk) throws(IOError) { try file.clone(from: other.file) }

  /// Throws if the file has not the size of the disk.
  func checkSize() throws(VaultError) {
    let found = try translated { () throws(IOError) in try file.status().size }
    guard found == size else {
      throw VaultError(
        .damaged, "'\(path)' has \(found) bytes, not the \(size) of disk \(number).")
    }
  }
}

/// A disk of a branch that is a plain file, for reading.
extension FlatDisk: DiskContent {}
