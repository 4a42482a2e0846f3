internal import CFuse
internal import Glibc
internal import Synchronization

/// The threads that take requests from the kernel and answer them.
///
/// libfuse's own loop would do, but for two things. It sleeps between requests, while a look for the
/// next one makes one read after another half again as fast. And it loses a signal that comes
/// between its look at the flag and its wait.
final class Workers: Sendable {
  /// How long an idle thread looks for the next request before it sleeps, in nanoseconds.
  ///
  /// Who reads one piece after another asks again within some 10 µs; waking a thread that sleeps on
  /// another processor takes as long as reading 4 KiB from a vault does.
  private static let patience: Int64 = 30_000

  private let session: FuseSession
  /// What requests are read from.
  private let connection: Int32
  private let screen: Screen?
  private let times: RequestTimes
  private let count: Int
  /// Set while one thread looks for requests without sleeping; never more than one does.
  private let isLooking: Atomic<Bool>
  private let state = Mutex(State())

  private struct State {
    /// Those that take requests; a thread that is here has not ended.
    var threads: [pthread_t] = []
    /// `end` was called.
    var isEnding = false
    var failure: Int32 = 0
  }

  /// Bytes of the longest request: a write of 1 MiB, which is the most that libfuse lets the kernel send, and
  /// a page for what is said of it. The kernel gives nothing to who has room for less.
  private static let requestLimit = 1 << 20 | 1 << 12

  /// Sees each request before libfuse does; true if it has answered it.
  typealias Screen = @Sendable (UnsafeRawBufferPointer) -> Bool

  /// Prepares so many threads, the one that calls `run` included, for the requests of a connection.
  init(
    session: FuseSession, connection: Int32, count: Int, screen: Screen? = nil,
    times: RequestTimes? = nil
  ) {
    (self.session, self.connection, self.count) = (session, connection, count)
    self.screen = screen
    self.times = times ?? RequestTimes(count)
    // On a single processor, looking would keep the reader from asking.
    isLooking = Atomic(sysconf(Int32(_SC_NPROCESSORS_ONLN)) < 2)
  }

  /// Serves on this thread and the others until the mount is gone or `end` is called; then 0, or the
  /// negative errno that kept requests from being read. Calls `leaving` on every thread that leaves.
  func run(leaving: @escaping @Sendable () -> Void) -> Int32 {
    let others = (1..<max(2, count)).map { worker in
      NativeThread { [self] in work(as: worker, leaving) }
    }
    work(as: 0, leaving)
    for other in others { other.join() }
    return state.withLock { $0.failure }
  }

  /// Makes `run` return soon; from any thread but the workers, also before they began.
  func end() {
    state.withLock { $0.isEnding = true }
    var running = 1
    while running > 0 {
      fuse_session_exit(session.pointer)
      // Again and again, for a signal between a look at the flag and a read is lost.
      running = state.withLock { state in
        for thread in state.threads { tidemark_wake(thread) }
        return state.threads.count
      }
      usleep(1000)
    }
  }

  private func work(as worker: Int, _ leaving: () -> Void) {
    var mask = sigset_t()
    tidemark_prepare_wakeup(&mask)
    state.withLock { $0.threads.append(pthread_self()) }
    let result = takeRequests(as: worker)
    state.withLock { state in
      state.threads.removeAll { $0 == pthread_self() }
      state.failure = min(state.failure, result)
    }
    leaving()
    pthread_sigmask(SIG_SETMASK, &mask, nil)
  }

  /// Requests are read here and not by libfuse, whose memory would be new to this process at first.
  private func takeRequests(as worker: Int) -> Int32 {
    guard let kept = RequestMemory(Self.requestLimit) else { return -ENOMEM }
    defer { kept.free() }
    let memory = kept.base
    while fuse_session_exited(session.pointer) == 0 {
      let count = read(connection, memory, Self.requestLimit)
      if count < 0 {
        // ENOENT: who asked was interrupted, and the request is gone. ENODEV: the mount is gone.
        if errno == EINTR || errno == ENOENT || errno == EAGAIN { continue }
        guard errno == ENODEV else { return -errno }
        break
      }
      times.begin(worker)
      if screen?(UnsafeRawBufferPointer(start: memory, count: count)) != true {
        var request = fuse_buf()
        (request.mem, request.size) = (memory, count)
        fuse_session_process_buf(session.pointer, &request)
      }
      times.end(worker)
      look()
    }
    // Without a reason of ours it was libfuse that gave up: the kernel's FUSE is not one it knows.
    return state.withLock { $0.isEnding } || KernelMount.isGone(connection) ? 0 : -EPROTO
  }

  /// Returns as soon as a request is there, or after a while.
  private func look() {
    guard !isLooking.exchange(true, ordering: .relaxed) else { return }
    var state = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
    let start = RequestTimes.now
    while poll(&state, 1, 0) == 0, RequestTimes.now - start < Self.patience {}
    isLooking.store(false, ordering: .relaxed)
  }
}
