internal import CFuse
internal import Glibc
internal import RecoveryTree

/// Whose files are, and who may do what with them, as stat(2) shows it.
struct FileLooks: Sendable {
  let owner: (user: uid_t, group: gid_t)
  let directoryMode: mode_t
  let fileMode: mode_t

  /// For how many seconds the kernel may believe what can change.
  static let moment = 1.0
  /// For how many seconds it may believe what can't: a year, as good as forever to its caches.
  static let forever = 31_536_000.0

  /// Everybody who sees the mount reads.
  static let readOnly = FileLooks(
    owner: (getuid(), getgid()), directoryMode: 0o555, fileMode: 0o444)

  /// Only this user reads and writes, and a group if one is let in.
  static func writable(group: gid_t?) -> FileLooks {
    FileLooks(
      owner: (getuid(), group ?? getgid()), directoryMode: group == nil ? 0o500 : 0o550,
      fileMode: group == nil ? 0o600 : 0o660)
  }

  func facts(_ attributes: TreeAttributes) -> stat {
    var facts = stat()
    facts.st_ino = ino_t(attributes.inode.rawValue)
    // One link, as on btrfs, means that a directory's subdirectories are not counted.
    facts.st_nlink = 1
    facts.st_mode =
      switch attributes.kind {
      case .directory: S_IFDIR | directoryMode
      case .file: S_IFREG | fileMode
      case .link: S_IFLNK | 0o777
      }
    (facts.st_uid, facts.st_gid) = owner
    facts.st_size = off_t(attributes.size)
    facts.st_blocks = blkcnt_t(attributes.blocks)
    facts.st_blksize = blksize_t(attributes.kind == .file ? 1 << 20 : 4096)
    let (seconds, rest) = attributes.modified.quotientAndRemainder(dividingBy: 1_000_000_000)
    facts.st_mtim = timespec(tv_sec: Int(rest < 0 ? seconds - 1 : seconds), tv_nsec: 0)
    facts.st_mtim.tv_nsec = Int(rest < 0 ? rest + 1_000_000_000 : rest)
    (facts.st_ctim, facts.st_atim) = (facts.st_mtim, facts.st_mtim)
    return facts
  }

  func parameters(_ entry: TreeEntry) -> fuse_entry_param {
    var parameters = fuse_entry_param()
    parameters.ino = entry.attributes.inode.rawValue
    parameters.attr = facts(entry.attributes)
    // Where a link leads to may be gone as soon as it leads elsewhere: the disks of the former failover.
    let usual = entry.attributes.kind == .link ? 0 : Self.moment
    parameters.entry_timeout = entry.nameLasts ? Self.forever : usual
    parameters.attr_timeout = Self.lasting(entry)
    return parameters
  }

  /// For how many seconds the attributes of an entry may be believed.
  static func lasting(_ entry: TreeEntry) -> Double {
    entry.attributesChange ? 0 : entry.attributesLast ? forever : moment
  }

  static func type(of kind: TreeAttributes.Kind) -> mode_t {
    switch kind {
    case .directory: S_IFDIR
    case .file: S_IFREG
    case .link: S_IFLNK
    }
  }
}
