/// What a test puts in the place of the machine's file systems: the calls a vault's files need.
///
/// Paths are plain strings, handles are numbers that `open` gives out. A double decides what
/// survives a crash; `Tests/Support` holds one that loses, tears and reorders what was not synced.
public protocol FileSystemDouble: Sendable {
  /// Opens a file and gives a handle to it.
  func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32
  /// Ends the use of a handle.
  func close(_ handle: Int32)
  /// Fills `buffer` from `offset` as far as the file reaches; gives how many bytes that were.
  func read(
    _ handle: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(IOError) -> Int
  /// Writes all of `bytes` at `offset`.
  func write(_ handle: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(IOError)
  /// Makes content and size durable.
  func sync(_ handle: Int32) throws(IOError)
  /// Sets the size.
  func truncate(_ handle: Int32, to size: UInt64) throws(IOError)
  /// Tells of an open file.
  func status(_ handle: Int32) throws(IOError) -> FileStatus
  /// Tells of a path.
  func status(_ path: String) throws(IOError) -> FileStatus
  /// The names in a directory.
  func list(_ path: String) throws(IOError) -> [String]
  /// Makes a directory.
  func makeDirectory(_ path: String) throws(IOError)
  /// Renames a file.
  func rename(_ old: String, to new: String) throws(IOError)
  /// Removes a file or an empty directory.
  func remove(_ path: String) throws(IOError)
  /// Makes the names in a directory durable.
  func syncDirectory(_ path: String) throws(IOError)
  /// Bytes free and bytes in all.
  func space() throws(IOError) -> (free: UInt64, total: UInt64)
  /// Takes the file's exclusive lock; EAGAIN if another handle has it.
  func lockExclusively(_ handle: Int32) throws(IOError)
  /// Takes a shared lock on one byte.
  func lockSharedByte(_ handle: Int32, _ offset: UInt64) throws(IOError)
  /// Gives up the lock on one byte.
  func unlockByte(_ handle: Int32, _ offset: UInt64) throws(IOError)
  /// The lowest byte of `range` that another handle has locked.
  func lowestLockedByte(_ handle: Int32, in range: Range<UInt64>) throws(IOError) -> UInt64?
}
