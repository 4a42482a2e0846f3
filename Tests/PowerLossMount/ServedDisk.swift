import Bytes
import CFuse
import FileIO
import Glibc
import Support
import Synchronization

/// Answers libfuse's calls with a simulated disk: each call finds it in the context and gives 0 or
/// a negated errno.
final class ServedDisk: Sendable {
  let disk: SimulatedDisk

  /// Nothing is served any more: what the disk holds now is being settled and stored.
  private let isOver = Mutex(false)

  init(_ disk: SimulatedDisk) { self.disk = disk }

  /// Cuts the power, unless the service has ended before.
  func cutPower() { isOver.withLock { if !$0 { disk.cutPower() } } }

  /// Ends the service; gives whether it ended by a power loss.
  func finish() -> Bool {
    isOver.withLock { isOver in
      isOver = true
      return disk.isOff
    }
  }

  /// The disk of the call that this thread answers.
  static var current: ServedDisk {
    guard let context = fuse_get_context(), let pointer = context.pointee.private_data else {
      fatalError("libfuse made a call without the disk it was given")
    }
    return Unmanaged.fromOpaque(pointer).takeUnretainedValue()
  }

  /// Makes a call on the current disk; ends the process's service when it lost power.
  static func answer(_ body: (ServedDisk) throws(IOError) -> Int32) -> Int32 {
    let served = current
    defer { if served.disk.isOff { kill(getpid(), SIGTERM) } }
    do throws(IOError) { return try body(served) } catch { return -error.code }
  }

  func attributes(_ path: String, into facts: inout stat) throws(IOError) {
    fill(&facts, try disk.status(path), owner: try disk.owner(path))
  }

  func attributes(handle: Int32, into facts: inout stat) throws(IOError) {
    fill(&facts, try disk.status(handle), owner: getuid())
  }

  private func fill(_ facts: inout stat, _ status: FileStatus, owner: UInt32) {
    facts = stat()
    let isDirectory = status.kind == .directory
    facts.st_mode = (isDirectory ? S_IFDIR : S_IFREG) | status.permissions
    facts.st_nlink = isDirectory ? 2 : 1
    (facts.st_uid, facts.st_gid) = (owner, status.group)
    facts.st_ino = UInt(status.inode)
    facts.st_size = Int(status.size)
    facts.st_blocks = Int(status.allocated / 512)
    facts.st_blksize = 4096
    let time = timespec(
      tv_sec: Int(status.modified.seconds), tv_nsec: Int(status.modified.rawValue % 1_000_000_000))
    (facts.st_mtim, facts.st_ctim, facts.st_atim) = (time, time, time)
  }

  /// Gives what was just made to the caller who made it.
  func adopt(_ path: String, permissions: mode_t) throws(IOError) {
    guard let context = fuse_get_context() else { return }
    try disk.setPermissions(path, permissions)
    try disk.setOwner(path, owner: context.pointee.uid, group: context.pointee.gid)
  }

  func resize(_ path: String?, _ handle: Int32?, to size: off_t) throws(IOError) {
    if let handle { return try disk.truncate(handle, to: UInt64(size)) }
    let opened = try disk.open(path ?? "", .writing)
    defer { disk.close(opened) }
    try disk.truncate(opened, to: UInt64(size))
  }

  func space(into facts: inout statvfs) throws(IOError) {
    let (free, total) = try disk.space()
    facts = statvfs()
    (facts.f_bsize, facts.f_frsize, facts.f_namemax) = (4096, 4096, 255)
    (facts.f_blocks, facts.f_bfree, facts.f_bavail) = (
      UInt(total / 4096), UInt(free / 4096), UInt(free / 4096)
    )
    (facts.f_files, facts.f_ffree, facts.f_favail) = (1 << 20, 1 << 19, 1 << 19)
  }
}
