public import Operations

/// What is asked of machines with an agent.
extension ControlClient {
  /// How a machine is replicated.
  public func settings(of name: String) throws(OperationError) -> SettingsDocument {
    try get("/v1/machines/\(Self.part(name))/settings")
  }

  /// Changes how a machine is replicated; gives how it is from now on.
  public func change(
    _ name: String, _ changes: MachineChanges
  ) throws(OperationError) -> SettingsDocument {
    try post("/v1/machines/\(Self.part(name))/settings", SettingsDocument(changes))
  }

  /// How a machine stands with its replica.
  public func resynchronisation(
    of name: String
  ) throws(OperationError) -> ResynchronisationDocument {
    try get("/v1/machines/\(Self.part(name))/resynchronisation")
  }

  /// Begins the resynchronisation of a machine.
  public func resynchronise(_ name: String) throws(OperationError) -> JobDocument {
    try call("POST", "/v1/machines/\(Self.part(name))/resynchronise")
  }

  /// Marks a machine as one that has to be resynchronised; gives how it stands then.
  public func requireResynchronisation(
    of name: String, because reason: String
  ) throws(OperationError) -> ResynchronisationDocument {
    try post(
      "/v1/machines/\(Self.part(name))/resynchronise/require", DamageDocument(reason: reason))
  }

  /// Cancels the resynchronisation of a machine; it stays required.
  public func cancelResynchronisation(of name: String) throws(OperationError) {
    let _: RemarksDocument = try call(
      "POST", "/v1/machines/\(Self.part(name))/resynchronise/cancel")
  }

  /// Lets a machine's agent begin a cycle at once; gives what there is to say to that.
  public func orderCycle(of name: String) throws(OperationError) -> [String] {
    let answer: RemarksDocument = try call("POST", "/v1/machines/\(Self.part(name))/cycle")
    return answer.remarks
  }
}
