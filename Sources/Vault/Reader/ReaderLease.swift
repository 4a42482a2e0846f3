internal import FileIO

/// A reader's promise to the writer: files that the MANIFEST named at this generation are in use.
///
/// It is a shared OFD lock on byte n of the file `readers`, n being the generation. Who only looks at what
/// there is, as a mount of which no file is open, locks the byte `glances` + n instead: that keeps the writer
/// from removing files just as well, and nobody from removing the machine. An ordinary user can take it with the
/// file opened for reading, and a crash gives it back. Where it can't be taken (no such file, a file system
/// without locks) the vault can't be written from here either.
final class ReaderLease: Sendable {
  static let fileName = "readers"
  static let glances: UInt64 = 1 << 62

  let generation: UInt64
  let isGlance: Bool
  private let file: LogFile?

  init(directory: String, generation: UInt64, isGlance: Bool = false, on system: FileSystem) {
    (self.generation, self.isGlance) = (generation, isGlance)
    do throws(IOError) {
      let file = LogFile(try File(directory + "/" + Self.fileName, .reading, on: system))
      try file.file.lockSharedByte(isGlance ? Self.glances + generation : generation)
      self.file = file
    } catch {
      file = nil
    }
  }

  /// Whether any reader goes by one of these generations; who only looks is none.
  static func isTaken(
    _ generations: Range<UInt64>, directory: String, on system: FileSystem
  ) throws(VaultError) -> Bool {
    try translated { () throws(IOError) in
      let file = try File(directory + "/" + fileName, .reading, on: system)
      return try file.lowestLockedByte(in: generations) != nil
    }
  }

  /// Whether anybody who only looks goes by one of these generations.
  static func isLookedAt(
    _ generations: Range<UInt64>, directory: String, on system: FileSystem
  ) throws(VaultError) -> Bool {
    let bytes = glances + generations.lowerBound..<glances + generations.upperBound
    return try isTaken(bytes, directory: directory, on: system)
  }
}
