internal import FileIO
internal import Synchronization

/// A reader's promise to the writer: files that the MANIFEST named at this generation are in use.
///
/// It is a shared OFD lock on byte n of the file `readers`, n being the generation. An ordinary user
/// can take it with the file opened for reading, and a crash gives it back. Where it can't be taken
/// (no such file, a file system without locks) the vault can't be written from here either.
final class ReaderLease: Sendable {
  static let fileName = "readers"

  let generation: UInt64
  private let file: Mutex<LogFile?>

  init(directory: String, generation: UInt64, on system: FileSystem) {
    self.generation = generation
    var locked: LogFile?
    do throws(IOError) {
      let file = LogFile(try File(directory + "/" + Self.fileName, .reading, on: system))
      try file.file.lockSharedByte(generation)
      locked = file
    } catch {
      locked = nil
    }
    file = Mutex(locked)
  }

  /// Gives the lock back early.
  func release() { file.withLock { $0 = nil } }

  /// The oldest generation below `limit` that a reader uses; nil if none is in use.
  static func oldest(
    below limit: UInt64, directory: String, on system: FileSystem
  ) throws(VaultError) -> UInt64? {
    return try translated { () throws(IOError) in
      let file = try File(directory + "/" + fileName, .reading, on: system)
      return try file.lowestLockedByte(in: 0..<limit)
    }
  }
}
