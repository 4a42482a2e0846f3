internal import CFileIO
internal import Glibc

extension File {
  /// Takes the file's lock for this process alone (flock(2), LOCK_EX | LOCK_NB).
  ///
  /// Another process that is just ending, or starting a program (whose descriptors close only at its
  /// exec), gets `patience` milliseconds to let go of it.
  /// - Throws: an error with `isLocked` if another process has it.
  public func lockExclusively(patience: Int = 0) throws(IOError) {
    if let double { return try double.lockExclusively(descriptor) }
    var left = patience
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      guard code == EWOULDBLOCK, left > 0 else { throw IOError("lock", path, code: code) }
      usleep(10_000)
      left -= 10
    }
  }

  /// Takes a shared lock on one byte, held until the file is closed (F_OFD_SETLK, F_RDLCK).
  public func lockSharedByte(_ offset: UInt64) throws(IOError) {
    if let double { return try double.lockSharedByte(descriptor, offset) }
    guard tidemark_lock_byte(descriptor, Int64(offset), F_RDLCK) == 0 else {
      throw IOError("lock a byte of", path, code: errno)
    }
  }

  /// Gives up the lock on one byte.
  public func unlockByte(_ offset: UInt64) throws(IOError) {
    if let double { return try double.unlockByte(descriptor, offset) }
    guard tidemark_lock_byte(descriptor, Int64(offset), F_UNLCK) == 0 else {
      throw IOError("unlock a byte of", path, code: errno)
    }
  }

  /// The lowest byte in `range` that another open file has locked; nil if none has (F_OFD_GETLK).
  public func lowestLockedByte(in range: Range<UInt64>) throws(IOError) -> UInt64? {
    if let double { return try double.lowestLockedByte(descriptor, in: range) }
    var lowest: UInt64?
    var end = range.upperBound
    while range.lowerBound < end {
      var first: Int64 = 0
      let found = tidemark_find_lock(
        descriptor, Int64(range.lowerBound), Int64(end - range.lowerBound), &first)
      guard found >= 0 else { throw IOError("look for locks on", path, code: errno) }
      guard found == 1 else { break }
      lowest = max(UInt64(first), range.lowerBound)
      end = lowest ?? end
    }
    return lowest
  }

  /// Makes this file share all of `source`'s blocks (FICLONE); both must lie on one file system.
  public func clone(from source: borrowing File) throws(IOError) {
    guard tidemark_clone(descriptor, source.descriptor) == 0 else {
      throw IOError("clone", source.path, code: errno)
    }
  }
}
