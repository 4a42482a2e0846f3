internal import RecoveryTree
internal import Synchronization

/// Tells of faults, each once and not at every try of whoever meets it.
final class FaultReport: Sendable {
  private let tell: @Sendable (String) -> Void
  private let reported = Mutex<TreeError?>(nil)

  init(_ tell: @escaping @Sendable (String) -> Void) { self.tell = tell }

  /// The message of the fault met last; nil if none was.
  var last: String? { reported.withLock { $0?.message } }

  /// Reports an error if something is wrong with what is served, and not with what was asked for.
  func note(_ error: TreeError) {
    guard error.isFault else { return }
    let isNew = reported.withLock { last in
      defer { last = error }
      return last != error
    }
    if isNew { tell(error.message) }
  }
}
