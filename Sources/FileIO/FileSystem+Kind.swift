internal import CFileIO
internal import Glibc

/// What kind of file system a path lies on, as far as it matters here.
public enum FileSystemKind: String, Sendable {
  /// XFS.
  case xfs
  /// btrfs.
  case btrfs
  /// Any other.
  case other
}

extension FileSystem {
  /// The kind of file system `path` lies on (statfs(2), `f_type`).
  public func kind(at path: String) throws(IOError) -> FileSystemKind {
    guard double == nil else { return .other }
    var type: UInt64 = 0
    guard tidemark_file_system_type(path, &type) == 0 else {
      throw IOError("ask for the file system of", path, code: errno)
    }
    // XFS_SUPER_MAGIC and BTRFS_SUPER_MAGIC of linux/magic.h, which Swift's Glibc does not import.
    switch type {
    case 0x5846_5342: return .xfs
    case 0x9123_683E: return .btrfs
    default: return .other
    }
  }

  /// The directory that relative paths start from (getcwd(3)).
  public static func currentDirectory() throws(IOError) -> String {
    guard let path = getcwd(nil, 0) else { throw IOError("ask for", ".", code: errno) }
    defer { free(path) }
    return String(cString: path)
  }
}
