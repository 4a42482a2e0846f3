internal import Bytes
public import Catalog
internal import FileIO
internal import Synchronization

/// A long operation as the code that does its work sees it: where it tells how far it is, and asks
/// whether it shall stop.
///
/// Safe from any thread. Progress is kept in memory; what else it tells is durable when it returns.
public final class Job: Sendable {
  /// Its number.
  public let id: Int64
  /// Whether it goes on in the next process, from its first part that was not done, if this one ends.
  let survives: Bool
  /// Whether it waits for nobody's turn.
  let isUrgent: Bool
  private let catalog: Catalog
  private let state: Mutex<State>

  private struct State {
    var record: JobRecord
    var isCancelled = false
    /// Why it shall stop, where somebody else than a person wants it to.
    var reason: String?
  }

  init(
    _ record: JobRecord, in catalog: Catalog, survives: Bool = false, isUrgent: Bool = false
  ) {
    (id, self.isUrgent) = (record.id, isUrgent || survives)
    (self.catalog, self.survives) = (catalog, survives)
    state = Mutex(State(record: record))
  }

  /// The job as it is at this moment.
  public var record: JobRecord { state.withLock { $0.record } }

  /// Whether the work shall stop at the next good place, with `.cancelled`.
  public var isCancelled: Bool { state.withLock { $0.isCancelled } }

  /// Whether the work shall stop because this process ends, to go on in the next one.
  var isInterrupted: Bool { survives && state.withLock { $0.reason != nil } }

  /// Tells how much of the work is done.
  public func report(_ progress: JobProgress) { state.withLock { $0.record.progress = progress } }

  /// Tells what the job has made so far: a JSON document of its kind's own.
  public func publish(_ result: String) throws(OperationError) {
    try change { $0.result = result }
  }

  /// Runs a part of the work that has a name in the list of the job's tasks.
  public func task<Result>(
    _ name: String, _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try set(name, .inProgress)
    do throws(OperationError) {
      let result = try body()
      try set(name, .succeeded)
      return result
    } catch {
      if !isInterrupted {
        try set(name, error.code == .cancelled ? .cancelled : .failed, error.message)
      }
      throw error
    }
  }

  /// Runs a part of the work unless an earlier process has done it.
  func step(_ name: String, _ body: () throws(OperationError) -> Void) throws(OperationError) {
    guard record.tasks.first(where: { $0.name == name })?.state != .succeeded else { return }
    try task(name, body)
  }

  /// Tells how far a part is that nobody runs here; what it is already is not written again.
  func advance(_ name: String, to state: JobState) throws(OperationError) {
    guard record.tasks.first(where: { $0.name == name })?.state != state else { return }
    try set(name, state)
  }

  /// Says more of the part that is in progress, if one is.
  func note(_ text: String) throws(OperationError) {
    try change { record in
      guard let index = record.tasks.firstIndex(where: { $0.state == .inProgress }) else { return }
      record.tasks[index].note = text
    }
  }

  /// Notes how far a part of work is that is done elsewhere.
  func tell(_ task: String, _ state: JobState) { try? set(task, state) }

  /// Makes durable how far it is.
  func keep() throws(OperationError) { try change { _ in } }

  private func set(
    _ name: String, _ state: JobState, _ error: String? = nil
  ) throws(OperationError) {
    let now = Timestamp.now()
    try change { record in
      guard let index = record.tasks.firstIndex(where: { $0.name == name }) else { return }
      record.tasks[index].state = state
      record.tasks[index].error = error
      if state == .inProgress { record.tasks[index].started = now }
      if state.isFinal { record.tasks[index].ended = now }
    }
  }

  func cancel(because reason: String?) {
    state.withLock { state in
      state.isCancelled = true
      state.reason = state.reason ?? reason
    }
  }

  func begin() throws(OperationError) {
    try change { record in
      record.state = .inProgress
      record.started = record.started ?? .now()
    }
  }

  /// Notes how the work ended. Where even that can't be kept, the job is over in memory all the same.
  func end(_ outcome: Result<Void, OperationError>) -> JobRecord {
    try? change { record in
      record.ended = .now()
      switch outcome {
      case .success: record.state = .succeeded
      case .failure(let error):
        record.state =
          switch error.code {
          case .cancelled: .cancelled
          case .incomplete: .succeeded
          default: .failed
          }
        record.error = JobFailure(code: error.code.rawValue, message: error.message)
      }
    }
    return record
  }

  /// What is told when the work stopped because it was asked to.
  func explained(_ error: OperationError) -> OperationError {
    guard error.code == .cancelled, let reason = state.withLock({ $0.reason }) else { return error }
    return OperationError(.cancelled, "\(reason) \(error.message)")
  }

  private func change(_ body: (inout JobRecord) -> Void) throws(OperationError) {
    let record = state.withLock { state in
      body(&state.record)
      return state.record
    }
    try inCatalog { () throws(CatalogError) in try catalog.update(record) }
  }
}
