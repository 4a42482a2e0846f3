internal import CFuse
internal import Glibc

/// A directory to mount on, or a mount to end.
enum MountPoint {
  /// The path without symbolic links and dots, found without asking what may be mounted there.
  ///
  /// The last component is taken as it is if looking at it fails because its server is gone.
  static func resolve(_ path: String) throws(MountError) -> String {
    if let full = realpath(path, nil) {
      defer { free(full) }
      return String(cString: full)
    }
    let reason = errno
    guard isStale(reason) || reason == EACCES else {
      throw reason == ENOENT ? .missing(path) : .system("find '\(path)'", reason)
    }
    var trimmed = Substring(path)
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    let slash = trimmed.lastIndex(of: "/")
    let name = slash.map { trimmed[trimmed.index(after: $0)...] } ?? trimmed
    let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
    guard let full = realpath(parent, nil) else { throw .system("find '\(parent)'", errno) }
    defer { free(full) }
    let directory = String(cString: full)
    return (directory == "/" ? "" : directory) + "/" + name
  }

  /// Whether `code` is how the kernel answers for a FUSE mount whose server is gone.
  static func isStale(_ code: Int32) -> Bool { code == ENOTCONN || code == ECONNABORTED }

  /// Checks that a vault can be mounted at a path, and resolves it.
  static func check(_ path: String, mayHoldFiles: Bool) throws(MountError) -> String {
    let path = try resolve(path)
    var facts = stat()
    let reason = stat(path, &facts) == 0 ? 0 : errno
    if isStale(reason) { throw .stale(path) }
    if MountTable.top(at: path)?.type == MountEntry.type {
      // Unlike attributes, these figures are never cached, so a server that is gone shows.
      var figures = statvfs()
      let isServed = statvfs(path, &figures) == 0 || !isStale(errno)
      throw isServed ? .alreadyMounted(path) : .stale(path)
    }
    if reason == ENOENT { throw .missing(path) }
    guard reason == 0 else { throw .system("look at '\(path)'", reason) }
    guard facts.st_mode & S_IFMT == S_IFDIR else { throw .notADirectory(path) }
    if !mayHoldFiles, !(try isEmpty(path)) { throw .notEmpty(path) }
    return path
  }

  private static func isEmpty(_ path: String) throws(MountError) -> Bool {
    guard let stream = opendir(path) else { throw .system("list '\(path)'", errno) }
    defer { closedir(stream) }
    // `.` and `..` are two entries.
    for _ in 0..<2 where readdir(stream) == nil { return true }
    return readdir(stream) == nil
  }
}
