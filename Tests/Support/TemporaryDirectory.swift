internal import FileIO
internal import Glibc

/// A directory that is removed, with all in it, when the value ends.
///
/// It lies in `TIDEMARK_TEST_DIRECTORY`, else in `TMPDIR`, else in `/var/tmp`, which unlike `/tmp`
/// is seldom kept in memory. `TIDEMARK_KEEP` in the environment keeps it and prints where it is.
public final class TemporaryDirectory: Sendable {
  /// Where it is, without a slash at the end.
  public let path: String

  /// Makes the directory; `name` is part of its name.
  public init(_ name: String = "test", in parent: String? = nil) throws {
    let parent =
      parent ?? environment("TIDEMARK_TEST_DIRECTORY") ?? environment("TMPDIR") ?? "/var/tmp"
    var template = Array("\(parent)/tidemark-\(name)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw IOError("make a directory in", parent, code: errno)
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    guard environment("TIDEMARK_KEEP") == nil else { return print("kept \(path)") }
    removeTree(path)
  }

  /// The path of `name` in the directory.
  public func file(_ name: String) -> String { path + "/" + name }
}

/// Removes a directory and all in it; follows no symbolic link.
func removeTree(_ path: String) {
  for name in (try? FileSystem.system.list(path)) ?? [] {
    let inner = path + "/" + name
    // Only a directory can't be unlinked.
    if unlink(inner) != 0 { removeTree(inner) }
  }
  rmdir(path)
}
