import FileIO
import Support
import Synchronization

/// A simulated disk that counts how often it is read.
final class CountingDisk: FileSystemDouble {
  let disk: SimulatedDisk
  private let count = Mutex(0)

  init(_ disk: SimulatedDisk) { self.disk = disk }

  /// Reads since the last time this was asked.
  func takeReads() -> Int {
    count.withLock { count in
      defer { count = 0 }
      return count
    }
  }

  func read(
    _ handle: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(IOError) -> Int {
    count.withLock { $0 += 1 }
    return try disk.read(handle, into: buffer, at: offset)
  }

  func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
    try disk.open(path, mode)
  }

  func close(_ handle: Int32) { disk.close(handle) }

  func write(
    _ handle: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(IOError) {
    try disk.write(handle, bytes, at: offset)
  }

  func sync(_ handle: Int32) throws(IOError) { try disk.sync(handle) }

  func truncate(_ handle: Int32, to size: UInt64) throws(IOError) {
    try disk.truncate(handle, to: size)
  }

  func status(_ handle: Int32) throws(IOError) -> FileStatus { try disk.status(handle) }
  func status(_ path: String) throws(IOError) -> FileStatus { try disk.status(path) }
  func list(_ path: String) throws(IOError) -> [String] { try disk.list(path) }
  func makeDirectory(_ path: String) throws(IOError) { try disk.makeDirectory(path) }
  func rename(_ old: String, to new: String) throws(IOError) { try disk.rename(old, to: new) }
  func remove(_ path: String) throws(IOError) { try disk.remove(path) }
  func syncDirectory(_ path: String) throws(IOError) { try disk.syncDirectory(path) }
  func space() throws(IOError) -> (free: UInt64, total: UInt64) { try disk.space() }
  func lockExclusively(_ handle: Int32) throws(IOError) { try disk.lockExclusively(handle) }

  func lockSharedByte(_ handle: Int32, _ offset: UInt64) throws(IOError) {
    try disk.lockSharedByte(handle, offset)
  }

  func unlockByte(_ handle: Int32, _ offset: UInt64) throws(IOError) {
    try disk.unlockByte(handle, offset)
  }

  func lowestLockedByte(_ handle: Int32, in range: Range<UInt64>) throws(IOError) -> UInt64? {
    try disk.lowestLockedByte(handle, in: range)
  }
}
