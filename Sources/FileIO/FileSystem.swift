public import Bytes
internal import Glibc

/// How a file is opened.
public enum OpenMode: Sendable {
  /// Only for reading.
  case reading
  /// For reading and writing; it must exist.
  case writing
  /// For reading and writing; it must not exist and is made with these permissions.
  case creating(permissions: UInt32)
}

/// What a file system can tell of a file.
public struct FileStatus: Hashable, Sendable {
  /// What kind of file it is.
  public enum Kind: Sendable { case file, directory, device, other }

  /// The kind.
  public var kind: Kind
  /// Bytes; of a block device too.
  public var size: UInt64
  /// Bytes the file occupies.
  public var allocated: UInt64
  /// Which file system, and which file of it.
  public var device: UInt64
  /// The file's number in its file system.
  public var inode: UInt64
  /// Time of the last change of content.
  public var modified: Timestamp
  /// Time of the last change of content or attributes.
  public var changed: Timestamp
  /// Permission bits.
  public var permissions: UInt32
  /// User that owns the file.
  public var owner: UInt32
  /// Group that owns the file.
  public var group: UInt32
  /// Names it has: none once it was removed while somebody has it open.
  public var links: UInt64

  /// Describes a file by these facts.
  public init(
    kind: Kind, size: UInt64, allocated: UInt64, device: UInt64 = 0, inode: UInt64 = 0,
    modified: Timestamp = Timestamp(rawValue: 0), changed: Timestamp = Timestamp(rawValue: 0),
    permissions: UInt32 = 0o600, owner: UInt32 = 0, group: UInt32 = 0, links: UInt64 = 1
  ) {
    (self.kind, self.size, self.allocated) = (kind, size, allocated)
    (self.device, self.inode, self.owner, self.group) = (device, inode, owner, group)
    (self.modified, self.changed, self.permissions) = (modified, changed, permissions)
    self.links = links
  }
}

/// The place where files live: the system's own file systems, or a test's double of them.
///
/// Everything durable reaches the disk through this type, so that a test can put a disk underneath
/// that forgets what was not synced. All calls block the calling thread.
public struct FileSystem: Sendable {
  let double: (any FileSystemDouble)?

  /// The file systems of this machine.
  public static let system = FileSystem(double: nil)

  /// A file system that answers instead of the machine's.
  public init(double: (any FileSystemDouble)?) { self.double = double }

