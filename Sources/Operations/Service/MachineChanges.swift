internal import Bytes
public import Catalog
internal import FileIO

/// What is to be another way in how a machine is replicated; nil for what stays.
public struct MachineChanges: Hashable, Sendable {
  /// Seconds between the beginnings of two cycles.
  public var cycleSeconds: Int?
  /// Seconds between two app-consistent points; 0 for none.
  public var applicationSeconds: Int?
  /// Bytes a second that its agent may send; 0 for no limit.
  public var bandwidth: Int64?
  /// When a resynchronisation that is required begins by itself.
  public var resyncWindow: ResynchronisationWindow?
  /// The process server that its agent sends to: a relay's name, or ``VaultService/ownServer``.
  public var processServer: String?

  /// No change.
  public init() {}

  func apply(to settings: inout MachineSettings) throws(OperationError) {
    if let cycleSeconds {
      try ReplicationPace.checkCycle(seconds: cycleSeconds)
      settings.cycleSeconds = cycleSeconds
    }
    if let applicationSeconds {
      try ReplicationPace.checkApplication(seconds: applicationSeconds)
      settings.applicationSeconds = applicationSeconds
    }
    if let bandwidth {
      guard bandwidth == 0 || bandwidth >= 1024 else {
        throw OperationError(
          .refused, "An agent may send 1024 bytes a second or more; 0 is no limit.")
      }
      settings.bandwidth = bandwidth == 0 ? nil : bandwidth
    }
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
  ///   critical: nothing is changed then.
  public func change(
    _ name: String, _ changes: MachineChanges
  ) throws(OperationError) -> MachineSettings {
    let agent = try agent(named: name)
    var settings = try settings(of: name)
    let before = settings.processServer
    try changes.apply(to: &settings)
    let changed = settings
    let isMoved = changed.processServer != before
    if isMoved { try checkServer(changed.processServer ?? Self.ownServer) }
    try inCatalog { () throws(CatalogError) in try catalog.set(changed) }
    if isMoved {
      try agentHost.redirect(agent.machine)
    } else if try !agentHost.beginIfDue(agent.machine) {
      agentHost.order(agent.machine)
    }
    note(.info, "settings-changed", machine: name, "The settings of '\(name)' were changed.")
    return changed
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
