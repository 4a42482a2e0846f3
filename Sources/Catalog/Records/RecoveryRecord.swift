public import Bytes
internal import GRDB

/// A recovery point as something was made of it.
public struct ChosenPoint: Codable, Hashable, Sendable {
  /// What was asked for: `latest`, an instant, an id, a label.
  public var asked: String
  /// Its id.
  public var id: String
  /// When the disks were as it shows them.
  public var time: Timestamp
  /// Its cut: everything up to this sequence number belongs to it.
  public var cut: UInt64
  /// Whether it is app-consistent; it is crash-consistent otherwise.
  public var isApplicationConsistent: Bool
  /// Whether each of its disks is of another moment.
  public var isPerDisk: Bool

  /// A point of these properties.
  public init(
    asked: String, id: String, time: Timestamp, cut: UInt64, isApplicationConsistent: Bool,
    isPerDisk: Bool
  ) {
    (self.asked, self.id, self.time, self.cut) = (asked, id, time, cut)
    (self.isApplicationConsistent, self.isPerDisk) = (isApplicationConsistent, isPerDisk)
  }
}

/// What an operator asked for when a drill or a failover was begun.
public struct RecoveryRequest: Codable, Hashable, Sendable {
  /// The recovery point, as it was spelt.
  public var point: String
  /// The network that its machine is to be on; nil for the usual one.
  public var network: String?
  /// Whether its machine is to be started.
  public var boots = false
  /// Whether the source is to be asked to stop.
  public var stopsSource = false
  /// Whether what only warns is known and meant.
  public var isConfirmed = false
  /// Whether protection ends for good with a commit.
  public var completesMigration = false
  /// When a drill ends by itself.
  public var expires: Timestamp?
  /// Bytes that may be written to its disks; nil for as many as the vault has room for.
  public var budget: UInt64?
  /// What is kept of a drill when it is cleaned up.
  public var notes: String?
  /// The machine's epoch when it was begun: a higher one tells that replication has ended.
  public var epoch: UInt32?
  /// Whether the machine ran whose disks another recovery point was to take the place of.
  public var restarts: Bool?
  /// What had been asked for before, if anything is kept of it; nil if this takes the place of nothing. A list,
  /// for no structure holds one of its own kind.
  public var former: [RecoveryRequest]?

  /// A request for this point.
  public init(point: String) { self.point = point }
}

/// Where a machine stands in its recovery: a drill, a failover, or what is left of one. There is none for a
/// machine that is just protected, or is not.
public struct RecoveryRecord: Codable, Hashable, Sendable {
  /// The machine.
  public var machine: Identifier
  /// Its name.
  public var name: String
  /// The state, by the name of a `RecoveryState`.
  public var state: String
  /// The action that a job does now, by the name of a `RecoveryAction`.
  public var running: String?
  /// The action that failed last.
  public var failed: String?
  /// The state that the failover began in.
  public var origin: String?
  /// Whether disks of a failover are left of one that is not protected any more.
  public var keepsDisks = false
  /// Whether records of its source are refused from now on.
  public var isFenced = false
  /// The job of the action.
  public var job: Int64?
  /// The branch that its disks are.
  public var branch: Identifier?
  /// The branch that a change of point replaces.
  public var formerBranch: Identifier?
  /// Branches that others have taken the place of, and that somebody read when they were to be removed; nil if
  /// there are none.
  public var replaced: [Identifier]?
  /// The branch whose disks are to refuse writes, as its machine was stopped where none is run.
  public var stopped: Identifier?
  /// The recovery point that the branch is made of.
  public var point: ChosenPoint?
  /// What was asked for.
  public var request: RecoveryRequest?
  /// The drill, while one runs.
  public var drill: Int64?
  /// Since when it is in its state.
  public var since: Timestamp
  /// Who asked for it.
  public var `operator`: String?
  /// Why the action failed that failed last.
  public var failure: JobFailure?

