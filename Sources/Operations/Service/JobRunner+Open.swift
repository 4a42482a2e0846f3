internal import Catalog
internal import FileIO
internal import Synchronization

/// Jobs that others work on: they take no thread here and nobody's turn.
extension JobRunner {
  /// Keeps a job that runs elsewhere until it is closed; `cancel` is called when somebody asks it to stop,
  /// and is to close it.
  ///
  /// It is not ended when the service is: whoever works on it reopens it, or it is found unended at the
  /// next start.
  /// - Throws: `.unwritable`.
  func open(
    _ kind: String, machine: String?, tasks: [String], cancel: @escaping @Sendable () -> Void
  ) throws(OperationError) -> Job {
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.addJob(kind: kind, machine: machine, tasks: tasks, now: .now())
    }
    let job = reopen(record, cancel: cancel)
    try job.begin()
    return job
  }

  /// Keeps a job of an earlier process that goes on in this one.
  func reopen(_ record: JobRecord, cancel: @escaping @Sendable () -> Void) -> Job {
    let job = Job(record, in: catalog)
    opened.withLock { $0[record.id] = OpenJob(job: job, cancel: cancel) }
    return job
  }

  /// Ends a job that was opened.
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
