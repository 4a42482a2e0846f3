internal import Bytes
internal import Dispatch
internal import Synchronization

/// Holds the writers of a branch back while the last of it is copied to plain files: they may write as much as
/// was granted, and wait for more. Safe from any thread.
final class WriteAllowance: Sendable {
  private struct State {
    var isHolding = false
    /// Below zero by a part of one write at most.
    var bytes: Int64 = 0
    var waiting: [DispatchSemaphore] = []
  }

  private let isHolding = Atomic(false)
  private let state = Mutex(State())

  /// Whether anybody may have to wait.
  var isHeld: Bool { isHolding.load(ordering: .relaxed) }

  /// Returns once these bytes of a disk, which are not none, may be written; whole pages count.
  @inline(__always)
  func admit(_ range: Range<UInt64>) {
    guard isHolding.load(ordering: .relaxed) else { return }
    let page = UInt64(Layout.pageSize)
    let pages = (range.upperBound - 1) / page - range.lowerBound / page + 1
    wait(Int64(clamping: pages) * Int64(page))
  }

  /// Returns once these bytes of a disk, which are not none, may be made zeros: the blocks at both ends and those
  /// between count for a page each, as they take a record each. Who discards a disk owes nothing for its size.
  func admitZeros(_ range: Range<UInt64>) {
    guard isHolding.load(ordering: .relaxed) else { return }
    let block = UInt64(Layout.blockSize)
    let blocks = (range.upperBound - 1) / block - range.lowerBound / block + 1
    wait(Int64(min(blocks, 3)) * Int64(Layout.pageSize))
  }

  private func wait(_ count: Int64) {
    let turn = DispatchSemaphore(value: 0)
    while true {
      let mayGo = state.withLock { state in
        guard state.isHolding, state.bytes <= 0 else {
          state.bytes = max(state.bytes - count, -(1 << 40))
          return true
        }
        state.waiting.append(turn)
        return false
      }
      if mayGo { return }
      turn.wait()
    }
  }

  /// Lets nobody write from now on but as much as is granted.
  func hold() {
    state.withLock { state in
      if !state.isHolding { (state.isHolding, state.bytes) = (true, 1 << 20) }
    }
    isHolding.store(true, ordering: .relaxed)
  }

  /// Lets so many bytes more be written; they do not add up without end.
  func grant(_ count: UInt64) { change { $0.bytes = min($0.bytes + Int64(count), 1 << 26) } }

  /// Lets everybody write again.
  func release() {
    isHolding.store(false, ordering: .relaxed)
    change { ($0.isHolding, $0.bytes) = (false, 0) }
  }

  private func change(_ body: (inout State) -> Void) {
    let waiting = state.withLock { state in
      body(&state)
      defer { state.waiting = [] }
      return state.waiting
    }
    for turn in waiting { turn.signal() }
  }
}
