internal import Bytes
public import Catalog
internal import FoundationEssentials
public import Operations

/// A job, as JSON.
public struct JobDocument: Codable, Sendable {
  /// A part of a job, as JSON.
  public struct Task: Codable, Sendable {
    /// What it does.
    public let name: String
    /// How far it is.
    public let state: JobState
    /// When it began.
    public let started: String?
    /// When it ended.
    public let ended: String?
    /// Why it failed.
    public let error: String?
    /// What else there is to say of it.
    public let note: String?
  }

  /// How much of a job's work is done, as JSON.
  public struct Progress: Codable, Sendable {
    /// What is being worked on.
    public let step: String
    /// Bytes done.
    public let doneBytes: UInt64
    /// Bytes there are in all.
    public let totalBytes: UInt64
    /// Bytes found changed, where that is counted.
    public let changedBytes: UInt64?
    /// Bytes of digests that were sent, where that is counted.
    public let digestBytes: UInt64?
  }

  /// Its number.
  public let id: Int64
  /// What it does.
  public let kind: String
  /// The machine it is about.
  public let machine: String?
  /// How far it is.
  public let state: JobState
  /// Its parts.
  public let tasks: [Task]
  /// How much of its work is done.
  public let progress: Progress?
  /// Why it did not do all it should.
  public let error: ErrorDocument.Content?
  /// What a replication has made so far.
  public let replication: ReplicationDocument?
  /// What a drill or a failover found so far.
  public let recovery: RecoveryReport?
  /// How a machine that was to be stopped went down: `wasOff`, `clean`, `forced`, `died`.
  public let stop: String?
  /// Who asked for it: the name of a token, or of a user of the service's host.
  public let `operator`: String?
  /// When it was asked for.
  public let created: String
  /// When it began.
  public let started: String?
  /// When it ended.
  public let ended: String?

  /// Describes a job.
  public init(_ job: JobRecord) {
    (id, kind, machine, state) = (job.id, job.kind, job.machine, job.state)
    tasks = job.tasks.map { task in
      Task(
        name: task.name, state: task.state, started: task.started?.iso8601,
        ended: task.ended?.iso8601, error: task.error, note: task.note)
    }
    progress = job.progress.map { progress in
      Progress(
        step: progress.step, doneBytes: progress.done, totalBytes: progress.total,
        changedBytes: progress.changed, digestBytes: progress.digests)
    }
    error = job.error.map { ErrorDocument.Content(code: $0.code, message: $0.message) }
    replication = job.result.flatMap { result in
      try? JSONDecoder().decode(ReplicationDocument.self, from: Data(result.utf8))
    }
    recovery = RecoveryReport(json: job.result)
    stop = MachineStopReport(json: job.result)?.stop
    `operator` = job.operator
    created = job.created.iso8601
    (started, ended) = (job.started?.iso8601, job.ended?.iso8601)
  }
}

/// Jobs, as JSON.
public struct JobListDocument: Codable, Sendable {
  /// The jobs, the newest first.
  public let jobs: [JobDocument]

  /// These jobs.
  public init(jobs: [JobDocument]) { self.jobs = jobs }

  init(_ jobs: [JobRecord]) { self.jobs = jobs.map { JobDocument($0) } }
}

/// An event, as JSON.
public struct EventDocument: Codable, Sendable {
  /// Its number.
  public let id: Int64
  /// When it happened.
  public let time: String
  /// How urgently somebody should look.
  public let severity: Severity
  /// What kind of event it is.
  public let code: String
  /// The machine it is about.
  public let machine: String?
  /// What happened.
  public let message: String

  init(_ event: EventRecord) {
    (id, time, severity) = (event.id, event.time.iso8601, event.severity)
    (code, machine, message) = (event.code, event.machine, event.message)
  }
}

/// Events, as JSON.
public struct EventListDocument: Codable, Sendable {
  /// The events, the newest first.
  public let events: [EventDocument]

  init(_ events: [EventRecord]) { self.events = events.map { EventDocument($0) } }
}
