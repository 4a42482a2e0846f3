internal import CFuse
internal import Glibc
public import RecoveryTree
internal import Synchronization

/// How a vault is mounted.
public struct MountOptions: Sendable {
  /// Users other than the one who mounts may read, too. An ordinary user needs `user_allow_other`
  /// in /etc/fuse.conf for it (fuse(8)).
  public var allowOther = false
  /// The mount point need not be empty; what it holds is hidden while the mount lasts.
  public var mayHideFiles = false
  /// Threads that answer requests at the same time.
  public var workers = Self.usualWorkers
  /// SIGTERM, SIGINT and SIGHUP end the mount while `run` runs, whichever thread they reach.
  public var endsOnSignals = true
  /// Is told of damage and other faults of the vault that readers met; called on any thread.
  public var report: @Sendable (String) -> Void = { _ in }

  /// The usual options.
  public init() {}

  /// Two a processor: one reads from disk while the other decompresses.
  static var usualWorkers: Int {
    min(max(4, 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))), 16)
  }
}

/// A mounted vault and the threads that serve it.
///
/// The mount is there once `init` returns, but answers only while `run` runs. It ends when the
/// session does, also if files in it are open.
public final class MountSession: Sendable {
  private let kernel: KernelMount
  private let options: MountOptions
  private let stopper: Stopper
  private let ended = Atomic(false)
  private let session: FuseSession

  /// Mounts a tree on an empty directory, read-only.
  ///
  /// Root asks the kernel, an ordinary user asks fusermount3(1).
  /// - Throws: `.missing`, `.notADirectory`, `.notEmpty`, `.alreadyMounted` or `.stale` if the mount
  ///   point is unfit, `.refused` or `.unavailable` if the system does not let this user mount.
  public init(
    tree: RecoveryTree, mountPoint: String, options: MountOptions = MountOptions()
  ) throws(MountError) {
    let path = try MountPoint.check(mountPoint, mayHoldFiles: options.mayHideFiles)
    self.options = options
    stopper = try Stopper()
    session = try FuseSession(operations(), Bridge(tree, report: options.report))
    kernel = try KernelMount.make(at: path, .readOnly(allowOther: options.allowOther))
    session.connect(kernel.descriptor)
  }

  deinit { end() }

  /// Takes the mount away and closes the connection, which answers whoever still waits for it.
  private func end() {
    guard !ended.exchange(true, ordering: .acquiringAndReleasing) else { return }
    kernel.detach()
    session.end()
  }

  /// Serves the mount until it is unmounted, `stop` is called or a signal ends it; then the mount
  /// is gone, also for those who have files in it open.
  ///
  /// Blocks the calling thread; call it once.
  /// - Parameter ready: is called on another thread as soon as the mount answers.
  /// - Throws: `.system` if the kernel's requests can't be read.
  public func run(ready: @escaping @Sendable () -> Void = {}) throws(MountError) {
    if options.endsOnSignals { try stopper.catchSignals() }
    let greeter = NativeThread { [kernel] in
      // Answered by the loop below; fails if the loop ends first.
      var facts = stat()
      guard stat(kernel.path, &facts) == 0 else { return }
      kernel.raiseReadAhead()
      ready()
    }
    let workers = Workers(
      session: session, connection: kernel.descriptor, count: options.workers)
    let watcher = NativeThread { [stopper] in
      stopper.await()
      workers.end()
    }
    let result = workers.run(leaving: { [stopper] in stopper.stop() })
    watcher.join()
    end()
    if options.endsOnSignals { stopper.releaseSignals() }
    greeter.join()
    guard result >= 0 else { throw .system("serve the mount on '\(kernel.path)'", -result) }
  }

  /// Ends `run`, from any thread, also before it began. The mount goes away.
  public func stop() { stopper.stop() }
}
