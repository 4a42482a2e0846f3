internal import Dispatch
internal import Synchronization

/// A value that threads change and wait on, as with a condition variable; every wait has a limit.
final class Monitor<State: Sendable>: Sendable {
  private struct Guarded {
    var state: State
    /// One for each waiting thread; all are woken at each change.
    var waiting: [DispatchSemaphore] = []
  }

  private let guarded: Mutex<Guarded>

  init(_ state: State) { guarded = Mutex(Guarded(state: state)) }

  /// Looks at the value or changes it without waking anyone.
  func withLock<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    guarded.withLock { body(&$0.state) }
  }

  /// Changes the value and wakes all who wait.
  @discardableResult
  func change<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
    let (result, woken) = guarded.withLock { guarded in
      let result = body(&guarded.state)
      defer { guarded.waiting = [] }
      return (result, guarded.waiting)
    }
    for semaphore in woken { semaphore.signal() }
    return result
  }

  /// Blocks the thread until `body` gives something; nil once `deadline` is over.
  ///
  /// `body` runs under the lock, at once and after each change. What it changes itself wakes nobody.
  func wait<Result: Sendable>(
    until deadline: ContinuousClock.Instant, for body: (inout State) -> Result?
  ) -> Result? {
    while true {
      let semaphore = DispatchSemaphore(value: 0)
      let found = guarded.withLock { guarded -> Result? in
        if let result = body(&guarded.state) { return result }
        guarded.waiting.append(semaphore)
        return nil
      }
      if let found { return found }
      let left = deadline - .now
      guard left > .zero, semaphore.wait(timeout: .now() + left.seconds) == .success else {
        guarded.withLock { $0.waiting.removeAll { $0 === semaphore } }
        return guarded.withLock { body(&$0.state) }
      }
    }
  }
}

extension Duration {
  /// The same time as a number, at most a year, so that no sum of times overflows.
  var seconds: Double {
    let (whole, fraction) = components
    return min(Double(whole) + Double(fraction) / 1e18, 31_557_600)
  }
}
