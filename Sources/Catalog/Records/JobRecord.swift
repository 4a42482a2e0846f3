public import Bytes
internal import GRDB

/// How far a job or task is.
public enum JobState: String, Codable, Sendable, CaseIterable {
  /// It waits for its turn.
  case notStarted = "NotStarted"
  /// It runs.
  case inProgress = "InProgress"
  /// It did what it should.
  case succeeded = "Succeeded"
  /// It did not.
  case failed = "Failed"
  /// It was stopped on request.
  case cancelled = "Cancelled"

  /// Whether nothing more happens to it.
  public var isFinal: Bool { self != .notStarted && self != .inProgress }
}

/// How much of its work a job has done.
public struct JobProgress: Codable, Hashable, Sendable {
  /// What is being worked on, in a few words.
  public var step: String
  /// Bytes done.
  public var done: UInt64
  /// Bytes there are in all.
  public var total: UInt64
  /// Bytes found changed, where that is counted.
  public var changed: UInt64?
  /// Bytes of digests that were sent, where that is counted.
  public var digests: UInt64?

  /// Progress of these numbers.
  public init(
    step: String, done: UInt64, total: UInt64, changed: UInt64? = nil, digests: UInt64? = nil
  ) {
    (self.step, self.done, self.total) = (step, done, total)
    (self.changed, self.digests) = (changed, digests)
  }
}

/// Why a job did not do all it should.
public struct JobFailure: Codable, Hashable, Sendable {
  /// The kind of failure, by the name of an outcome of an operation.
  public var code: String
  /// What failed, on what, why, and what to do next.
  public var message: String

  /// A failure of this kind.
  public init(code: String, message: String) { (self.code, self.message) = (code, message) }
}

/// A part of a job that has a name.
public struct TaskRecord: Codable, Hashable, Sendable {
  /// What it does.
  public var name: String
  /// How far it is.
  public var state: JobState
  /// When it began.
  public var started: Timestamp?
  /// When it ended.
  public var ended: Timestamp?
  /// Why it failed.
  public var error: String?
  /// What else there is to say of it.
  public var note: String?

  /// A task that has not begun.
  public init(name: String) { (self.name, state) = (name, .notStarted) }
}

/// A long operation: what it is, how far it is, how it ended.
public struct JobRecord: Codable, Hashable, Sendable {
  /// Its number; later jobs have higher ones.
  public var id: Int64
  /// What it does.
  public var kind: String
  /// The name of the machine it is about.
  public var machine: String?
  /// How far it is.
  public var state: JobState
  /// Its parts.
  public var tasks: [TaskRecord]
  /// How much of its work is done.
  public var progress: JobProgress?
  /// Why it did not do all it should.
  public var error: JobFailure?
  /// What it made so far: a JSON document of the kind's own.
  public var result: String?
  /// When it was asked for.
  public var created: Timestamp
  /// When it began.
  public var started: Timestamp?
  /// When it ended.
  public var ended: Timestamp?
  /// Who asked for it, where that is known.
  public var `operator`: String?
}

extension JobRecord: Kept {
  static var table: String { "job" }
}

extension Catalog {
  /// Ended jobs that are kept; older ones are forgotten as new ones come.
  public static let jobLimit = 10_000

  /// Keeps a job that waits for its turn, and gives it its number.
  public func addJob(
    kind: String, machine: String?, tasks: [String], now: Timestamp
  ) throws(CatalogError) -> JobRecord {
    try write { database in
      let job = JobRecord(
        id: try database.nextNumber(of: JobRecord.table), kind: kind, machine: machine,
        state: .notStarted, tasks: tasks.map(TaskRecord.init(name:)), created: now)
      try Stored(job).insert(database)
      try database.execute(
        sql: "DELETE FROM job WHERE id <= ? AND ended IS NOT NULL",
        arguments: [job.id - Int64(Self.jobLimit)])
      return job
    }
  }

  /// Keeps a job as it is now.
  public func update(_ job: JobRecord) throws(CatalogError) { try put(job) }

  /// The job of that number.
  public func job(_ id: Int64) throws(CatalogError) -> JobRecord? {
    try first(JobRecord.self, where: "id = ?", [id])
  }

  /// The newest `limit` jobs with numbers above `id`, the newest first.
  public func jobs(after id: Int64 = 0, limit: Int) throws(CatalogError) -> [JobRecord] {
    try all(JobRecord.self, where: "id > ?", by: "id DESC", limit: limit, [id])
  }

  /// The jobs of a kind that have not ended, the oldest first.
  public func unendedJobs(of kind: String) throws(CatalogError) -> [JobRecord] {
    try all(JobRecord.self, where: "ended IS NULL AND kind = ?", by: "id", [kind])
  }

  /// Ends every job that has not ended, as whoever ran it is gone; `others` are those that go on.
  ///
  /// - Returns: the jobs as they are now.
  public func failUnendedJobs(
    _ failure: JobFailure, except others: Set<Int64> = [], now: Timestamp
  ) throws(CatalogError) -> [JobRecord] {
    var ended = try all(JobRecord.self, where: "ended IS NULL", by: "id", [])
    ended.removeAll { others.contains($0.id) }
    for index in ended.indices {
      ended[index].state = .failed
      ended[index].error = failure
      ended[index].ended = now
      for task in ended[index].tasks.indices where ended[index].tasks[task].state == .inProgress {
        ended[index].tasks[task].state = .failed
        ended[index].tasks[task].ended = now
      }
      try put(ended[index])
    }
    return ended
  }
}
