internal import Synchronization

/// How many bytes a second may be sent, shared by as many connections as it is given to. May be changed
/// at any time, from any thread.
public final class RateLimit: Sendable {
  private struct State {
    var bytesPerSecond: Int?
    /// When all that was let through so far has flowed off at the rate.
    var free: ContinuousClock.Instant
  }

  private let state: Mutex<State>

  /// What may be sent at once after a pause, in seconds' worth.
  private static let burst = Duration.milliseconds(100)

  /// Starts with a limit in bytes per second; nil for none.
  public init(bytesPerSecond: Int? = nil) {
    state = Mutex(State(bytesPerSecond: bytesPerSecond.map { max(1, $0) }, free: .now))
  }

  /// The limit in bytes per second, at least 1; nil for none.
  public var bytesPerSecond: Int? {
    get { state.withLock { $0.bytesPerSecond } }
    set {
      state.withLock {
        $0.bytesPerSecond = newValue.map { max(1, $0) }
        // What was let through at the old rate is not held against the new one.
        $0.free = min($0.free, .now)
      }
    }
  }

  /// Lets so many bytes through and gives nil, or tells how long to wait before asking again.
  func take(_ count: Int, at now: ContinuousClock.Instant = .now) -> Duration? {
    state.withLock { state in
      guard let rate = state.bytesPerSecond else { return nil }
      guard state.free <= now else { return state.free - now }
      state.free =
        max(state.free, now - Self.burst) + .seconds(Double(count) / Double(rate))
      return nil
    }
  }
}
