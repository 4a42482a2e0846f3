internal import Dispatch
internal import FileIO
internal import Synchronization

/// Makes a partial file durable on a thread of its own, while more is written to it.
final class Checkpointer: Sendable {
  private let partial: PartialFile
  private let queue = DispatchQueue(label: "tidemark.checkpoint")
  private let state = Mutex(State())

  private struct State {
    var isBusy = false
    var failure: IOError?
  }

  init(_ partial: PartialFile) { self.partial = partial }

  /// Whether one is under way.
  var isBusy: Bool { state.withLock { $0.isBusy } }

  /// What the first one that failed ran into.
  var failure: IOError? { state.withLock { $0.failure } }

  /// Begins to make durable what was written so far, which is what `journal` tells of.
  func start(_ journal: ExportJournal) {
    state.withLock { $0.isBusy = true }
    queue.async {
      do throws(IOError) { try self.partial.checkpoint(journal) } catch {
        self.state.withLock { $0.failure = $0.failure ?? error }
      }
      self.state.withLock { $0.isBusy = false }
    }
  }

  /// Waits until none is under way.
  func wait() { queue.sync {} }
}
