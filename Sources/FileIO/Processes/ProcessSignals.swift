internal import Glibc

/// What a process makes of signals.
public enum ProcessSignals {
  /// Does not end on SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGPIPE any more (signal(7)).
  public static func ignoreEnds() {
    for number in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE] { signal(number, SIG_IGN) }
  }

  /// Lets time pass.
  public static func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    var request = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
    var left = timespec()
    while nanosleep(&request, &left) != 0, errno == EINTR { request = left }
  }
}
