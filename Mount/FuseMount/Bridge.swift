internal import CFuse
internal import Glibc
internal import RecoveryTree
internal import Synchronization

/// Between libfuse and the tree: decodes a request, calls the tree, replies. Its methods are called
/// from several threads at once.
final class Bridge: Sendable {
  let tree: RecoveryTree
  private let report: @Sendable (String) -> Void
  private let owner: (user: uid_t, group: gid_t)
  /// Pointers to retained objects that the kernel holds as handles, to be released if it never does.
  private let handles = Mutex<Set<UInt64>>([])
  /// The fault reported last: each is reported once, not at every try of a reader.
  private let reported = Mutex<TreeError?>(nil)

  /// For how many seconds the kernel may believe what can change.
  static let moment = 1.0
  /// For how many seconds it may believe what can't: a year, as good as forever to its caches.
  static let forever = 31_536_000.0

  init(_ tree: RecoveryTree, report: @escaping @Sendable (String) -> Void) {
    self.tree = tree
    self.report = report
    owner = (getuid(), getgid())
  }

  deinit {
    for handle in handles.withLock({ $0 }) { Self.pointer(handle)?.release() }
  }

  /// Answers with the error's errno, and reports it if something is wrong with the vault.
  func fail(_ reply: consuming Reply, _ error: TreeError) {
    reply.status(error.code)
    guard error.isFault else { return }
    let isNew = reported.withLock { last in
      defer { last = error }
      return last != error
    }
    if isNew { report(error.message) }
  }

  /// What stat(2) shows.
  func facts(_ attributes: TreeAttributes) -> stat {
    var facts = stat()
    facts.st_ino = ino_t(attributes.inode.rawValue)
    // One link, as on btrfs, means that a directory's subdirectories are not counted.
    facts.st_nlink = 1
    facts.st_mode =
      switch attributes.kind {
      case .directory: S_IFDIR | 0o555
      case .file: S_IFREG | 0o444
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
    parameters.entry_timeout = entry.nameLasts ? Self.forever : Self.moment
    parameters.attr_timeout = entry.attributesLast ? Self.forever : Self.moment
    return parameters
  }
}

// MARK: - Handles

extension Bridge {
  private static func pointer(_ handle: UInt64) -> Unmanaged<AnyObject>? {
    UnsafeRawPointer(bitPattern: UInt(handle)).map { Unmanaged<AnyObject>.fromOpaque($0) }
  }

  /// Retains an object for the kernel.
  func hold(_ object: AnyObject) -> UInt64 {
    let handle = UInt64(UInt(bitPattern: Unmanaged.passRetained(object).toOpaque()))
    handles.withLock { _ = $0.insert(handle) }
    return handle
  }

  /// Gives up what `hold` retained.
  func release(_ handle: UInt64) {
    guard handles.withLock({ $0.remove(handle) }) != nil else { return }
    Self.pointer(handle)?.release()
  }

  /// The object of a handle the kernel holds.
  @inline(__always)
  static func held<Object: AnyObject>(
    _ info: UnsafeMutablePointer<fuse_file_info>?, _ type: Object.Type
  ) -> Object? {
    guard let handle = info?.pointee.fh, let pointer = UnsafeRawPointer(bitPattern: UInt(handle))
    else { return nil }
    return Unmanaged<Object>.fromOpaque(pointer).takeUnretainedValue()
  }
}
