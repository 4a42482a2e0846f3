internal import CFuse
internal import DiskServers
internal import FileIO
internal import Glibc

/// Makes the mount of a branch's disks and starts the holder.
struct DiskStarter {
  private let server: DiskServer

  /// Milliseconds that the kernel may take to say what it can do.
  private static let patience: Int32 = 10_000

  init(_ server: DiskServer) { self.server = server }

  /// Returns once the disks answer. Nothing is left where they do not.
  func start() throws {
    let directory = server.directory
    let lock = try self.lock(directory)
    defer { lock.release() }
    if directory.isMounted, directory.processes.isEmpty {
      try unmount(directory.mountPoint, lazily: true)
    }
    let path = try MountPoint.check(directory.mountPoint, mayHoldFiles: true)
    let mayLetOthersIn = getuid() == 0 || KernelMount.permitsAllowOther()
    if server.options.group != nil, !mayLetOthersIn {
      throw MountError.allowOtherRefused("fuse.conf")
    }
    let kernel = try KernelMount.make(at: path, .writable(allowOther: mayLetOthersIn))
    defer { close(kernel.descriptor) }
    do {
      let estate = try Estate(for: try firstRequest(kernel))
      try BackgroundMount.start(
        server.words(for: .holder),
        passing: [
          (kernel.descriptor, as: DiskServer.Inherited.connection),
          (estate.descriptor, as: DiskServer.Inherited.estate),
        ])
    } catch {
      // Where the holder was killed its server may live, and would be taken for one that goes on.
      directory.killProcesses()
      kernel.detach()
      directory.remove()
      throw error
    }
  }

  /// Makes the directory and takes its lock, also if somebody who had it before removes both meanwhile.
  private func lock(_ directory: RunDirectory) throws -> FileLock {
    for _ in 0..<10 {
      try directory.make(isShared: server.options.group != nil)
      do throws(IOError) {
        let lock = try FileLock(directory.lockFile, patience: 2000)
        if !lock.isRemoved { return lock }
      } catch { guard error.isMissing else { throw error } }
    }
    throw MountError.system("lock '\(directory.path)'", EBUSY)
  }

  /// FUSE_INIT, which the kernel sends first of all. It is answered by the first server, and by every other
  /// one again: the kernel passes over a second answer to the same request.
  private func firstRequest(_ kernel: KernelMount) throws(MountError) -> InitialRequest {
    var state = pollfd(fd: kernel.descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&state, 1, Self.patience) == 1 else {
      throw .system("hear of the kernel's FUSE", ETIMEDOUT)
    }
    // The kernel gives a request only to who has room for the longest there is.
    var bytes = [UInt8](repeating: 0, count: 1 << 20 + 4096)
    let count = read(kernel.descriptor, &bytes, bytes.count)
    guard count > 0, let request = InitialRequest(Array(bytes[..<count])) else {
      throw .system("hear of the kernel's FUSE", count < 0 ? errno : EPROTO)
    }
    return request
  }
}
