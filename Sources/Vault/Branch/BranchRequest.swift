internal import Bytes
internal import Dispatch
internal import Synchronization

/// What a thread wants of a branch's log, and what came of it.
///
/// `@unchecked Sendable`: whoever asks waits until it is done, and until then only the thread that leads
/// touches it.
final class BranchRequest: @unchecked Sendable {
  enum Work {
    case write(BranchView, UnsafeRawBufferPointer, at: UInt64)
    case zero(BranchView, Range<UInt64>)
    /// Anything else that has to stand between two writes.
    case other((BranchWriter) throws(VaultError) -> Void)
  }

  let work: Work
  var failure: VaultError?
  fileprivate let turn = DispatchSemaphore(value: 0)
  fileprivate var leads = false

  init(_ work: Work) { self.work = work }
}

/// Where the writers of a branch meet: one of them leads and does what all ask for that came meanwhile, so
/// that many small writes become one pwrite(2). Safe from any thread; a call waits until its work is done.
final class BranchQueue: Sendable {
  private struct State {
    var waiting: [BranchRequest] = []
    var isLed = false
  }

  private let state = Mutex(State())
  private let writer: BranchWriter

  init(_ writer: BranchWriter) { self.writer = writer }

  func perform(_ work: BranchRequest.Work) throws(VaultError) {
    let request = BranchRequest(work)
    let isFirst = state.withLock { state in
      state.waiting.append(request)
      defer { state.isLed = true }
      return !state.isLed
    }
    if !isFirst { request.turn.wait() }
    if isFirst || request.leads { lead(request) }
    if let failure = request.failure { throw failure }
  }

  /// Does what waits, this thread's own request among it, and lets the next one lead.
  private func lead(_ own: BranchRequest) {
    let group = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    writer.serve(group)
    let successor = state.withLock { state in
      state.isLed = !state.waiting.isEmpty
      return state.waiting.first
    }
    for request in group where request !== own { request.turn.signal() }
    successor?.leads = true
    successor?.turn.signal()
  }
}
