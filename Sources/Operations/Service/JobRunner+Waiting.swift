internal import Bytes
internal import Catalog
internal import FileIO

/// Jobs that nobody runs: each waits for something that others do, takes no thread, and is found again
/// after a restart.
extension JobRunner {
  /// Begins such a job.
  func wait(
    _ kind: String, machine: String?, tasks: [String]
  ) throws(OperationError) -> JobRecord {
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.addJob(kind: kind, machine: machine, tasks: tasks, now: .now())
    }
    let job = Job(record, in: catalog)
    try job.begin()
    expect(job)
    return job.record
  }

  /// Goes on with the jobs of a kind that had not ended.
  func resume(_ kind: String) throws(OperationError) {
    let records = try inCatalog { () throws(CatalogError) in try catalog.unendedJobs(of: kind) }
    for record in records { expect(Job(record, in: catalog)) }
  }

  /// The jobs of a kind that wait, the oldest first.
  func waiting(_ kind: String) -> [Job] {
    expected.filter { $0.record.kind == kind }.sorted { $0.id < $1.id }
  }
}