  /// A record of a machine that is in a state from now on.
  public init(machine: Identifier, name: String, state: String, since: Timestamp) {
    (self.machine, self.name, self.state, self.since) = (machine, name, state, since)
  }
}

extension RecoveryRecord {
  /// Has something else be asked for from now on.
  public mutating func ask(for new: RecoveryRequest) {
    var former = request
    former?.former = nil
    request = new
    request?.former = [former].compactMap { $0 }
  }

  /// Has what had been asked for before count again.
  public mutating func takeBackRequest() {
    guard let former = request?.former else { return }
    request = former.first
  }
}

extension RecoveryRecord: Kept {
  static var table: String { "recovery" }
}

/// A job to begin together with a change of a machine's recovery.
public struct NewJob: Sendable {
  /// What it does.
  public var kind: String
  /// The names of its parts.
  public var tasks: [String]

  /// A job of that kind and these parts.
  public init(kind: String, tasks: [String]) { (self.kind, self.tasks) = (kind, tasks) }
}

/// A drill to begin together with a change of a machine's recovery.
public struct NewDrill: Sendable {
  /// Its name.
  public var name: String
  /// When it is cleaned up by itself.
  public var expires: Timestamp?

  /// A drill of that name.
  public init(name: String, expires: Timestamp?) { (self.name, self.expires) = (name, expires) }
}

/// What becomes of a machine's recovery.
public enum RecoveryChange<Refusal: Error>: Sendable {
  /// It stays as it is, for a reason.
  case refuse(Refusal)
  /// It becomes this, and a job and a drill begin with it where there are any.
  case keep(RecoveryRecord, NewJob? = nil, NewDrill? = nil)
  /// There is nothing more to know.
  case forget
}

extension Catalog {
  /// Changes where a machine stands in one transaction: `decide` sees what is kept at that moment, and of
  /// two that ask at the same time the second one sees what the first one made of it.
  ///
  /// - Returns: what is kept now, and the job that was begun; or why nothing was changed.
  public func changeRecovery<Refusal: Error>(
    of machine: Identifier, now: Timestamp,
    _ decide: @Sendable (RecoveryRecord?) -> RecoveryChange<Refusal>
  ) throws(CatalogError) -> Result<(RecoveryRecord?, JobRecord?), Refusal> {
    try write { database in
      let known = try Self.first(
        RecoveryRecord.self, where: "machine = ?", [machine.description], database)
      switch decide(known) {
      case .refuse(let refusal): return .failure(refusal)
      case .forget:
        try database.execute(
          sql: "DELETE FROM recovery WHERE machine = ?", arguments: [machine.description])
        return .success((nil, nil))
      case .keep(var record, let new, let drill):
        if let drill { record.drill = try Self.add(drill, of: record, now, database).id }
        var job: JobRecord?
        if let new {
          let begun = try Self.add(new, of: record, now, database)
          record.job = begun.id
          job = begun
        }
        // What is as it was needs no room, which a full disk does not have.
        if record != known { try Stored(record).upsert(database) }
        return .success((record, job))
      }
    }
  }

  private static func add(
    _ new: NewJob, of record: RecoveryRecord, _ now: Timestamp, _ database: Database
  ) throws -> JobRecord {
    var job = JobRecord(
      id: try database.nextNumber(of: JobRecord.table), kind: new.kind, machine: record.name,
      state: .notStarted, tasks: new.tasks.map(TaskRecord.init(name:)), created: now)
    job.operator = record.operator
    try Stored(job).insert(database)
    return job
  }

  /// Where a machine stands in its recovery; nil if there is nothing to know.
  public func recovery(of machine: Identifier) throws(CatalogError) -> RecoveryRecord? {
    try first(RecoveryRecord.self, where: "machine = ?", [machine.description])
  }

  /// All machines that are in a drill or a failover, or have something left of one, by name.
  public func recoveries() throws(CatalogError) -> [RecoveryRecord] {
    try all(RecoveryRecord.self, by: "name")
  }
}
