internal import Dispatch
internal import Glibc
internal import ReplicationService
internal import Synchronization

/// SIGINT, SIGTERM and SIGHUP as a wish to stop at the next good place. A second one does not wait:
/// that is safe too, as any crash is.
enum Interruption {
  private static let signals = Atomic<Int>(0)
  private static let hangUps = Atomic<Int>(0)

  /// Starts to listen; call it before work that looks at `isRequested`. A service takes SIGHUP for a wish to
  /// look at its files anew, and goes on.
  static func listen(forHangUps isService: Bool = false) {
    // Makes the counter before a handler can need it.
    signals.store(0, ordering: .relaxed)
    hangUps.store(0, ordering: .relaxed)
    if isService {
      signal(SIGHUP) { _ in Interruption.hangUps.store(1, ordering: .relaxed) }
    }
    for number in [SIGINT, SIGTERM] + (isService ? [] : [SIGHUP]) {
      signal(number) { _ in
        let before = Interruption.signals.add(1, ordering: .relaxed).oldValue
        if before > 0 { _exit(ExitStatus.interrupted.rawValue) }
      }
    }
  }

  /// Starts to listen, and gives what is cancelled once somebody wants the work to stop; the manager that
  /// started this process is told then.
  static func cancelling() -> Cancellation {
    let cancellation = Cancellation()
    listen()
    DispatchQueue.global().async {
      while !isRequested { wait(milliseconds: 1000) }
      ServiceManager.tell("STOPPING=1")
      cancellation.cancel()
    }
    return cancellation
  }

  /// Whether someone wants the work to stop.
  static var isRequested: Bool { signals.load(ordering: .relaxed) > 0 }

  /// Whether a SIGHUP came since this was asked last.
  static func takeHangUp() -> Bool { hangUps.exchange(0, ordering: .relaxed) > 0 }

  /// Lets time pass; a signal that comes meanwhile ends the wait if it is the first.
  static func wait(milliseconds: Int, unlessRequested: Bool = true) {
    var left = milliseconds
    while left > 0, !(unlessRequested && isRequested) {
      let part = min(left, 50)
      usleep(UInt32(part) * 1000)
      left -= part
    }
  }
}
