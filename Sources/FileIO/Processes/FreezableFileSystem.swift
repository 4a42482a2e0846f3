internal import CFileIO
internal import Glibc

/// A mounted file system that can be frozen: held open by its mount point, so that it can be thawed
/// whatever happens to the path.
public struct FreezableFileSystem: ~Copyable, Sendable {
  private let directory: Int32
  private let path: String

  /// Opens a mount point.
  public init(_ path: String) throws(IOError) {
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    self.path = path
    guard directory >= 0 else { throw IOError("open", path, code: errno) }
  }

  deinit { if directory >= 0 { close(directory) } }

  /// Writes everything out and makes writers wait (FIFREEZE). Blocks for as long as writing takes.
  ///
  /// - Throws: an error with `isBusy` if it is frozen already.
  public func freeze() throws(IOError) {
    guard tidemark_freeze(directory) == 0 else { throw IOError("freeze", path, code: errno) }
  }

  /// Lets writers go on (FITHAW). Nothing happens if they do already.
  public func thaw() throws(IOError) {
    guard tidemark_thaw(directory) == 0 || errno == EINVAL else {
      throw IOError("thaw", path, code: errno)
    }
  }
}

extension IOError {
  /// It is in use, or done already (EBUSY).
  public var isBusy: Bool { code == EBUSY }
}
