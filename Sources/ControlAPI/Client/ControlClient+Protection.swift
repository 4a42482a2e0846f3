internal import Capture
public import Operations

/// Machines with agents, and how they are.
extension ControlClient {
  /// The machines that enrolled, by name.
  public func agents() throws(OperationError) -> AgentListDocument { try get("/v1/agents") }

  /// Revokes the certificates of a machine that enrolled.
  public func revokeAgent(named name: String) throws(OperationError) {
    let _: RemarksDocument = try call("DELETE", "/v1/agents/\(Self.part(name))")
  }

  /// Starts the job that enables a machine's protection.
  public func enable(
    _ name: String, _ options: ProtectionOptions
  ) throws(OperationError) -> JobDocument {
    try post("/v1/machines/\(Self.part(name))/enable", ProtectionDocument(options))
  }

  /// Disables a machine's protection; gives what could not be cleared away.
  public func disable(_ name: String) throws(OperationError) -> [String] {
    let left: RemarksDocument = try call("POST", "/v1/machines/\(Self.part(name))/disable")
    return left.remarks
  }

  /// Lets a machine's replication rest, or go on.
  public func setPaused(_ isPaused: Bool, machine name: String) throws(OperationError) {
    let verb = isPaused ? "pause" : "resume"
    let _: RemarksDocument = try call("POST", "/v1/machines/\(Self.part(name))/\(verb)")
  }

  /// What would apply if a machine's protection was enabled.
  public func plan(
    _ name: String, _ options: ProtectionOptions
  ) throws(OperationError) -> ProtectionPlanDocument {
    try post("/v1/machines/\(Self.part(name))/plan", ProtectionDocument(options))
  }

  /// Starts the job that asks agents to tell anew; all if no names are given.
  public func refresh(_ names: [String]) throws(OperationError) -> JobDocument {
    try post("/v1/agents/refresh", RefreshDocument(machines: names))
  }

  /// All machines, protected or not, by name.
  public func machines() throws(OperationError) -> MachineListDocument { try get("/v1/machines") }

  /// A machine.
  public func machine(named name: String) throws(OperationError) -> MachineDocument {
    try get("/v1/machines/\(Self.part(name))")
  }

  /// How everything is.
  public func status() throws(OperationError) -> StatusDocument { try get("/v1/status") }

  /// How a machine's replication goes, and went for so many hours.
  public func health(
    of name: String, hours: Int
  ) throws(OperationError) -> MachineHealthDocument {
    try get("/v1/machines/\(Self.part(name))/health?hours=\(hours)")
  }
}
