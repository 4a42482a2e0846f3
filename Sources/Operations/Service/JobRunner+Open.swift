internal import Catalog
internal import FileIO
internal import Synchronization

/// Jobs that others work on, or that wait for what others do: they take no thread here and nobody's turn.
extension JobRunner {
  /// Keeps a job that runs elsewhere until it is closed; `cancel` is called when somebody asks it to stop,
  /// and is to close it; without it the job just ends.
  ///
  /// It is not ended when the service is: whoever works on it reopens it, or it is found unended at the
  /// next start.
  /// - Throws: `.unwritable`.
  func open(
    _ kind: String, machine: String?, tasks: [String], cancel: (@Sendable () -> Void)? = nil
  ) throws(OperationError) -> Job {
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.addJob(kind: kind, machine: machine, tasks: tasks, now: .now())
    }
    let job = reopen(record, cancel: cancel)
    try job.begin()
    return job
  }

  /// Keeps a job of an earlier process that goes on in this one.
  @discardableResult
  func reopen(_ record: JobRecord, cancel: (@Sendable () -> Void)? = nil) -> Job {
    let job = Job(record, in: catalog)
    let end: @Sendable () -> Void = { [weak self] in
      self?.close(job, .failure(OperationError(.cancelled, "The job was cancelled.")))
    }
    opened.withLock { $0[record.id] = OpenJob(job: job, cancel: cancel ?? end) }
    return job
  }

  /// Goes on with all jobs of a kind that had not ended.
  func reopen(_ kind: String) throws(OperationError) {
    let records = try inCatalog { () throws(CatalogError) in try catalog.unendedJobs(of: kind) }
    for record in records { reopen(record) }
  }

  /// The jobs of a kind that others work on, the oldest first.
  func opened(_ kind: String) -> [Job] {
    opened.withLock { $0.values.map(\.job) }.filter { $0.record.kind == kind }
      .sorted { $0.id < $1.id }
  }

  /// Ends a job that was opened, unless somebody else did at the same time.
  func close(_ job: Job, _ outcome: Result<Void, OperationError>) {
    guard opened.withLock({ $0.removeValue(forKey: job.id) }) != nil else { return }
    ended(job.end(outcome))
  }

  /// A job and how it is asked to stop.
  struct OpenJob: Sendable {
    let job: Job
    let cancel: @Sendable () -> Void
  }
}
