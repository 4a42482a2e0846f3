internal import CFuse
internal import Glibc
internal import RecoveryTree
internal import Synchronization

/// Between libfuse and the tree of disks: decodes a request, calls the tree, replies. Its methods are called
/// from several threads at once, and are in the order of fuse_lowlevel.h.
final class DiskBridge: Sendable {
  let tree: DiskTree
  let faults: FaultReport
  private let looks: FileLooks
  private let mending: Mending

  init(_ tree: DiskTree, _ looks: FileLooks, _ faults: FaultReport, _ mending: Mending) {
    (self.tree, self.looks, self.faults, self.mending) = (tree, looks, faults, mending)
  }

  private func fail(_ reply: consuming Reply, _ error: TreeError) {
    reply.status(error.code)
    faults.note(error)
  }

  /// As `fail`, but for what a successor may still do: that is not answered, and the kernel hands it out again.
  private func failChange(_ reply: consuming Reply, _ error: TreeError) {
    faults.note(error)
    if error.code == EIO, mending.leavesToSuccessor() { return reply.nothing() }
    reply.status(error.code)
  }

  func lookup(_ reply: consuming Reply, _ parent: fuse_ino_t, _ name: UnsafePointer<CChar>?) {
    // A name that is not UTF-8 is none of ours.
    guard let name, let text = String(validatingCString: name) else { return reply.status(ENOENT) }
    do {
      let entry = try tree.lookup(text, in: InodeNumber(rawValue: parent))
      _ = reply.entry(looks.parameters(entry))
    } catch { fail(reply, error) }
  }

  func attributes(_ reply: consuming Reply, _ inode: fuse_ino_t) {
    do {
      let entry = try tree.attributes(of: InodeNumber(rawValue: inode))
      reply.attributes(looks.facts(entry.attributes), lasting: FileLooks.lasting(entry))
    } catch { fail(reply, error) }
  }

  /// Times are nobody's concern, and sizes, modes and owners are what they are: setting the same size, as
  /// truncating to it does, is no error.
  func setAttributes(
    _ reply: consuming Reply, _ inode: fuse_ino_t, _ facts: UnsafeMutablePointer<stat>?,
    _ changes: Int32
  ) {
    do {
      let entry = try tree.attributes(of: InodeNumber(rawValue: inode))
      let owned = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID
      let isResized =
        changes & FUSE_SET_ATTR_SIZE != 0
        && facts?.pointee.st_size != off_t(entry.attributes.size)
      guard changes & owned == 0, !isResized else { return reply.status(EPERM) }
      reply.attributes(looks.facts(entry.attributes), lasting: FileLooks.lasting(entry))
    } catch { fail(reply, error) }
  }

  func open(
    _ reply: consuming Reply, _ inode: fuse_ino_t, _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let flags = info?.pointee.flags else { return }
    do {
      let opened = try tree.open(
        InodeNumber(rawValue: inode), writes: flags & O_ACCMODE != O_RDONLY,
        isDirect: flags & OpenFlags.direct != 0, request: CurrentRequest.number)
      for file in opened.outdated {
        _ = tidemark_forget_attributes(DiskServer.Inherited.connection, file.rawValue)
      }
      var answer = OpenFlags.noFlush
      if opened.keepsCache { answer.insert(.keepCache) }
      // Who goes around the cache anyway can have several writes in flight, which the kernel holds back
      // otherwise (since Linux 6.2).
      if opened.bypassesCache {
        answer.formUnion([.directIO, .parallelDirectWrites])
      }
      if !reply.opened(opened.handle, answer.rawValue) { tree.withdraw(opened.handle) }
    } catch { fail(reply, error) }
  }

  func read(
    _ reply: consuming Reply, _ count: Int, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    // The kernel keeps to the limit it was told.
    guard let info, count <= KernelMount.readSizeLimit, offset >= 0 else {
      return reply.status(EINVAL)
    }
    let buffer = ThreadBuffer.take(count)
    do {
      let taken = try tree.read(info.pointee.fh, into: buffer, at: UInt64(offset))
      reply.bytes(UnsafeRawBufferPointer(rebasing: buffer[..<taken]))
    } catch { fail(reply, error) }
  }

