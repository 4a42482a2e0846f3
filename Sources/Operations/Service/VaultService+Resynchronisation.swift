internal import Bytes
public import Catalog
internal import FileIO
internal import Vault

/// How a machine stands with its replica.
public struct ResynchronisationStatus: Sendable {
  /// Whether it has to be resynchronised, and why; nil if not.
  public let record: ResynchronisationRecord?
  /// When one that is required begins by itself.
  public let window: ResynchronisationWindow

  init(_ record: ResynchronisationRecord?, _ settings: MachineSettings) {
    self.record = record
    window = settings.resyncWindow.flatMap { ResynchronisationWindow($0) } ?? .automatic
  }
}

extension VaultService {
  /// How a machine that enrolled stands with its replica.
  ///
  /// - Throws: `.unknown`.
  public func resynchronisation(
    of name: String
  ) throws(OperationError) -> ResynchronisationStatus {
    let settings = try settings(of: name)
    return ResynchronisationStatus(
      try agentHost.resynchronisation(of: settings.machine), settings)
  }

  /// Begins the resynchronisation of a machine, whatever its window says and also if none is required.
  ///
  /// - Returns: the job, or the one that runs already. It waits for an agent that is not connected.
  /// - Throws: `.unknown`, or `.refused` for a machine that is not protected.
  public func resynchronise(_ name: String) throws(OperationError) -> JobRecord {
    let agent = try protectedAgent(named: name)
    try refuseInRecovery(.resynchronise, name)
    let record = try agentHost.resynchronisation(of: agent.machine)
    if let record, record.state == .running, let job = record.job { return try jobs.job(job) }
    return try agentHost.begin(
      record
        ?? ResynchronisationRecord(
          machine: agent.machine, reason: "An operator asked for it.", since: .now()))
  }

  /// Cancels the resynchronisation of a machine; it stays required.
  ///
  /// - Throws: `.unknown`; `.refused` if none runs; `.locked` if its log can't be got hold of, in which
  ///   case it is stopped all the same, and what it stored is compared again.
  public func cancelResynchronisation(of name: String) throws(OperationError) {
    try agentHost.cancelResynchronisation(of: try agent(named: name).machine)
  }

  /// Marks a machine as one that has to be resynchronised, as its replica was found damaged. Nothing is done
  /// for one that is being resynchronised. The reason is a sentence of 500 characters at the most.
  ///
  /// - Throws: `.unknown`; `.refused` for a machine that is not protected, or a reason that is none.
  public func requireResynchronisation(
    of name: String, because reason: String
  ) throws(OperationError) {
    let agent = try protectedAgent(named: name)
    guard (1...500).contains(reason.count) else {
      throw OperationError(.refused, "The reason is a sentence of up to 500 characters.")
    }
    // What this process still has in memory must not pass for what is stored.
    vault.forgetIndexPages()
    try agentHost.require(agent.machine, because: reason)
  }

  private func protectedAgent(named name: String) throws(OperationError) -> AgentRecord {
    let agent = try agent(named: name)
    let status = try agentStatuses().first { $0.agent.machine == agent.machine }
    guard let status, status.state != .unprotected else {
      throw OperationError(
        .refused, "Protection of '\(name)' is not enabled: 'tidemark machine enable \(name)'.")
    }
    return agent
  }
}
