internal import CFuse
internal import Glibc
internal import RecoveryTree

extension Bridge {
  /// Fills a buffer of the kernel's with entries of a directory, as many as fit (FUSE_READDIR).
  func list(
    _ reply: consuming Reply, _ count: Int, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    fill(reply, count, offset, info, withAttributes: false)
  }

  /// The same with attributes (FUSE_READDIRPLUS): each entry but `.` and `..` is a look-up.
  func listWithAttributes(
    _ reply: consuming Reply, _ count: Int, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?
  ) {
    fill(reply, count, offset, info, withAttributes: true)
  }

  private func fill(
    _ reply: consuming Reply, _ count: Int, _ offset: off_t,
    _ info: UnsafeMutablePointer<fuse_file_info>?, withAttributes: Bool
  ) {
    guard let directory = Self.held(info, TreeDirectory.self) else { return reply.status(EBADF) }
    let buffer = ThreadBuffer.take(min(count, KernelMount.readSizeLimit))
    var filled = 0
    do {
      let entries = try directory.entries(from: Int(offset))
      for place in entries.indices {
        let entry = entries[place]
        let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
        let size: Int
        if withAttributes {
          // Asked for the size first: what does not fit must not be counted.
          size = reply.sizeWithAttributes(of: entry.name)
          if size > rest.count { break }
          reply.add(entry.name, listed(entry), next: place + 1, to: rest)
        } else {
          size = reply.add(entry.name, Self.facts(of: entry), next: place + 1, to: rest)
          if size > rest.count { break }
        }
        filled += size
      }
      reply.bytes(UnsafeRawBufferPointer(rebasing: buffer[..<filled]))
    } catch { fail(reply, error) }
  }

  private static func facts(of entry: TreeDirectory.Entry) -> stat {
    var facts = stat()
    facts.st_ino = ino_t(entry.inode.rawValue)
    facts.st_mode = FileLooks.type(of: entry.kind)
    return facts
  }

  /// The look-up of an entry. Inode 0 tells the kernel to look the name up itself: for the dots, and
  /// for what went away or can't be read since it was listed.
  private func listed(_ entry: TreeDirectory.Entry) -> fuse_entry_param {
    if !entry.isDot, let found = try? tree.enter(entry) { return parameters(found) }
    var parameters = fuse_entry_param()
    parameters.attr.st_ino = ino_t(entry.inode.rawValue)
    parameters.attr.st_mode = FileLooks.type(of: entry.kind)
    return parameters
  }
}
