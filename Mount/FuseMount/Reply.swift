internal import CFuse
internal import Glibc
internal import RecoveryTree

/// The answer the kernel waits for. It is given exactly once; an answer forgotten is EIO, so that
/// no process hangs.
///
/// Methods that hand something over tell whether the kernel took it: it does not if the process
/// that asked was killed in the meantime.
struct Reply: ~Copyable {
  private let request: fuse_req_t

  /// libfuse never passes a request that is null.
  @inline(__always)
  init(_ request: fuse_req_t?) {
    guard let request else { fatalError("libfuse called without a request") }
    self.request = request
  }

  deinit { fuse_reply_err(request, EIO) }

  /// Adds an entry to a listing that is being filled; gives its size, also if it did not fit.
  borrowing func add(
    _ name: String, _ facts: stat, next: Int, to rest: UnsafeMutableRawBufferPointer
  ) -> Int {
    withUnsafePointer(to: facts) {
      fuse_add_direntry(request, rest.baseAddress, rest.count, name, $0, off_t(next))
    }
  }

  /// The size of an entry with attributes.
  borrowing func sizeWithAttributes(of name: String) -> Int {
    fuse_add_direntry_plus(request, nil, 0, name, nil, 0)
  }

  /// Adds an entry with attributes, which must fit.
  borrowing func add(
    _ name: String, _ entry: fuse_entry_param, next: Int, to rest: UnsafeMutableRawBufferPointer
  ) {
    _ = withUnsafePointer(to: entry) {
      fuse_add_direntry_plus(request, rest.baseAddress, rest.count, name, $0, off_t(next))
    }
  }

  /// Fails with an errno; 0 for success without a value.
  consuming func status(_ code: Int32) {
    fuse_reply_err(request, code)
    discard self
  }

  /// Answers a request that expects no answer (FUSE_FORGET).
  consuming func nothing() {
    fuse_reply_none(request)
    discard self
  }

  consuming func entry(_ entry: fuse_entry_param) -> Bool {
    let taken = withUnsafePointer(to: entry) { fuse_reply_entry(request, $0) == 0 }
    discard self
    return taken
  }

  consuming func attributes(_ facts: stat, lasting seconds: Double) {
    _ = withUnsafePointer(to: facts) { fuse_reply_attr(request, $0, seconds) }
    discard self
  }

  consuming func link(to target: String) {
    fuse_reply_readlink(request, target)
    discard self
  }

  consuming func opened(_ info: UnsafePointer<fuse_file_info>) -> Bool {
    let taken = fuse_reply_open(request, info) == 0
    discard self
    return taken
  }

  /// Answers an open with flags of the kernel's own (FOPEN_*), some of which libfuse does not know yet.
  consuming func opened(_ handle: UInt64, _ flags: UInt32) -> Bool {
    let taken = tidemark_reply_open(request, handle, flags) == 0
    discard self
    return taken
  }

  consuming func written(_ count: Int) {
    fuse_reply_write(request, count)
    discard self
  }

  consuming func bytes(_ bytes: UnsafeRawBufferPointer) {
    fuse_reply_buf(request, bytes.baseAddress, bytes.count)
    discard self
  }

  consuming func statistics(_ facts: statvfs) {
    _ = withUnsafePointer(to: facts) { fuse_reply_statfs(request, $0) }
    discard self
  }

  consuming func offset(_ offset: UInt64) {
    fuse_reply_lseek(request, off_t(offset))
    discard self
  }
}

extension statvfs {
  /// All of it is taken and nothing can be added, as on any medium whose files are what they are.
  init(_ statistics: TreeStatistics) {
    self.init()
    (f_bsize, f_frsize, f_namemax) = (4096, 4096, 255)
    f_blocks = fsblkcnt_t((statistics.bytes + 4095) / 4096)
    f_files = fsfilcnt_t(statistics.inodes)
  }
}
