internal import Bytes
public import Catalog
internal import FileIO
public import Vault

/// What is to be another way in how a machine is replicated; nil for what stays.
public struct MachineChanges: Hashable, Sendable {
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds: Int?
  /// Bytes a second that its agent may send; 0 for no limit.
  public var bandwidth: Int64?
  /// When that limit applies.
  public var bandwidthHours: BandwidthHours?
  /// Seconds of age of the newest recovery point from which on there is a warning.
  public var rpoSeconds: Int?
  /// The machine's internal address.
  public var address: String?
  /// What runs on it.
  public var operatingSystem: OperatingSystem?
  /// When a resynchronisation that is required begins by itself.
  public var resyncWindow: ResynchronisationWindow?
  /// The process server that its agent sends to: a relay's name, or ``VaultService/ownServer``.
  public var processServer: String?

  /// No change.
  public init() {}

  /// - Throws: `.refused` for a value that is out of its range.
  func check() throws(OperationError) {
    if let cycleSeconds { try ReplicationPace.checkCycle(seconds: cycleSeconds) }
    if let applicationSeconds {
      try ReplicationPace.checkApplication(seconds: applicationSeconds)
    }
    if let bandwidth, bandwidth != 0, bandwidth < 1024 {
      throw OperationError(
        .refused, "An agent may send 1024 bytes a second or more; 0 is no limit.")
    }
    if let rpoSeconds { try ReplicationPace.checkThreshold(seconds: rpoSeconds) }
    if let address { try InternetAddress.check(address) }
  }

  /// Changes what was checked.
  func apply(to settings: inout MachineSettings) {
    if let cycleSeconds { settings.cycleSeconds = cycleSeconds }
    if let applicationSeconds { settings.applicationSeconds = applicationSeconds }
    if let bandwidth { settings.bandwidth = bandwidth == 0 ? nil : bandwidth }
    if let bandwidthHours {
      settings.bandwidthHours = bandwidthHours == .always ? nil : bandwidthHours.description
    }
    if let rpoSeconds { settings.rpoSeconds = rpoSeconds }
    if let address { settings.address = address }
    if let resyncWindow {
      settings.resyncWindow = resyncWindow == .automatic ? nil : resyncWindow.description
    }
    if let processServer {
      settings.processServer = processServer == VaultService.ownServer ? nil : processServer
    }
  }
}

extension VaultService {
  /// How a machine that enrolled is replicated.
  ///
  /// - Throws: `.unknown`.
  public func settings(of name: String) throws(OperationError) -> MachineSettings {
    let agent = try agent(named: name)
    return try inCatalog { () throws(CatalogError) in try catalog.settings(of: agent.machine) }
  }

  /// Changes how a machine that enrolled is replicated; its agent learns of it at once.
  ///
  /// - Throws: `.unknown`, or `.refused` for a value that is out of its range, or a process server that is
  ///   critical, or another operating system for a machine that is not protected: nothing is changed
  ///   then; `.locked` if that can't be noted for now.
  public func change(
    _ name: String, _ changes: MachineChanges
  ) throws(OperationError) -> MachineSettings {
    let agent = try agent(named: name)
    try changes.check()
    let before = try settings(of: name).processServer ?? Self.ownServer
    let isMoved = changes.processServer.map { $0 != before } ?? false
    if isMoved { try checkServer(changes.processServer ?? before) }
    if let system = changes.operatingSystem { try set(system, of: agent) }
    let changed = try inCatalog { () throws(CatalogError) in
      try catalog.changeSettings(of: agent.machine) { changes.apply(to: &$0) }
    }
    if isMoved {
      try agentHost.redirect(agent.machine)
    } else if try !agentHost.beginIfDue(agent.machine) {
      agentHost.order(agent.machine)
    }
    note(.info, "settings-changed", machine: name, "The settings of '\(name)' were changed.")
    if let address = changes.address {
      for warning in Self.warnings(of: address, agent) {
        note(.warning, "protection-warning", machine: name, warning)
      }
    }
    return changed
  }

  /// What speaks against an address for a machine that enrolled, and is no reason to refuse it; in
  /// sentences.
  ///
  /// - Throws: `.unknown`.
  public func warnings(of address: String, for name: String) throws(OperationError) -> [String] {
    Self.warnings(of: address, try agent(named: name))
  }

  /// Notes what runs on a machine, in its log: its agent is kept out for that moment.
  private func set(_ system: OperatingSystem, of agent: AgentRecord) throws(OperationError) {
    let known = try inVault { () throws(VaultError) in try vault.machines() }
    guard let machine = known.first(where: { $0.id == agent.machine }) else {
      throw OperationError(
        .refused,
        "Protection of '\(agent.name)' is not enabled, so nothing is kept yet of what runs on it: name "
          + "that with 'tidemark machine enable \(agent.name) --os \(system.name)'.")
    }
    let old = try inVault { () throws(VaultError) in try machine.snapshot().configuration }
    guard old.operatingSystem != system else { return }
    try agentHost.keepingOut(agent.machine, isWriting: true) { () throws(OperationError) in
      try inVault { () throws(VaultError) in
        let log = try MachineWriter(machine: machine, in: vault, lock: writable.lock)
        try log.setOperatingSystem(system)
        try log.close()
      }
    }
  }

  /// Lets the agent of a machine begin a cycle at once; gives what there is to say to that.
  ///
  /// - Throws: `.unknown`; `.refused` if the machine is not protected, or rests.
  public func orderCycle(of name: String) throws(OperationError) -> [String] {
    let agent = try agent(named: name)
    let status = try agentStatuses().first { $0.agent.machine == agent.machine }
    switch status?.state {
    case .protected: break
    case .paused:
      throw OperationError(
        .refused, "Replication of '\(name)' is paused: 'tidemark machine resume \(name)'.")
    case .unprotected, nil:
      throw OperationError(
        .refused, "Protection of '\(name)' is not enabled: 'tidemark machine enable \(name)'.")
    }
    guard !agentHost.order(agent.machine, isNow: true) else { return [] }
    return ["The agent of '\(name)' is not connected; what is due then begins when it is."]
  }
}
