public import Operations

/// What recovered machines are to be, and the networks that they are attached to.
extension ControlClient {
  /// All networks, by name.
  public func networks() throws(OperationError) -> NetworkListDocument { try get("/v1/networks") }

  /// The network of that name.
  public func network(named name: String) throws(OperationError) -> NetworkDocument {
    try get("/v1/networks/\(Self.part(name))")
  }

  /// Makes a network.
  public func create(_ network: NewNetwork) throws(OperationError) -> NetworkDocument {
    try post("/v1/networks", NewNetworkDocument(network))
  }

  /// Deletes a network that nothing uses.
  public func deleteNetwork(named name: String) throws(OperationError) {
    let _: RemarksDocument = try call("DELETE", "/v1/networks/\(Self.part(name))")
  }

  /// What a machine is to be once it is recovered.
  public func target(of name: String) throws(OperationError) -> TargetDocument {
    try get("/v1/machines/\(Self.part(name))/target")
  }

  /// Changes what a machine is to be; gives what it is from now on.
  public func changeTarget(
    of name: String, _ changes: TargetChanges
  ) throws(OperationError) -> TargetDocument {
    try post("/v1/machines/\(Self.part(name))/target", TargetChangesDocument(changes))
  }

  /// Looks whether machines, or the one of that name, could be recovered here.
  public func checkTarget(of name: String?) throws(OperationError) -> TargetCheckDocument {
    try get(name.map { "/v1/machines/\(Self.part($0))/target/check" } ?? "/v1/target/check")
  }
}
