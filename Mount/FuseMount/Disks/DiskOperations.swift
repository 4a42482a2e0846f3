internal import CFuse
internal import Glibc

/// The table of functions libfuse calls for a mount of disks; each finds the bridge and the reply.
///
/// No look-ups are counted, because inodes are made of numbers. Locks are missing, so the kernel keeps them
/// itself, and so is FUSE_FLUSH: a write is with the disk before it is answered.
func diskOperations() -> fuse_lowlevel_ops {
  var table = fuse_lowlevel_ops()
  table.`init` = { _, connection in tune(connection) }
  table.lookup = { bridge($0).lookup(Reply($0), $1, $2) }
  table.forget = { request, _, _ in Reply(request).nothing() }
  table.forget_multi = { request, _, _ in Reply(request).nothing() }
  table.getattr = { request, inode, _ in bridge(request).attributes(Reply(request), inode) }
  table.setattr = { request, inode, facts, changes, _ in
    bridge(request).setAttributes(Reply(request), inode, facts, changes)
  }
  table.open = { bridge($0).open(Reply($0), $1, $2) }
  table.read = { request, _, count, offset, info in
    bridge(request).read(Reply(request), count, offset, info)
  }
  table.write = { request, _, bytes, count, offset, info in
    let bytes = UnsafeRawBufferPointer(start: bytes, count: count)
    bridge(request).write(Reply(request), bytes, offset, info)
  }
  table.release = { request, _, info in bridge(request).release(Reply(request), info) }
  table.fsync = { request, _, _, info in bridge(request).sync(Reply(request), info) }
  table.fallocate = { request, _, mode, offset, count, info in
    bridge(request).allocate(Reply(request), mode, offset, count, info)
  }
  table.readdir = { request, _, count, offset, _ in
    bridge(request).list(Reply(request), count, offset)
  }
  table.statfs = { request, _ in bridge(request).statistics(Reply(request)) }
  table.lseek = { request, _, offset, whence, info in
    bridge(request).seek(Reply(request), offset, whence, info)
  }
  return table
}

/// The bridge given to fuse_session_new(3), which the session keeps alive.
@inline(__always)
private func bridge(_ request: fuse_req_t?) -> DiskBridge {
  guard let data = fuse_req_userdata(request) else {
    fatalError("libfuse called without the bridge")
  }
  return Unmanaged<DiskBridge>.fromOpaque(data).takeUnretainedValue()
}

/// Answers FUSE_INIT: what the kernel may do on its own. Every server of a mount answers the same.
private func tune(_ connection: UnsafeMutablePointer<fuse_conn_info>?) {
  guard let connection else { return }
  connection.pointee.max_read = UInt32(KernelMount.readSizeLimit)
  connection.pointee.max_write = 1 << 20
  // Requests in flight that nobody waits for one by one: reading ahead, asynchronous direct I/O.
  connection.pointee.max_background = 128
  connection.pointee.congestion_threshold = 96
  // A write is answered only once the disk has taken it, so the kernel keeps none back. Truncating at an open is
  // asked for by itself, and refused. What is cached is dropped when a file's time has changed, which is how
  // readers learn of what is written through other files.
  connection.pointee.want &= ~UInt32(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ATOMIC_O_TRUNC)
  connection.pointee.want |= connection.pointee.capable & UInt32(FUSE_CAP_AUTO_INVAL_DATA)
}
