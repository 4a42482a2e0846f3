public import Bytes
internal import CFileIO

/// Where a file comes from: what tells it from another one that got its number later.
public struct FileOrigin: Hashable, Sendable {
  /// When it was made (statx(2), `stx_btime`); nil where the file system does not keep that.
  public var born: Timestamp?
  /// How often its number was given out (FS_IOC_GETVERSION, ioctl(2)); nil where that is not told.
  public var generation: UInt32?
}

extension FileSystem {
  /// Where the file at `path` comes from, as far as its file system tells.
  public func origin(of path: String) -> FileOrigin {
    guard double == nil else { return FileOrigin() }
    var (born, generation): (Int64, Int64) = (0, -1)
    guard tidemark_file_origin(path, &born, &generation) == 0 else { return FileOrigin() }
    return FileOrigin(
      born: born == 0 ? nil : Timestamp(rawValue: born),
      generation: generation < 0 ? nil : UInt32(truncatingIfNeeded: generation))
  }
}
