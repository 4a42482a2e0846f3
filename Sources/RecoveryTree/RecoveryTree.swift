public import Bytes
internal import FileIO
internal import Glibc
internal import Synchronization
public import Vault

/// The meaning of the mount: which names there are, what they lead to, and what is read from them.
///
/// It knows nothing of FUSE. Inodes are handed out by `lookup` and by `enter`, each of which counts
/// one look-up until `forget` takes it back. All calls may block the calling thread and may be made
/// from several threads at once; none of them changes the vault. `TheMount.md` specifies the tree.
public final class RecoveryTree: Sendable {
  let machines: Machines
  let disks: Disks
  let inodes = Mutex(InodeTable())
  let created: Timestamp
  let clock: @Sendable () -> Timestamp
  let vault: Vault
  let served: @Sendable (Identifier) -> String?

  /// Shows a vault; what is added to it later appears by itself. `served` tells in which directory the disks
  /// of a branch are served at present; nil if they are not.
  public convenience init(
    vault: Vault, served: @escaping @Sendable (Identifier) -> String? = { _ in nil }
  ) {
    self.init(vault: vault, served: served, clock: Timestamp.now)
  }

  /// Shows a vault at the hours of `clock`, by which `5m-ago` is told.
  package init(
    vault: Vault, served: @escaping @Sendable (Identifier) -> String? = { _ in nil },
    clock: @escaping @Sendable () -> Timestamp
  ) {
    machines = Machines(of: vault)
    (self.vault, self.served) = (vault, served)
    disks = Disks(of: machines)
    created = vault.description.created
    self.clock = clock
  }

  /// Finds a name in a directory and counts one look-up of what it leads to.
  ///
  /// - Throws: ENOENT if there is no such name; ENOTDIR if `parent` is not a directory.
  public func lookup(_ name: String, in parent: InodeNumber) throws(TreeError) -> TreeEntry {
    try enter(try child(name, of: try node(parent)))
  }

  /// Counts one look-up of what an entry of a directory leads to.
  public func enter(_ entry: TreeDirectory.Entry) throws(TreeError) -> TreeEntry {
    guard let node = entry.node else { throw .missing(entry.name) }
    return try enter(node)
  }

  /// Takes back look-ups of an inode; without any left it is forgotten.
  public func forget(_ inode: InodeNumber, lookups: UInt64) {
    inodes.withLock { $0.forget(inode, lookups: lookups) }
  }

  /// The attributes of an inode that was looked up.
  public func attributes(of inode: InodeNumber) throws(TreeError) -> TreeEntry {
    try describe(try node(inode), inode)
  }

  /// Where a symbolic link leads: `points/<id>`, or the directory that a branch's disks are served in.
  public func target(of inode: InodeNumber) throws(TreeError) -> String {
    let place = try node(inode).place
    switch place {
    case .link(let machine, let link): return try target(of: link, in: machine)
    case .branch(let branch): return try target(ofBranch: branch)
    default: throw TreeError(code: EINVAL, message: "\(place) is not a symbolic link.")
    }
  }

  /// Opens a directory for listing.
  public func openDirectory(_ inode: InodeNumber) throws(TreeError) -> TreeDirectory {
    let node = try node(inode)
    guard node.place.kind == .directory else { throw .notADirectory(node.place) }
    return TreeDirectory { [self] () throws(TreeError) in try list(node, inode) }
  }

  /// Opens a file for reading. The inode may be forgotten while the file is open.
  ///
  /// - Throws: ENOENT if the point is no longer in the vault; EISDIR if it is a directory.
  public func openFile(_ inode: InodeNumber) throws(TreeError) -> TreeFile {
    let node = try node(inode)
    if case .image(let place) = node.place, let visit = node.visit {
      let machine = place.cut.machine
      let shape = try disks.shape(of: place.name, at: visit.point, in: machine)
      let reader = try disks.reader(of: place.name.disk, at: visit.point, in: machine)
      return TreeFile(reader, shape)
    }
    guard let document = try document(of: node) else {
      throw TreeError(code: EISDIR, message: "\(node.place) is not a file.")
    }
    return TreeFile(document: document)
  }

  /// How large the tree is.
  public func statistics() throws(TreeError) -> TreeStatistics {
    var bytes: UInt64 = 0
    for machine in try machines.all() {
      // A machine that can't be read takes nothing away from the others.
      guard let points = try? machine.points().snapshot.points else { continue }
      for disk in points.last?.disks ?? [] { bytes += disk.size }
    }
    return TreeStatistics(bytes: bytes, inodes: inodes.withLock { $0.count })
  }
}
