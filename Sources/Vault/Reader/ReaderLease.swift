internal import FileIO

/// A reader's promise to the writer: files that the MANIFEST named at this generation are in use.
///
/// It is a shared OFD lock on byte n of the file `readers`, n being the generation. An ordinary user
/// can take it with the file opened for reading, and a crash gives it back. Where it can't be taken
/// (no such file, a file system without locks) the vault can't be written from here either.
final class ReaderLease: Sendable {
  static let fileName = "readers"

  let generation: UInt64
  private let file: LogFile?

  init(directory: String, generation: UInt64, on system: FileSystem) {
    self.generation = generation
    do throws(IOError) {
      let file = LogFile(try File(directory + "/" + Self.fileName, .reading, on: system))
      try file.file.lockSharedByte(generation)
      self.file = file
    } catch {
      file = nil
    }
  }

  /// Whether any reader goes by one of these generations.
  static func isTaken(
    _ generations: Range<UInt64>, directory: String, on system: FileSystem
  ) throws(VaultError) -> Bool {
    try translated { () throws(IOError) in
      let file = try File(directory + "/" + fileName, .reading, on: system)
      return try file.lowestLockedByte(in: generations) != nil
    }
  }
}
