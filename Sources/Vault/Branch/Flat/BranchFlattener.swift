internal import Dispatch
internal import Synchronization

/// Copies an open branch to plain files on a thread of its own, for whoever serves it. Safe from any thread.
public final class BranchFlattener: Sendable {
  /// How far it is.
  public enum State: Sendable {
    /// Nothing is copied.
    case idle
    /// Bytes of the disks that were gone through, and all of them.
    case running(done: UInt64, total: UInt64)
    /// It ended by itself; the branch is as it was.
    case failed(VaultError)
    /// The disks are plain files.
    case flat
  }

  private struct Run {
    var control: FlattenControl?
    var failure: VaultError?
    var isEnding = false
  }

  /// Between two tries to remove the log behind the copy, while somebody reads it.
  private static let pause = Duration.seconds(1)

  private let branch: Branch
  private let run = Mutex(Run())
  private let group = DispatchGroup()

  /// For that branch. A copy that broke off goes on at once.
  public init(_ branch: Branch) {
    self.branch = branch
    if branch.wantsFlat || branch.isFlat { begin() }
  }

  /// How far it is. Behind a failed fdatasync the branch is to be opened again, and the copy goes on then.
  public var state: State {
    if branch.isFlat { return .flat }
    return run.withLock { run in
      if let bytes = run.control?.bytes { return .running(done: bytes.done, total: bytes.total) }
      if branch.hasEnded, branch.wantsFlat || run.failure != nil {
        return .running(done: 0, total: 0)
      }
      return run.failure.map { .failed($0) } ?? .idle
    }
  }

  /// Begins a copy, unless one runs.
  public func begin() {
    let control = FlattenControl()
    let isNew = run.withLock { run in
      guard run.control == nil, !run.isEnding else { return false }
      (run.control, run.failure) = (control, nil)
      // Whoever finds the control has something to wait for.
      group.enter()
      return true
    }
    guard isNew else { return }
    DispatchQueue(label: "tidemark.flatten", qos: .utility).async { [self] in
      let failure = copy(control)
      run.withLock { ($0.control, $0.failure) = (nil, failure) }
      group.leave()
    }
  }

  private func copy(_ control: FlattenControl) -> VaultError? {
    do throws(VaultError) {
      try branch.flatten(control)
      while !branch.removeFlattenedLog() {
        try control.check()
        control.rest(Self.pause)
      }
    } catch {
      guard error.code == .cancelled else { return error }
    }
    return nil
  }

  /// Gives a copy up that runs, and returns once it has ended; what was copied is gone then. Whether it was too
  /// late for that `state` tells.
  public func cancel() {
    let control = run.withLock { run in
      run.failure = nil
      return run.control
    }
    guard !branch.isFlat else { return }
    control?.cancel()
    group.wait()
  }

  /// Ends the thread, to go on when the branch is opened again, and begins none any more.
  public func end() {
    let control = run.withLock { run in
      run.isEnding = true
      return run.control
    }
    control?.pause()
    group.wait()
  }
}
