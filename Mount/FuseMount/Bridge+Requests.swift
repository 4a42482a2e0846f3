internal import CFuse
internal import Glibc
internal import RecoveryTree

// One method a request, in the order of fuse_lowlevel.h.
extension Bridge {
  func lookup(_ reply: consuming Reply, _ parent: fuse_ino_t, _ name: UnsafePointer<CChar>?) {
    // A name that is not UTF-8 is none of ours.
    guard let name, let text = String(validatingCString: name) else { return reply.status(ENOENT) }
    do {
      let entry = try tree.lookup(text, in: InodeNumber(rawValue: parent))
      guard !reply.entry(parameters(entry)) else { return }
      tree.forget(entry.attributes.inode, lookups: 1)
    } catch { fail(reply, error) }
  }

  func forget(_ reply: consuming Reply, _ inode: fuse_ino_t, _ lookups: UInt64) {
    tree.forget(InodeNumber(rawValue: inode), lookups: lookups)
    reply.nothing()
  }

  func forget(_ reply: consuming Reply, _ all: UnsafeBufferPointer<fuse_forget_data>) {
    for one in all { tree.forget(InodeNumber(rawValue: one.ino), lookups: one.nlookup) }
    reply.nothing()
  }

  func attributes(_ reply: consuming Reply, _ inode: fuse_ino_t) {
    do {
      let entry = try tree.attributes(of: InodeNumber(rawValue: inode))
      reply.attributes(facts(entry.attributes), lasting: FileLooks.lasting(entry))
    } catch { fail(reply, error) }
  }

  func link(_ reply: consuming Reply, _ inode: fuse_ino_t) {
    do {
      reply.link(to: try tree.target(of: InodeNumber(rawValue: inode)))
    } catch { fail(reply, error) }
  }

  func open(
    _ reply: consuming Reply, _ inode: fuse_ino_t, _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let info else { return }
    do {
      let file = try tree.openFile(InodeNumber(rawValue: inode))
      info.pointee.keep_cache = file.neverChanges ? 1 : 0
      // The size of a document may have changed since the kernel asked for it.
      info.pointee.direct_io = file.neverChanges ? 0 : 1
      info.pointee.noflush = 1
      info.pointee.fh = hold(file)
      if !reply.opened(info) { release(info.pointee.fh) }
    } catch { fail(reply, error) }
  }

  func read(
    _ reply: consuming Reply, _ count: Int, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let file = Self.held(info, TreeFile.self) else { return reply.status(EBADF) }
    // The kernel keeps to the limit it was told.
    guard count <= KernelMount.readSizeLimit, offset >= 0 else { return reply.status(EINVAL) }
    let buffer = ThreadBuffer.take(count)
    do {
      let taken = try file.read(into: buffer, at: UInt64(offset))
      reply.bytes(UnsafeRawBufferPointer(rebasing: buffer[..<taken]))
    } catch { fail(reply, error) }
  }

  func release(_ reply: consuming Reply, _ info: UnsafeMutablePointer<fuse_file_info>?) {
    if let info { release(info.pointee.fh) }
    reply.status(0)
  }

  func openDirectory(
    _ reply: consuming Reply, _ inode: fuse_ino_t, _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let info else { return }
    do {
      info.pointee.fh = hold(try tree.openDirectory(InodeNumber(rawValue: inode)))
      if !reply.opened(info) { release(info.pointee.fh) }
    } catch { fail(reply, error) }
  }

  func statistics(_ reply: consuming Reply) {
    do {
      reply.statistics(statvfs(try tree.statistics()))
    } catch { fail(reply, error) }
  }

  func seek(
    _ reply: consuming Reply, _ offset: off_t, _ whence: Int32,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    guard let file = Self.held(info, TreeFile.self) else { return reply.status(EBADF) }
    // The kernel answers all others by itself. SEEK_DATA is 3, SEEK_HOLE 4 (lseek(2)).
    guard offset >= 0, whence == 3 || whence == 4 else { return reply.status(EINVAL) }
    do {
      reply.offset(try file.seek(whence == 3 ? .data : .hole, from: UInt64(offset)))
    } catch { fail(reply, error) }
  }
}
