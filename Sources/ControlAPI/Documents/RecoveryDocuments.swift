internal import Bytes
internal import Catalog
internal import FileIO
public import Operations

/// What is asked for with a drill, a failover or another recovery point, as JSON.
public struct RecoveryRequestDocument: Codable, Sendable {
  /// `latest`, `latest-processed`, `latest-app-consistent`, an instant, an id or a label; `latest` if nothing
  /// is said.
  public var point: String?
  /// The network of its machine; the usual one if nothing is said.
  public var network: String?
  /// Whether its machine is started.
  public var boot: Bool?
  /// Whether the source is asked to stop; of a failover.
  public var shutdownSource: Bool?
  /// Seconds until a drill is cleaned up by itself; never if nothing is said.
  public var expiresSeconds: Int64?
  /// Bytes that may be written to its disks; as many as the vault has room for if nothing is said.
  public var budgetBytes: UInt64?
  /// Whether what only warns is meant.
  public var confirm: Bool?

  /// A request for this point.
  public init(point: String?) { self.point = point }

  /// - Throws: `.refused` for a time that is none.
  func request() throws(OperationError) -> RecoveryRequest {
    var request = RecoveryRequest(point: point ?? "latest")
    (request.network, request.boots, request.budget) = (network, boot ?? false, budgetBytes)
    (request.stopsSource, request.isConfirmed) = (shutdownSource ?? false, confirm ?? false)
    if let expiresSeconds {
      guard (60...366 * 86400).contains(expiresSeconds) else {
        throw OperationError(.refused, "expiresSeconds is a number from 60 to 31622400.")
      }
      request.expires = Timestamp(seconds: Timestamp.now().seconds + expiresSeconds)
    }
    return request
  }
}

/// What is kept of a drill that is cleaned up, as JSON.
public struct CleanupDocument: Codable, Sendable {
  /// What the operator wants to remember of it.
  public var notes: String?

  /// Keeps these notes.
  public init(notes: String?) { self.notes = notes }
}

/// What reading all of the disks of a drill or a failover found, as JSON.
public struct CheckedDisksDocument: Codable, Sendable {
  /// The identifier of the branch that the disks are.
  public let branch: String
  /// What is damaged, in sentences; nil if nothing is.
  public let damage: String?

  /// Tells of this damage of a branch, or that there is none.
  public init(branch: String, damage: String?) { (self.branch, self.damage) = (branch, damage) }
}

/// How a failover is made final, as JSON.
public struct CommitDocument: Codable, Sendable {
  /// Whether protection ends for good with it.
  public var completeMigration: Bool?
  /// Whether it is meant that all recovery points are deleted.
  public var confirm: Bool?

  /// A commit.
  public init(completeMigration: Bool, confirm: Bool) {
    (self.completeMigration, self.confirm) = (completeMigration, confirm)
  }
}

/// That what can't be undone is meant, as JSON.
public struct ConfirmationDocument: Codable, Sendable {
  /// Whether it is.
  public var confirm: Bool?

  /// Says whether it is meant.
  public init(confirm: Bool) { self.confirm = confirm }
}

/// A recovery point as something was made of it, as JSON.
public struct ChosenPointDocument: Codable, Sendable {
  /// What was asked for.
  public let asked: String
  /// Its id.
  public let id: String
  /// When the disks were as it shows them.
  public let time: String
  /// `crash` or `app`.
  public let kind: String
  /// `machine`, or `per-disk` if each disk is of another moment.
  public let consistency: String

  init(_ point: ChosenPoint) {
    (asked, id, time) = (point.asked, point.id, point.time.iso8601)
    kind = point.isApplicationConsistent ? "app" : "crash"
    consistency = point.isPerDisk ? "per-disk" : "machine"
  }
}

/// A test failover, as JSON.
public struct DrillDocument: Codable, Sendable {
  /// Its number.
  public let id: Int64
  /// The machine.
  public let machine: String
  /// Its name.
  public let name: String
  /// `active`, `succeeded` once it is cleaned up, `failed` or `cancelled`.
  public let outcome: String
  /// The recovery point that it was made of.
  public let point: ChosenPointDocument?
  /// When it was asked for.
  public let started: String
  /// When its disks or its machine could be used.
  public let ready: String?
  /// When it is cleaned up by itself.
  public let expires: String?
  /// When it was over.
  public let ended: String?
  /// What was noted at its clean-up.
  public let notes: String?
  /// Who asked for it.
  public let `operator`: String?
  /// Who cleaned it up; none if its time was over.
  public let endedBy: String?
  /// What was checked and compared.
  public let report: RecoveryReport?

