internal import Glibc

extension FileSystem {
  /// The owner of a directory that this user can rely on: a directory and no link to one, of this user or root
  /// (of anybody, for root), which nobody else can write to.
  ///
  /// - Throws: ENOTDIR or EPERM for another one; ENOENT if it is not there.
  public static func ownerOfOwnDirectory(_ path: String) throws(IOError) -> UInt32 {
    var facts = stat()
    guard lstat(path, &facts) == 0 else { throw IOError("look at", path, code: errno) }
    guard facts.st_mode & S_IFMT == S_IFDIR else { throw IOError("use", path, code: ENOTDIR) }
    let user = userIdentifier
    guard facts.st_uid == user || facts.st_uid == 0 || user == 0, facts.st_mode & 0o022 == 0 else {
      throw IOError("use", path, code: EPERM)
    }
    return facts.st_uid
  }
}
