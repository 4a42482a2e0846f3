internal import Dispatch
internal import Synchronization

/// Who may use the log of a session at a moment: the session, or, between two things that it does, whoever has to
/// note something in that log that does not concern it. Safe from any thread.
public final class LogTurn: Sendable {
  private let free = DispatchSemaphore(value: 1)
  private let isOver = Mutex(false)

  /// The turn of a session that begins.
  public init() {}

  /// Runs `body`, a step of the session, once nobody else uses the log.
  func step<Result, Failure>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    free.wait()
    defer { free.signal() }
    return try body()
  }

  /// Runs the last step of the session: behind it nobody borrows the log.
  public func last(_ body: () -> Void) {
    step {
      body()
      isOver.withLock { $0 = true }
    }
  }

  /// Runs `body` between two steps of the session, which goes on behind it; nil, and nothing, if the session is
  /// over, or does not let go of its log within so many seconds.
  public func borrow<Result, Failure>(
    within seconds: Double, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result? {
    guard free.wait(timeout: .now() + seconds) == .success else { return nil }
    defer { free.signal() }
    guard !isOver.withLock({ $0 }) else { return nil }
    return try body()
  }
}
