/// Ends waits of other threads: hand one to what may take long, and call ``cancel()`` to stop it.
public final class Cancellation: Sendable {
  private let state = Monitor<(isCancelled: Bool, actions: [UInt64: @Sendable () -> Void])>(
    (false, [:]))

  /// Not cancelled yet.
  public init() {}

  /// Ends all waits, now and from now on. May be called from any thread, and again.
  public func cancel() {
    let actions = state.change { state in
      state.isCancelled = true
      defer { state.actions = [:] }
      return Array(state.actions.values)
    }
    for action in actions { action() }
  }

  /// Whether it was cancelled.
  public var isCancelled: Bool { state.withLock { $0.isCancelled } }

  /// Blocks the thread for `duration`; gives true at once if cancelled before or meanwhile.
  public func wait(for duration: Duration) -> Bool {
    state.wait(until: .now + .seconds(duration.seconds)) { $0.isCancelled ? true : nil } ?? false
  }

  /// Runs `body`, and `action` beside it if cancelled before or meanwhile: on the thread that cancels,
  /// and with `body` still running, so it should be what ends `body`'s waits.
  public func during<Result, Failure: Error>(
    _ action: @escaping @Sendable () -> Void, do body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let key = UInt64.random(in: 0...(.max))
    let isLate = state.withLock { state in
      if !state.isCancelled { state.actions[key] = action }
      return state.isCancelled
    }
    if isLate { action() }
    defer { state.withLock { $0.actions[key] = nil } }
    return try body()
  }
}