  func write(
    _ reply: consuming Reply, _ bytes: UnsafeRawBufferPointer, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let info, offset >= 0 else { return reply.status(EINVAL) }
    do {
      reply.written(try tree.write(info.pointee.fh, bytes, at: UInt64(offset)))
    } catch { failChange(reply, error) }
  }

  func release(_ reply: consuming Reply, _ info: UnsafeMutablePointer<fuse_file_info>?) {
    if let info { tree.close(info.pointee.fh) }
    reply.status(0)
  }

  func sync(_ reply: consuming Reply, _ info: UnsafeMutablePointer<fuse_file_info>?) {
    guard let info else { return reply.status(EINVAL) }
    do {
      try tree.flush(info.pointee.fh)
      mending.noteFlush()
      reply.status(0)
    } catch { failChange(reply, error) }
  }

  /// Punching a hole and zeroing a range both leave zeros (fallocate(2)); room can't be reserved.
  func allocate(
    _ reply: consuming Reply, _ mode: Int32, _ offset: off_t, _ count: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    let kinds = FallocateMode.punchHole | FallocateMode.zeroRange
    guard mode & kinds != 0, mode & ~(kinds | FallocateMode.keepSize) == 0 else {
      return reply.status(EOPNOTSUPP)
    }
    guard let info, offset >= 0, count > 0 else { return reply.status(EINVAL) }
    do {
      // Zeroing a range makes a file longer, which a disk can't be, unless told to keep its size.
      try tree.zero(
        info.pointee.fh, UInt64(count), at: UInt64(offset),
        ignoringEnd: mode & FallocateMode.keepSize != 0)
      reply.status(0)
    } catch { failChange(reply, error) }
  }

  func list(_ reply: consuming Reply, _ count: Int, _ offset: off_t) {
    let buffer = ThreadBuffer.take(min(count, KernelMount.readSizeLimit))
    let names = tree.names()
    var filled = 0
    for place in names.indices.dropFirst(Int(clamping: offset)) {
      var facts = stat()
      facts.st_ino = ino_t(names[place].inode.rawValue)
      facts.st_mode = FileLooks.type(of: names[place].kind)
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
      let size = reply.add(names[place].name, facts, next: place + 1, to: rest)
      if size > rest.count { break }
      filled += size
    }
    reply.bytes(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
  }

  func statistics(_ reply: consuming Reply) { reply.statistics(statvfs(tree.statistics())) }

  func seek(
    _ reply: consuming Reply, _ offset: off_t, _ whence: Int32,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    // The kernel answers all others by itself. SEEK_DATA is 3, SEEK_HOLE 4 (lseek(2)).
    guard let info, offset >= 0, whence == 3 || whence == 4 else { return reply.status(EINVAL) }
    do {
      let found = try tree.seek(
        info.pointee.fh, whence == 3 ? .data : .hole, from: UInt64(offset))
      reply.offset(found)
    } catch { fail(reply, error) }
  }
}

/// FOPEN_* of linux/fuse.h, and O_DIRECT, whose macro Swift does not see.
private struct OpenFlags: OptionSet {
  let rawValue: UInt32
  static let directIO = OpenFlags(rawValue: 1 << 0)
  static let keepCache = OpenFlags(rawValue: 1 << 1)
  static let noFlush = OpenFlags(rawValue: 1 << 5)
  static let parallelDirectWrites = OpenFlags(rawValue: 1 << 6)

  static let direct = tidemark_direct_flag()
}

/// FALLOC_FL_* of linux/falloc.h.
private enum FallocateMode {
  static let keepSize: Int32 = 1
  static let punchHole: Int32 = 2
  static let zeroRange: Int32 = 0x10
}
