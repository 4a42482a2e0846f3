internal import CFuse
internal import Glibc
internal import Synchronization

/// Since when each of the threads that answer requests has worked on the one it has: who never ends is found so.
final class RequestTimes: Sendable {
  private final class Worker: Sendable {
    /// Nanoseconds of the monotonic clock; 0 for none.
    let began = Atomic<Int64>(0)
  }

  private let workers: [Worker]

  /// For so many threads, and two at least.
  init(_ count: Int) { workers = (0..<max(2, count)).map { _ in Worker() } }

  /// Notes that the thread of that number, from 0, has taken a request.
  func begin(_ worker: Int) { workers[worker].began.store(Self.now, ordering: .relaxed) }

  /// Notes that it is done with it.
  func end(_ worker: Int) { workers[worker].began.store(0, ordering: .relaxed) }

  /// Seconds that the oldest request has been worked on; nil if none is.
  var oldest: Double? {
    let began = workers.map { $0.began.load(ordering: .relaxed) }.filter { $0 != 0 }.min()
    return began.map { Double(max(0, Self.now - $0)) / 1e9 }
  }

  /// Nanoseconds of the monotonic clock.
  static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}
