internal import CFuse
internal import Glibc

/// The table of functions libfuse calls; each finds the bridge and the reply, and does nothing else.
///
/// What is missing is answered by libfuse or the kernel: no extended attributes, no locks of our
/// own, and nothing that writes, which the kernel refuses on a read-only mount.
func operations() -> fuse_lowlevel_ops {
  var table = fuse_lowlevel_ops()
  table.`init` = { _, connection in tune(connection) }
  table.lookup = { bridge($0).lookup(Reply($0), $1, $2) }
  table.forget = { bridge($0).forget(Reply($0), $1, $2) }
  table.forget_multi = {
    bridge($0).forget(Reply($0), UnsafeBufferPointer(start: $2, count: $1))
  }
  table.getattr = { request, inode, _ in bridge(request).attributes(Reply(request), inode) }
  table.readlink = { bridge($0).link(Reply($0), $1) }
  table.open = { bridge($0).open(Reply($0), $1, $2) }
  table.read = { request, _, count, offset, info in
    bridge(request).read(Reply(request), count, offset, info)
  }
  table.release = { request, _, info in bridge(request).release(Reply(request), info) }
  table.opendir = { bridge($0).openDirectory(Reply($0), $1, $2) }
  table.readdir = { request, _, count, offset, info in
    bridge(request).list(Reply(request), count, offset, info)
  }
  table.readdirplus = { request, _, count, offset, info in
    bridge(request).listWithAttributes(Reply(request), count, offset, info)
  }
  table.releasedir = { request, _, info in bridge(request).release(Reply(request), info) }
  table.statfs = { request, _ in bridge(request).statistics(Reply(request)) }
  table.lseek = { request, _, offset, whence, info in
    bridge(request).seek(Reply(request), offset, whence, info)
  }
  return table
}

/// The bridge given to fuse_session_new(3), which the session keeps alive.
@inline(__always)
private func bridge(_ request: fuse_req_t?) -> Bridge {
  guard let data = fuse_req_userdata(request) else {
    fatalError("libfuse called without the bridge")
  }
  return Unmanaged<Bridge>.fromOpaque(data).takeUnretainedValue()
}

/// Answers FUSE_INIT: what the kernel may do on its own.
private func tune(_ connection: UnsafeMutablePointer<fuse_conn_info>?) {
  guard let connection else { return }
  connection.pointee.max_read = UInt32(KernelMount.readSizeLimit)
  // Requests in flight that nobody waits for one by one: reading ahead, direct reads in pieces.
  connection.pointee.max_background = 64
  connection.pointee.congestion_threshold = 48
  // Sizes and times of images never change, so the kernel need not compare them before a read.
  connection.pointee.want &= ~UInt32(FUSE_CAP_AUTO_INVAL_DATA)
}
