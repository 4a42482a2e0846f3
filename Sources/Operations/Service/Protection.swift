internal import Bytes
public import Catalog
internal import FileIO
public import Replication
internal import Vault

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
    let records = try inCatalog { () throws(CatalogError) in try catalog.recoveries() }
    // Of these only the disks of a failover are left.
    let ended = records.filter(\.keepsDisks).map(\.machine)
    let protected = try inVault { () throws(VaultError) in try vault.machines() }.map(\.id)
      .filter { !ended.contains($0) }
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
          report: agentHost.activity.activity(of: agent.machine).report))
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

  /// Lets the replication of a machine rest, or go on.
  ///
  /// - Throws: `.unknown`, or `.refused` for a machine that is not protected.
  public func setPaused(_ isPaused: Bool, machine name: String) throws(OperationError) {
    let agent = try agent(named: name)
    let (standing, record) = try recovery.standing(of: recovery.subject(named: name))
    guard record == nil || standing.state.isReplicating else {
      throw OperationError(
        .refused,
        "The machine '\(name)' \(standing.state.words), so its replication can't be paused or resumed."
      )
    }
    let protected = try inVault { () throws(VaultError) in try vault.machines() }
    guard protected.contains(where: { $0.id == agent.machine }) else {
      throw OperationError(
        .refused, "Protection of '\(name)' is not enabled: 'tidemark machine enable \(name)'.")
    }
    try inCatalog { () throws(CatalogError) in
      _ = try catalog.changeSettings(of: agent.machine) { $0.isPaused = isPaused }
    }
    agentHost.order(agent.machine)
    let what = isPaused ? "paused" : "resumed"
    note(.info, "replication-\(what)", machine: name, "Replication of '\(name)' was \(what).")
  }

  /// Ends the protection of a machine: its recovery points are removed, and it stays enrolled, unless its
  /// certificates were revoked. One that the vault holds may have no agent, as where the catalog was lost.
  ///
  /// - Throws: `.unknown`, or `.refused` while somebody reads a disk of it, also in a mount.
  public func disable(_ name: String) throws(OperationError) -> [String] {
    try refuseInRecovery(.disable, name)
    if try disableFailedOver(name) {
      return [
        "The disks that '\(name)' was failed over to are kept, with what they are made of; 'tidemark failover "
          + "discard \(name)' removes them."
      ]
    }
    let agent = try agents().first { $0.name == name }
    let machine: Identifier
    if let agent { machine = agent.machine } else { machine = try self.machine(withoutAgent: name) }
    let left = try removing(name) { () throws(OperationError) in
      let left = try agentHost.keepingOut(machine, isWriting: false) {
        () throws(OperationError) in
        try RemoveMachine(name: name).run(in: writable)
      }
      try forget(machine, name)
      return left
    }
    note(.warning, "protection-disabled", machine: name, "Protection of '\(name)' was disabled.")
    return left
  }

  /// Removes a machine from the vault, with its recovery points, and what is known of its protection.
  ///
  /// - Throws: `.unknown`, or `.refused` while somebody reads a disk of it, also in a mount.
  public func remove(_ name: String) throws(OperationError) -> [String] {
    try refuseInRecovery(.disable, name)
    try refuseFailedOver(name)
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    let left = try removing(name) { () throws(OperationError) in
      let left = try RemoveMachine(name: name).run(in: writable)
      if let machine = machines.first(where: { $0.name == name }) { try forget(machine.id, name) }
      return left
    }
    note(
      .warning, "machine-removed", machine: name,
      "Machine '\(name)' was removed, with all its recovery points.")
    return left
  }

  /// Forgets how a machine was protected that the vault holds no more.
  func forget(_ machine: Identifier, _ name: String) throws(OperationError) {
    try inCatalog { () throws(CatalogError) in
      try catalog.removeTarget(of: machine)
      try catalog.removeDrills(of: machine)
    }
    try forgetProtection(of: machine, name)
  }

  /// Forgets how a machine was protected; what it is to be where it runs, and its drills, stay.
  func forgetProtection(of machine: Identifier, _ name: String) throws(OperationError) {
    try inCatalog { () throws(CatalogError) in
      try catalog.removeSettings(of: machine)
      try catalog.removeSamples(of: machine)
      try catalog.removeRevokedAgent(of: machine)
    }
    agentHost.activity.forget(machine)
    agentHost.forgetResynchronisation(of: machine)
    health.clearAll(ofMachine: name, at: .now())
  }

  private func machine(withoutAgent name: String) throws(OperationError) -> Identifier {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    guard let machine = machines.first(where: { $0.name == name }) else {
      // In the words for a machine that is not known at all.
      return try self.agent(named: name).machine
    }
    return machine.id
  }

  /// Revokes a machine's certificates: its connection is cut, and it has to enrol anew. A protected machine
  /// is still watched, and critical until then.
  ///
  /// - Throws: `.unknown`.
  public func revoke(_ name: String) throws(OperationError) {
    let agent = try agent(named: name)
    let isProtected = try inVault { () throws(VaultError) in try vault.machines() }
      .contains { $0.id == agent.machine }
    let serials = try certificates.exclusively { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in
        let serials = try catalog.revokeCertificates(of: agent.machine.description, at: .now())
        if isProtected {
          try catalog.revokeAgent(of: agent.machine, at: .now())
        } else {
          _ = try catalog.removeAgent(of: agent.machine)
        }
        return serials
      }
    }
    agentHost.revoke(serials)
    if isProtected {
      // What only its agent tells of.
      health.clear(name, .cycleFailed, .applicationPointFailed, at: .now())
      health.raise(.revoked, of: name, at: .now())
    } else {
      agentHost.activity.forget(agent.machine)
      health.clearAll(ofMachine: name, at: .now())
      note(.warning, "agent-revoked", machine: name, "The certificate of '\(name)' was revoked.")
    }
  }
}
