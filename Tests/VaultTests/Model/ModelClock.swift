import Bytes
import Synchronization

/// A clock that only a test moves, also backwards.
final class ModelClock: Sendable {
  private let time = Mutex<Int64>(1_795_170_000_000_000_000)

  /// The moment it shows.
  var now: Timestamp { Timestamp(rawValue: time.withLock { $0 }) }

  /// Moves it by so many nanoseconds.
  func step(_ nanoseconds: Int64) { time.withLock { $0 += nanoseconds } }
}
