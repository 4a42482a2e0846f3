internal import CFuse
internal import Glibc
internal import Synchronization

/// libfuse's session: a table of functions, what they work on, and a connection with the kernel.
final class FuseSession: Sendable {
  /// What is called of it here may be called from any thread.
  nonisolated(unsafe) let pointer: OpaquePointer
  /// Kept for libfuse, which holds a plain pointer to it.
  private let bridge: any AnyObject & Sendable
  private let isOver = Atomic(false)

  /// Makes a session whose functions find `bridge` as their user data; it is not connected yet.
  init(
    _ operations: fuse_lowlevel_ops, _ bridge: any AnyObject & Sendable
  ) throws(MountError) {
    var table = operations
    let size = MemoryLayout<fuse_lowlevel_ops>.size
    precondition(size == tidemark_fuse_operations_size())
    // libfuse wants to know the longest read both from here and from `init`.
    let texts = ["tidemark", "-omax_read=\(KernelMount.readSizeLimit)"]
    let arguments = texts.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let session = arguments.withUnsafeBufferPointer { pointers in
      var list = fuse_args(
        argc: 2, argv: UnsafeMutablePointer(mutating: pointers.baseAddress), allocated: 0)
      return fuse_session_new(&list, &table, size, Unmanaged.passUnretained(bridge).toOpaque())
    }
    guard let session else {
      throw MountError(.system, "Cannot start libfuse \(String(cString: fuse_pkgversion())).")
    }
    pointer = session
    self.bridge = bridge
  }

  deinit { end() }

  /// Gives the session a connection, which it closes when it ends.
  func connect(_ descriptor: Int32) {
    // The documented way to hand libfuse a connection that is mounted already; it can't fail for a
    // descriptor that is open.
    fuse_session_mount(pointer, "/dev/fd/\(descriptor)")
  }

  /// Has libfuse answer a request that was read from the connection by others.
  func process(_ request: [UInt8]) {
    var request = request
    request.withUnsafeMutableBytes { bytes in
      var buffer = fuse_buf()
      (buffer.mem, buffer.size) = (bytes.baseAddress, bytes.count)
      fuse_session_process_buf(pointer, &buffer)
    }
  }

  /// Closes the connection; nothing of the session may be used any more.
  func end() {
    guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
    fuse_session_destroy(pointer)
  }
}
