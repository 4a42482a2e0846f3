public import Catalog
internal import Dispatch
internal import FileIO
internal import Synchronization

/// Runs jobs: each on a thread of its own, so many at a time, the rest in the order they came.
///
/// Safe from any thread.
public final class JobRunner: Sendable {
  /// Jobs that run at a time.
  public static let runningLimit = 4
  /// Jobs that wait for their turn at the most; more are refused.
  public static let waitingLimit = 1000

  /// The work of a job.
  public typealias Work = @Sendable (Job) throws(OperationError) -> Void

  let catalog: Catalog
  let ended: @Sendable (JobRecord) -> Void
  private let state = Mutex(State())
  private let all = DispatchGroup()
  /// Decides whether a job that survives this process may be stopped, and stops it.
  let decider = Mutex<(@Sendable (JobRecord, String?) throws(OperationError) -> Void)?>(nil)
  /// Jobs that others work on.
  let opened = Mutex<[Int64: OpenJob]>([:])

  private struct State {
    var waiting: [(job: Job, work: Work)] = []
    var running: [Int64: Job] = [:]
    var isStopping = false
  }

  /// - Parameters:
  ///   - catalog: where jobs are kept.
  ///   - ended: called for each job that ended, on its thread.
  init(catalog: Catalog, ended: @escaping @Sendable (JobRecord) -> Void) {
    (self.catalog, self.ended) = (catalog, ended)
  }

