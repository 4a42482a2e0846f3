internal import CFuse
internal import FileIO
internal import Glibc
internal import Support

/// A plain file served through FUSE with nothing done to its bytes: the most that any mount on this
/// machine can reach. The kernel and libfuse are told what tidemark's mount tells them.
enum Passthrough {
  private static let longestRead = 1 << 20

  struct Failed: Error {}

  /// The file that is served; this is the program's only purpose then.
  private struct Served {
    let descriptor: Int32
    let size: UInt64
  }

  /// Serves `path` at `mountPoint`, a file, until it is unmounted or the process ends.
  static func serve(_ path: String, at mountPoint: String) throws {
    let file = try File(path, .reading)
    let context = UnsafeMutablePointer<Served>.allocate(capacity: 1)
    context.initialize(to: Served(descriptor: file.descriptor, size: try file.status().size))
    defer { context.deallocate() }
    var table = operations()
    let texts = ["passthrough", "-omax_read=\(longestRead),ro"]
    var arguments = texts.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let session = arguments.withUnsafeMutableBufferPointer { pointers in
      var list = fuse_args(argc: 2, argv: pointers.baseAddress, allocated: 0)
      return fuse_session_new(&list, &table, MemoryLayout<fuse_lowlevel_ops>.size, context)
    }
    guard let session, fuse_session_mount(session, mountPoint) == 0 else { throw Failed() }
    fuse_set_signal_handlers(session)
    let configuration = fuse_loop_cfg_create()
    fuse_loop_cfg_set_clone_fd(configuration, 1)
    fuse_loop_cfg_set_max_threads(configuration, 4)
    fuse_loop_cfg_set_idle_threads(configuration, 4)
    _ = fuse_session_loop_mt(session, configuration)
    fuse_session_unmount(session)
  }

  private static func served(_ request: fuse_req_t?) -> Served {
    fuse_req_userdata(request).load(as: Served.self)
  }

  private static func operations() -> fuse_lowlevel_ops {
    var table = fuse_lowlevel_ops()
    table.`init` = { _, connection in
      connection?.pointee.max_read = UInt32(Passthrough.longestRead)
      connection?.pointee.max_background = 64
      connection?.pointee.congestion_threshold = 48
    }
    // The mount's root is the file itself.
    table.getattr = { request, inode, _ in
      var facts = stat()
      (facts.st_ino, facts.st_mode, facts.st_nlink) = (ino_t(inode), S_IFREG | 0o400, 1)
      facts.st_size = off_t(Passthrough.served(request).size)
      fuse_reply_attr(request, &facts, 3600)
    }
    table.open = { request, _, info in
      info?.pointee.keep_cache = 1
      fuse_reply_open(request, info)
    }
    table.read = { request, _, count, offset, _ in
      let buffer = Passthrough.buffer()
      let read = pread(Passthrough.served(request).descriptor, buffer, count, offset)
      guard read >= 0 else {
        fuse_reply_err(request, errno)
        return
      }
      fuse_reply_buf(request, buffer, read)
    }
    return table
  }

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key) { free($0) }
    return key
  }()

  /// The calling thread's memory for one request.
  private static func buffer() -> UnsafeMutableRawPointer {
    if let buffer = pthread_getspecific(key) { return buffer }
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: longestRead, alignment: 4096)
    pthread_setspecific(key, buffer)
    return buffer
  }
}

extension ServedDisk {
  /// Serves a plain file through FUSE, in a process of its own.
  static func passingThrough(_ file: String, on bench: Workbench) throws -> ServedDisk {
    let mountPoint = bench.file("passed")
    if !FileSystem.system.exists(mountPoint) {
      _ = try File(mountPoint, .creating(permissions: 0o600))
    }
    let status = try FileSystem.system.status(file)
    let disk = try ServedDisk(
      [try FileSystem.resolved("/proc/self/exe"), "--pass-through", file, mountPoint],
      mountPoint: mountPoint, path: mountPoint, size: status.size)
    // As tidemark does for its mount: the kernel's own 128 KiB ahead are slow.
    let device = try FileSystem.system.status(mountPoint).device
    let ahead = "/sys/class/bdi/0:\(device & 0xFF | (device >> 12) & 0xFFF00)/read_ahead_kb"
    try File(ahead, .writing).write(Array("1024".utf8), at: 0)
    return disk
  }
}
