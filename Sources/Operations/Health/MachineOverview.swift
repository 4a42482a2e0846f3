public import Bytes
public import Catalog
internal import FileIO
internal import Vault

/// A machine as a service knows it: what the vault holds of it, what its agent tells, and how it is.
public struct MachineOverview: Sendable {
  /// How far a machine's replication is.
  public enum State: String, Sendable, CaseIterable {
    /// It enrolled, and nobody has enabled its protection.
    case unprotected
    /// Its first recovery point is being made.
    case initialReplication
    /// It has recovery points, and makes more.
    case protected
    /// An operator has paused it.
    case paused
    /// It is compared with its replica, and makes no recovery points meanwhile.
    case resynchronising
    /// Nothing is replicated until it is resynchronised.
    case resynchronisationRequired
    /// It is failed over, or is being that, and nothing is replicated.
    case failedOver
    /// Nothing is replicated, as its failover was cancelled.
    case replicationStopped
    /// It is replicated by hand, without an agent.
    case manual
  }

  /// Its identifier.
  public let id: Identifier
  /// Its name.
  public let name: String
  /// How far its replication is.
  public let state: State
  /// What the vault holds of it; nil if it is not protected.
  public let summary: MachineSummary?
  /// What its agent tells; nil if it has none.
  public let agent: AgentStatus?
  /// How it is replicated; nil if it is not protected.
  public let settings: MachineSettings?
  /// How it stands with its replica; nil if it is not protected, or has no agent.
  public let resynchronisation: ResynchronisationStatus?
  /// How it stands in its recovery; nil if nothing is known of it.
  public let recovery: RecoveryStatus?
  /// What is wrong with it, the worst first.
  public let errors: [HealthErrorRecord]
  /// Nanoseconds between the newest time its source vouches for and now; nil before the first point.
  public let rpo: Int64?

  /// How urgently somebody should look; nil if it is not protected.
  public var health: MachineStatus.Health? {
    guard state != .unprotected, recovery?.standing.keepsDisks != true else { return nil }
    if summary?.problem != nil { return .critical }
    // There is no replication to be well or not.
    guard recovery?.standing.state.hasFailedOverDisks != true else { return nil }
    let worst = errors.map(\.severity.health).max() ?? .healthy
    // A failover that is not done is somebody's business.
    guard recovery?.standing.state.isReplicating != false else { return max(worst, .warning) }
    return state == .initialReplication ? max(worst, .warning) : worst
  }

  /// Why, in sentences; empty if all is well.
  public var reasons: [String] {
    var reasons = summary?.problem.map { [$0.message] } ?? []
    if let recovery, !recovery.standing.state.isReplicating, state != .unprotected {
      let anew =
        " 'tidemark machine disable \(name)', and then 'tidemark machine enable \(name)', replicate it again."
      reasons.append(
        "It \(recovery.standing.state.words)."
          + (recovery.standing.state == .replicationStopped ? anew : ""))
    } else if state == .initialReplication {
      reasons.append("It has no recovery point yet.")
    }
    return reasons + errors.map(\.message)
  }

  /// What a failover makes of how far replication is; nil if none does.
  private static func state(_ standing: RecoveryStanding?) -> State? {
    guard let standing, !standing.state.isReplicating else { return nil }
    switch standing.state {
    case .unprotected: return standing.keepsDisks ? .unprotected : nil
    case .replicationStopped: return .replicationStopped
    default: return .failedOver
    }
  }

  init(
    _ summary: MachineSummary?, _ agent: AgentStatus?, _ settings: MachineSettings?,
    _ doubt: ResynchronisationRecord?, _ recovery: RecoveryStatus?, errors: [HealthErrorRecord],
    at now: Timestamp
  ) {
    self.recovery = recovery
    (self.summary, self.agent) = (summary, agent)
    id = summary?.id ?? agent?.agent.machine ?? Identifier(high: 0, low: 0)
    name = agent?.agent.name ?? summary?.name ?? ""
    let kept = summary == nil ? nil : settings
    self.settings = kept
    resynchronisation = kept.map { ResynchronisationStatus(doubt, $0) }
    let isEmpty = summary?.points.isEmpty ?? true
    let replication: State =
      switch (agent?.state, doubt?.state) {
      case (nil, _): .manual
      case (.unprotected, _): .unprotected
      case (.paused, _): .paused
      case (.protected, .running): .resynchronising
      case (.protected, .required): .resynchronisationRequired
      case (.protected, nil): isEmpty ? .initialReplication : .protected
      }
    state = Self.state(recovery?.standing) ?? replication
    self.errors = errors.sorted { ($0.severity.health, $1.since) > ($1.severity.health, $0.since) }
    rpo = summary?.windowEnd.map { max(0, now.rawValue - $0.rawValue) }
  }
}