  init(_ drill: DrillRecord, of machine: String) {
    (id, self.machine, name, outcome) = (drill.id, machine, drill.name, drill.outcome.rawValue)
    point = drill.point.map { ChosenPointDocument($0) }
    (started, ready) = (drill.started.iso8601, drill.ready?.iso8601)
    (expires, ended) = (drill.expires?.iso8601, drill.ended?.iso8601)
    (notes, self.operator, endedBy) = (drill.notes, drill.operator, drill.endedBy)
    report = RecoveryReport(json: drill.report)
  }
}

/// Test failovers, as JSON.
public struct DrillListDocument: Codable, Sendable {
  /// The drills, the newest first.
  public let drills: [DrillDocument]

  init(_ drills: [(drill: DrillRecord, machine: String)]) {
    self.drills = drills.map { DrillDocument($0.drill, of: $0.machine) }
  }
}

/// How a machine stands in its recovery, as JSON.
public struct RecoveryDocument: Codable, Sendable {
  /// Something that may be done, as JSON.
  public struct Operation: Codable, Sendable {
    /// What it is.
    public let name: String
    /// What Azure Site Recovery's REST API calls it.
    public let restName: String?
    /// The command for it.
    public let command: String

    static func all(of standing: RecoveryStanding, _ machine: String) -> [Self] {
      standing.allowed.map { action in
        Self(
          name: action.rawValue, restName: action.restName,
          command: action.command(in: standing.state).replacing("NAME", with: machine))
      }
    }
  }

  /// `unprotected`, `enabling`, `protected`, `resynchronising`, `testActive`, `failoverInProgress`,
  /// `failoverFailed`, `failedOver`, `committed`, `replicationStopped`, and those of a failback.
  public let state: String
  /// The state in words, as the end of 'The machine …'.
  public let words: String
  /// What Azure Site Recovery's REST API calls it (`protectionState`).
  public let protectionState: String?
  /// The same of its drill (`testFailoverState`).
  public let testFailoverState: String
  /// `Test recommended`, `Performed successfully` or `Not applicable`; `Not checked` where no service tells.
  public let testState: String
  /// Whether replication rests.
  public let isPaused: Bool
  /// Whether disks of a failover are left of one that is not protected any more.
  public let keepsDisks: Bool
  /// Whether its failed-over disks are plain files, which need no recovery point any more.
  public let isFlat: Bool
  /// What a job does about it now.
  public let running: String?
  /// That job.
  public let job: Int64?
  /// What failed last.
  public let failed: String?
  /// Why.
  public let failure: String?
  /// The recovery point that its disks were made of.
  public let point: ChosenPointDocument?
  /// The directory with its disks, while they are served.
  public let directory: String?
  /// Since when it is in its state.
  public let since: String?
  /// Who brought it there.
  public let `operator`: String?
  /// What may be done now.
  public let allowedOperations: [Operation]
  /// Its newest drill.
  public let lastDrill: DrillDocument?
  /// When it was last drilled with success.
  public let lastSuccessfulDrill: String?

  /// What can be told of a machine where no service runs: no jobs, no drills and no times.
  init(
    _ standing: RecoveryStanding, _ point: ChosenPoint?, servedIn directory: String?,
    of machine: String
  ) {
    (state, words) = (standing.state.rawValue, standing.state.words)
    (protectionState, testFailoverState) = (standing.protectionState, standing.testFailoverState)
    testState = "Not checked"
    (isPaused, keepsDisks) = (standing.isPaused, standing.keepsDisks)
    isFlat = standing.isFlat
    (running, job, failed, failure) = (nil, nil, nil, nil)
    self.point = point.map { ChosenPointDocument($0) }
    (self.directory, since, self.operator) = (directory, nil, nil)
    allowedOperations = Operation.all(of: standing, machine)
    (lastDrill, lastSuccessfulDrill) = (nil, nil)
  }

  init(_ status: RecoveryStatus, of machine: String) {
    let (standing, record) = (status.standing, status.record)
    (state, words) = (standing.state.rawValue, standing.state.words)
    (protectionState, testFailoverState) = (standing.protectionState, standing.testFailoverState)
    testState = status.testState(at: .now())
    (isPaused, keepsDisks) = (standing.isPaused, standing.keepsDisks)
    isFlat = standing.isFlat
    (running, job) = (standing.running?.rawValue, record?.job)
    (failed, failure) = (standing.failed?.rawValue, record?.failure?.message)
    point = record?.point.map { ChosenPointDocument($0) }
    (directory, since) = (status.directory, record?.since.iso8601)
    self.operator = record?.operator
    allowedOperations = Operation.all(of: standing, machine)
    lastDrill = status.lastDrill.map { DrillDocument($0, of: machine) }
    lastSuccessfulDrill = status.lastSuccess?.iso8601
  }
}
