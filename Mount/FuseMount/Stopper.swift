internal import CFuse
internal import Glibc
internal import Synchronization

/// What makes a session end: a call from any thread, or a signal on any thread.
///
/// Both only write to a descriptor that a thread of the session waits on.
final class Stopper: Sendable {
  private let event: Int32
  private let wasStopped = Atomic(false)

  /// Whether `stop` was called.
  var isStopped: Bool { wasStopped.load(ordering: .acquiring) }

  init() throws(MountError) {
    event = tidemark_eventfd()
    guard event >= 0 else { throw .system("make an eventfd", errno) }
  }

  deinit { close(event) }

  func stop() {
    wasStopped.store(true, ordering: .releasing)
    var one: UInt64 = 1
    _ = write(event, &one, 8)
  }

  /// Waits until `stop` was called or a signal came.
  func await() {
    var count: UInt64 = 0
    while read(event, &count, 8) < 0, errno == EINTR {}
  }

  /// Makes SIGTERM, SIGINT and SIGHUP stop, unless the process ignores them.
  func catchSignals() throws(MountError) {
    guard tidemark_catch_stop_signals(event) == 0 else {
      throw .system("handle SIGTERM", errno)
    }
  }

  /// Gives the signals back what they did before.
  func releaseSignals() { tidemark_release_stop_signals() }
}
