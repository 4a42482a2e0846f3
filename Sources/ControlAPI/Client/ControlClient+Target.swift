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
}