  /// The names in a directory, without `.` and `..`, in no order.
  public func list(_ path: String) throws(IOError) -> [String] {
    if let double { return try double.list(path) }
    guard let stream = opendir(path) else { throw IOError("list", path, code: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw IOError("list", path, code: errno) }
    return names
  }

  /// Makes a directory (mkdir(2)) with exactly these permissions.
  public func makeDirectory(_ path: String, permissions: UInt32 = 0o700) throws(IOError) {
    if let double { return try double.makeDirectory(path) }
    guard mkdir(path, permissions) == 0, chmod(path, permissions) == 0 else {
      throw IOError("make the directory", path, code: errno)
    }
  }

  /// Makes a directory that only its owner may enter, unless it is there; durable when it returns.
  public func makePrivateDirectory(_ path: String) throws(IOError) {
    do throws(IOError) {
      try makeDirectory(path, permissions: 0o700)
    } catch { guard error.isPresent else { throw error } }
    try syncDirectory(Self.parent(of: path))
  }

  /// Gives a path to a group (chown(2)); the owner stays.
  public func setGroup(_ path: String, _ group: UInt32) throws(IOError) {
    guard double == nil else { return }
    guard chown(path, uid_t.max, group) == 0 else {
      throw IOError("change the group of", path, code: errno)
    }
  }

  /// Sets the permissions of a path (chmod(2)): the first for a directory, the second for a file.
  public func setPermissions(
    _ path: String, directory: UInt32, file: UInt32
  ) throws(IOError) {
    guard double == nil else { return }
    let permissions = try status(path).kind == .directory ? directory : file
    guard chmod(path, permissions) == 0 else {
      throw IOError("change the permissions of", path, code: errno)
    }
  }

  /// Renames a file, replacing what has the new name (rename(2)). Durable once the directory is synced.
  public func rename(_ old: String, to new: String) throws(IOError) {
    if let double { return try double.rename(old, to: new) }
    guard Glibc.rename(old, new) == 0 else { throw IOError("rename", old, code: errno) }
  }

  /// Removes a file (unlink(2)).
  public func remove(_ path: String) throws(IOError) {
    if let double { return try double.remove(path) }
    guard unlink(path) == 0 else { throw IOError("remove", path, code: errno) }
  }

  /// Removes an empty directory (rmdir(2)).
  public func removeDirectory(_ path: String) throws(IOError) {
    if let double { return try double.remove(path) }
    guard rmdir(path) == 0 else { throw IOError("remove the directory", path, code: errno) }
  }

  /// Makes names added to and removed from a directory durable (fsync(2) on it).
  public func syncDirectory(_ path: String) throws(IOError) {
    if let double { return try double.syncDirectory(path) }
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw IOError("open", path, code: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw IOError("sync the directory", path, code: errno) }
  }

  /// What is known of a path, symbolic links followed (stat(2)).
  public func status(_ path: String) throws(IOError) -> FileStatus {
    if let double { return try double.status(path) }
    var facts = stat()
    guard stat(path, &facts) == 0 else { throw IOError("look at", path, code: errno) }
    return FileStatus(facts)
  }

  /// Whether a path exists and may be looked at.
  public func exists(_ path: String) -> Bool { (try? status(path)) != nil }

  /// Bytes free to this user, and bytes in all, where `path` lies (statvfs(3)).
  public func space(at path: String) throws(IOError) -> (free: UInt64, total: UInt64) {
    if let double { return try double.space() }
    var facts = statvfs()
    guard statvfs(path, &facts) == 0 else {
      throw IOError("measure the space at", path, code: errno)
    }
    let unit = UInt64(facts.f_frsize)
    return (UInt64(facts.f_bavail) * unit, UInt64(facts.f_blocks) * unit)
  }

  /// Writes a small file so that after a crash either the old or the new content is there.
  ///
  /// Protocol: write `path.new`, fsync it, rename it over `path`, fsync the directory.
  public func replaceFile(
    _ path: String, with bytes: [UInt8], permissions: UInt32
  ) throws(IOError) {
    let temporary = path + ".new"
    do { try remove(temporary) } catch { guard error.isMissing else { throw error } }
    let file = try File(temporary, .creating(permissions: permissions), on: self)
    try file.write(bytes, at: 0)
    try file.sync()
    try rename(temporary, to: path)
    try syncDirectory(Self.parent(of: path))
  }

  /// Reads a whole file of at most `limit` bytes; a longer one is EFBIG.
  public func readFile(_ path: String, limit: Int) throws(IOError) -> [UInt8] {
    let file = try File(path, .reading, on: self)
    let size = try file.status().size
    guard size <= UInt64(limit) else { throw IOError("read", path, code: EFBIG) }
    return try file.read(at: 0, count: Int(size))
  }

  /// The directory a path lies in.
  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The path with symbolic links, `.` and `..` resolved (realpath(3)); it must exist.
  public static func resolved(_ path: String) throws(IOError) -> String {
    guard let full = realpath(path, nil) else { throw IOError("find", path, code: errno) }
    defer { free(full) }
    return String(cString: full)
  }

  /// The user this process acts as (geteuid(2)).
  public static var userIdentifier: UInt32 { geteuid() }

  /// Lets this process hold as many open files as the system allows it (setrlimit(2)).
  public static func raiseOpenFileLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(7), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = setrlimit(__rlimit_resource_t(7), &limit)
  }
}

extension FileStatus {
  init(_ facts: stat) {
    func moment(_ time: timespec) -> Timestamp {
      Timestamp(rawValue: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }
    let kinds: [mode_t: Kind] = [S_IFREG: .file, S_IFDIR: .directory, S_IFBLK: .device]
    self.init(
      kind: kinds[facts.st_mode & S_IFMT] ?? .other, size: UInt64(max(0, facts.st_size)),
      allocated: UInt64(facts.st_blocks) * 512, device: UInt64(facts.st_dev),
      inode: UInt64(facts.st_ino), modified: moment(facts.st_mtim), changed: moment(facts.st_ctim),
      permissions: facts.st_mode & 0o7777, owner: facts.st_uid, group: facts.st_gid,
      links: UInt64(facts.st_nlink))
  }
}
