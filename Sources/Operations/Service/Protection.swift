internal import Bytes
public import Catalog
internal import FileIO
public import Replication
public import Vault

/// What protection of a machine is enabled with.
public struct ProtectionOptions: Sendable {
  /// Numbers of disks that are not replicated.
  public var excluded: Set<Int> = []
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds = 300
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds = 3600
  /// What runs on it, where the agent's word is not to count.
  public var operatingSystem: OperatingSystem?

  /// The usual options.
  public init() {}
}

/// A machine that enrolled, and how it stands.
public struct AgentStatus: Sendable {
  /// How far its protection goes.
  public enum State: String, Sendable, CaseIterable {
    /// Nobody has enabled it.
    case unprotected
    /// A cycle at each interval.
    case protected
    /// It rests.
    case paused
  }

  /// What its agent says of it.
  public let agent: AgentRecord
  /// How far its protection goes.
  public let state: State
  /// Whether its agent is connected.
  public let isConnected: Bool
  /// What its agent told last.
  public let report: Report?
}

extension VaultService {
  /// All machines that enrolled, and how they stand, by name.
  public func agentStatuses() throws(OperationError) -> [AgentStatus] {
    let protected = try inVault { () throws(VaultError) in try vault.machines() }.map(\.id)
    var statuses: [AgentStatus] = []
    for agent in try agents() {
      let settings = try inCatalog { () throws(CatalogError) in
        try catalog.settings(of: agent.machine)
      }
      let isProtected = protected.contains(agent.machine)
      statuses.append(
        AgentStatus(
          agent: agent,
          state: isProtected ? settings.isPaused ? .paused : .protected : .unprotected,
          isConnected: agentHost.isConnected(agent.machine),
          report: agentHost.report(of: agent.machine)?.report))
    }
    return statuses
  }

  /// All machines that enrolled, protected or not, by name.
  public func agents() throws(OperationError) -> [AgentRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.agents() }
  }

  /// The machine of that name that enrolled.
  ///
  /// - Throws: `.unknown`.
  public func agent(named name: String) throws(OperationError) -> AgentRecord {
    guard let agent = try agents().first(where: { $0.name == name }) else {
      throw OperationError(
        .unknown, "No machine '\(name)' has enrolled. 'tidemark agent status' there tells its name."
      )
    }
    return agent
  }

  /// Starts the job that protects a machine: from its agent's next contact on, a cycle at each interval.
  ///
  /// - Throws: at once what is refused: `.unknown`, `.refused`.
  public func enable(
    _ name: String, _ options: ProtectionOptions
  ) throws(OperationError) -> JobRecord {
    let agent = try agent(named: name)
    let configuration = try configuration(of: agent, options)
    return try jobs.start(
      "Enable protection", machine: name, tasks: ["Prerequisites check", "Add to the vault"]
    ) { [self] job throws(OperationError) in
      try job.task("Prerequisites check") { () throws(OperationError) in
        _ = try self.configuration(of: agent, options)
      }
      try job.task("Add to the vault") { () throws(OperationError) in
        var settings = MachineSettings(machine: agent.machine)
        settings.cycleSeconds = options.cycleSeconds
        settings.applicationSeconds = options.applicationSeconds
        let kept = settings
        try inCatalog { () throws(CatalogError) in try catalog.set(kept) }
        try writable.changingList { () throws(OperationError) in
          _ = try inVault { () throws(VaultError) in
            try vault.addMachine(configuration, id: agent.machine, lock: writable.lock)
          }
        }
      }
      note(.info, "protection-enabled", machine: name, "Protection of '\(name)' was enabled.")
    }
  }

  private func configuration(
    of agent: AgentRecord, _ options: ProtectionOptions
  ) throws(OperationError) -> MachineConfiguration {
    let known = try inVault { () throws(VaultError) in try vault.machines() }
    guard !known.contains(where: { $0.id == agent.machine }) else {
      throw OperationError(.refused, "Protection of '\(agent.name)' is enabled already.")
    }
    guard (10...86400).contains(options.cycleSeconds) else {
      throw OperationError(.refused, "A cycle is made every 10 seconds to every day.")
    }
    let disks = agent.disks.filter { !options.excluded.contains($0.number) }.compactMap { disk in
      DiskConfiguration(
        number: DiskNumber(truncatingIfNeeded: disk.number), path: disk.path,
        capture: CaptureMode.allCases.first { $0.name == disk.capture } ?? .scan,
        format: SourceFormat.allCases.first { $0.name == disk.format } ?? .raw)
    }
    guard !disks.isEmpty else {
      throw OperationError(
        .refused,
        "The agent of '\(agent.name)' has told of no disk to replicate. Add one there with 'tidemark "
          + "agent add-disk', let 'tidemark agent run' connect once, and try again.")
    }
    let system = OperatingSystem.allCases.first { $0.name == agent.operatingSystem }
    return MachineConfiguration(
      name: agent.name, operatingSystem: options.operatingSystem ?? system ?? .linux, disks: disks)
  }

  /// Lets the replication of a machine rest, or go on.
  ///
  /// - Throws: `.unknown`.
  public func setPaused(_ isPaused: Bool, machine name: String) throws(OperationError) {
    let agent = try agent(named: name)
    try inCatalog { () throws(CatalogError) in
      var settings = try catalog.settings(of: agent.machine)
      settings.isPaused = isPaused
      try catalog.set(settings)
    }
    agentHost.order(agent.machine)
    let what = isPaused ? "paused" : "resumed"
    note(.info, "replication-\(what)", machine: name, "Replication of '\(name)' was \(what).")
  }

  /// Ends the protection of a machine: its recovery points are removed, and it stays enrolled.
  ///
  /// - Throws: `.unknown`, or `.refused` while a mount or another reader has it open.
  public func disable(_ name: String) throws(OperationError) -> [String] {
    let agent = try agent(named: name)
    let left = try agentHost.keepingOut(agent.machine) { () throws(OperationError) in
      try RemoveMachine(name: name).run(in: writable)
    }
    try inCatalog { () throws(CatalogError) in try catalog.removeSettings(of: agent.machine) }
    note(.warning, "protection-disabled", machine: name, "Protection of '\(name)' was disabled.")
    return left
  }

  /// Revokes a machine's certificates: its connection is cut, and it has to enrol anew.
  ///
  /// - Throws: `.unknown`.
  public func revoke(_ name: String) throws(OperationError) {
    let agent = try agent(named: name)
    let serials = try certificates.exclusively { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in
        let serials = try catalog.revokeCertificates(of: agent.machine.description, at: .now())
        _ = try catalog.removeAgent(of: agent.machine)
        return serials
      }
    }
    agentHost.revoke(serials)
    note(.warning, "agent-revoked", machine: name, "The certificate of '\(name)' was revoked.")
  }
}