extension Severity {
  /// The health of what has an error of this severity.
  public var health: MachineStatus.Health {
    switch self {
    case .info: .healthy
    case .warning: .warning
    case .critical: .critical
    }
  }
}

/// Errors of one kind that are current, with all they impact.
public struct ErrorGroup: Sendable {
  /// What kind of error it is.
  public let code: String
  /// The worst of them.
  public let severity: Severity
  /// What to do about it.
  public let advice: String
  /// The errors, those of longest standing first.
  public let errors: [HealthErrorRecord]

  /// Machines and servers that it impacts.
  public var count: Int { errors.count }

  /// Groups errors by their kind: the most severe first, then those that impact most.
  public static func groups(of errors: [HealthErrorRecord]) -> [ErrorGroup] {
    Dictionary(grouping: errors, by: \.code).map { code, errors in
      let sorted = errors.sorted { ($0.since, $0.subject) < ($1.since, $1.subject) }
      let worst = errors.max { $0.severity.health < $1.severity.health }
      return ErrorGroup(
        code: code, severity: worst?.severity ?? .info, advice: sorted.first?.advice ?? "",
        errors: sorted)
    }.sorted {
      ($0.severity.health, $0.count, $1.code) > ($1.severity.health, $1.count, $0.code)
    }
  }
}

extension VaultService {
  /// All machines, protected or not, by name.
  public func overviews(at now: Timestamp) throws(OperationError) -> [MachineOverview] {
    let summaries = try MachineSummary.all(in: vault)
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    let (agents, errors) = (try agentStatuses(), health.current.filter { $0.kind == .machine })
    var found: [MachineOverview] = []
    for agent in agents {
      let summary = summaries.first { $0.id == agent.agent.machine }
      let (settings, doubt) = try inCatalog { () throws(CatalogError) in
        (
          try catalog.settings(of: agent.agent.machine),
          try catalog.resynchronisation(of: agent.agent.machine)
        )
      }
      found.append(
        MachineOverview(
          summary, agent, settings, doubt,
          try? recoveryStatus(
            of: RecoveryDesk.Subject(
              id: agent.agent.machine, name: agent.agent.name,
              machine: machines.first { $0.id == agent.agent.machine })),
          errors: errors.filter { $0.subject == agent.agent.name }, at: now))
    }
    for summary in summaries where !agents.contains(where: { $0.agent.machine == summary.id }) {
      found.append(
        MachineOverview(
          summary, nil, nil, nil,
          try? recoveryStatus(
            of: RecoveryDesk.Subject(
              id: summary.id, name: summary.name, machine: machines.first { $0.id == summary.id })),
          errors: errors.filter { $0.subject == summary.name }, at: now))
    }
    return found.sorted { $0.name < $1.name }
  }

  /// The machine of that name, protected or not.
  ///
  /// - Throws: `.unknown`, or `.damaged` if its MANIFEST can't be read.
  public func overview(of name: String) throws(OperationError) -> MachineOverview {
    guard let found = try overviews(at: .now()).first(where: { $0.name == name }) else {
      // The vault's own words for what is not there.
      _ = try MachineSummary.named(name, in: vault)
      throw OperationError(.unknown, "There is no machine '\(name)'.")
    }
    if let problem = found.summary?.problem { throw problem }
    return found
  }

  /// How everything is: the worst of the machines and of the service itself.
  public func overallHealth(of machines: [MachineOverview]) -> MachineStatus.Health {
    let own = health.current.map(\.severity.health)
    return (machines.compactMap(\.health) + own).max() ?? .healthy
  }

  /// How busy the service's host is: percent of processor time and memory over the last while, and of
  /// the vault's file system that is free now; nil where it is not known.
  public var hostPercents: (processor: Int?, memory: Int?, free: Int?) {
    monitor.host
  }

  /// How the replication of a machine went since a moment: samples, the oldest first, and what happened
  /// since the last of them.
  ///
  /// - Throws: `.unknown`.
  public func history(
    of name: String, since start: Timestamp
  ) throws(OperationError) -> (samples: [HealthSample], present: HealthSample) {
    let machine = try agent(named: name).machine
    let samples = try inCatalog { () throws(CatalogError) in
      try catalog.samples(of: machine, since: start)
    }
    return (samples, monitor.present(machine, at: .now()))
  }
}
