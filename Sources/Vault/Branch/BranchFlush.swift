internal import Dispatch
internal import Synchronization

/// Lets flushes that come together share one fdatasync. Safe from any thread.
final class BranchFlush: Sendable {
  private struct State {
    /// Everything up to this number is durable.
    var durable: UInt64
    var isRunning = false
    var waiting: [DispatchSemaphore] = []
  }

  private let state: Mutex<State>

  init(durable: UInt64) { state = Mutex(State(durable: durable)) }

  /// Returns once everything up to `target` is durable: by `sync`, which gives the number it has reached, or by
  /// that of another thread which began after this call.
  func flush(
    upTo target: UInt64, _ sync: () throws(VaultError) -> UInt64
  ) throws(VaultError) {
    let turn = DispatchSemaphore(value: 0)
    while true {
      enum Part { case done, lead, wait }
      let part = state.withLock { state -> Part in
        if state.durable >= target { return .done }
        if state.isRunning {
          state.waiting.append(turn)
          return .wait
        }
        state.isRunning = true
        return .lead
      }
      switch part {
      case .done: return
      case .wait: turn.wait()
      case .lead:
        defer { handOn() }
        let reached = try sync()
        state.withLock { $0.durable = max($0.durable, reached) }
        return
      }
    }
  }

  private func handOn() {
    let waiting = state.withLock { state in
      defer { (state.isRunning, state.waiting) = (false, []) }
      return state.waiting
    }
    for turn in waiting { turn.signal() }
  }
}