  /// Starts a job, or lets it wait for its turn.
  ///
  /// - Parameters:
  ///   - kind: what it does, in a word or two.
  ///   - machine: the name of the machine it is about.
  ///   - tasks: the names of its parts.
  ///   - isUrgent: whether it waits for none of the others.
  ///   - work: what it does; may block.
  /// - Returns: the job, which is durable.
  /// - Throws: `.refused` if too many wait or the service is ending; `.unwritable`.
  public func start(
    _ kind: String, machine: String?, tasks: [String] = [], isUrgent: Bool = false,
    work: @escaping Work
  ) throws(OperationError) -> JobRecord {
    try checkRoom(isUrgent: isUrgent)
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.addJob(kind: kind, machine: machine, tasks: tasks, now: .now())
    }
    run(Job(record, in: catalog, isUrgent: isUrgent), work)
    return record
  }

  /// Whether another job may begin; one that is urgent waits for none of the others.
  ///
  /// - Throws: `.refused`.
  func checkRoom(isUrgent: Bool = false) throws(OperationError) {
    try state.withLock { state throws(OperationError) in
      guard !state.isStopping else {
        throw OperationError(.refused, "The service is ending; start the job when it runs again.")
      }
      guard isUrgent || state.waiting.count < Self.waitingLimit else {
        throw OperationError(
          .refused, "\(Self.waitingLimit) jobs are waiting already. Try again when some have ended."
        )
      }
    }
  }

  /// Runs a job that is durable already, unless it runs; if this process ends first it stays unended, for
  /// the next one to go on with.
  func resume(_ record: JobRecord, work: @escaping Work) {
    guard !record.state.isFinal else { return }
    run(Job(record, in: catalog, survives: true), work)
  }

  /// Whether a job runs in this process, or waits for that.
  func isLive(_ id: Int64) -> Bool { live(id) != nil }

  /// Runs a job, unless it runs.
  private func run(_ job: Job, _ work: @escaping Work) {
    all.enter()
    let isStopping = state.withLock { state -> Bool? in
      let isLive = state.running[job.id] != nil || state.waiting.contains { $0.job.id == job.id }
      guard !isLive else { return nil }
      state.waiting.append((job, work))
      return state.isStopping
    }
    guard let isStopping else { return all.leave() }
    if isStopping {
      job.cancel(because: "The service was stopped.")
      dropCancelled()
    }
    startNext()
  }

  /// The job of that number as it is now.
  ///
  /// - Throws: `.unknown`.
  public func job(_ id: Int64) throws(OperationError) -> JobRecord {
    if let live = live(id) { return live.record }
    let kept = try inCatalog { () throws(CatalogError) in try catalog.job(id) }
    guard let kept else {
      throw OperationError(.unknown, "There is no job \(id); 'tidemark jobs' lists them.")
    }
    return kept
  }

  /// The newest `limit` jobs with numbers above `id`, the newest first.
  public func jobs(after id: Int64 = 0, limit: Int) throws(OperationError) -> [JobRecord] {
    let kept = try inCatalog { () throws(CatalogError) in
      try catalog.jobs(after: id, limit: limit)
    }
    return kept.map { live($0.id)?.record ?? $0 }
  }

  /// Asks a job to stop, for an operator; it ends as cancelled at the next good place, or by itself before
  /// that.
  ///
  /// - Throws: `.unknown`, or `.refused` if it has ended.
  public func cancel(
    _ id: Int64, by operator: String? = nil
  ) throws(OperationError) -> JobRecord {
    guard let live = live(id) else {
      let job = try job(id)
      throw OperationError(
        .refused,
        "Job \(job.id) has ended already: \(job.state.rawValue). 'tidemark jobs' "
          + "lists what still runs.")
    }
    if live.survives, let decide = decider.withLock({ $0 }) {
      try decide(live.record, `operator`)
      return live.record
    }
    live.cancel(because: nil)
    // Called with nothing held: it closes the job.
    opened.withLock { $0[id] }?.cancel()
    dropCancelled()
    return live.record
  }

  /// Asks a job to stop about which it was decided that it shall.
  func stop(_ id: Int64) {
    live(id)?.cancel(because: nil)
    dropCancelled()
  }

  private func live(_ id: Int64) -> Job? {
    if let open = opened.withLock({ $0[id] }) { return open.job }
    return state.withLock { state in
      state.running[id] ?? state.waiting.first { $0.job.id == id }?.job
    }
  }

  /// Asks all jobs to stop, starts no more, and waits until they have ended, at most `seconds`.
  ///
  /// - Returns: whether they all ended.
  func stop(seconds: Int) -> Bool {
    let running = state.withLock { state in
      state.isStopping = true
      return Array(state.running.values) + state.waiting.map(\.job)
    }
    for job in running { job.cancel(because: "The service was stopped.") }
    dropCancelled()
    return all.wait(timeout: .now() + .seconds(seconds)) == .success
  }

  /// Waits until no job runs or waits.
  func wait() { all.wait() }

  private func startNext() {
    let next = state.withLock { state -> (job: Job, work: Work)? in
      // Nobody whose site is down waits for a replication to end.
      let isFree = state.running.count < Self.runningLimit
      guard let index = state.waiting.firstIndex(where: { isFree || $0.job.isUrgent })
      else { return nil }
      let next = state.waiting.remove(at: index)
      state.running[next.job.id] = next.job
      return next
    }
    guard let (job, work) = next else { return }
    // A serial queue of its own gets a thread of its own, however long others block theirs.
    DispatchQueue(label: "tidemark.job.\(job.id)").async { [self] in
      finish(job, Self.outcome(job, work))
      startNext()
      all.leave()
    }
  }

  private static func outcome(_ job: Job, _ work: Work) -> Result<Void, OperationError> {
    do throws(OperationError) {
      try job.begin()
      return .success(try work(job))
    } catch { return .failure(job.explained(error)) }
  }

  /// Ends the jobs that were cancelled before their turn came, except those that survive: what they were
  /// begun with has to be undone, which their own work does.
  private func dropCancelled() {
    let dropped = state.withLock { state in
      let isOver: (Job) -> Bool = { $0.isCancelled && !$0.survives }
      let dropped = state.waiting.filter { isOver($0.job) }
      state.waiting.removeAll { isOver($0.job) }
      return dropped
    }
    for (job, _) in dropped {
      let error = OperationError(.cancelled, "The job was cancelled before it began.")
      finish(job, .failure(job.explained(error)))
      all.leave()
    }
  }

  private func finish(_ job: Job, _ outcome: Result<Void, OperationError>) {
    if job.isInterrupted, case .failure = outcome {
      try? job.keep()
    } else {
      ended(job.end(outcome))
    }
    state.withLock { _ = $0.running.removeValue(forKey: job.id) }
  }
}
