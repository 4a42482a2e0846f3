public import Operations

/// Starting, stopping and reaching the machines of drills and failovers.
extension ControlClient {
  /// Whether the machine of a drill (`isTest`) or a failover runs, and how it is reached.
  public func power(of name: String, isTest: Bool) throws(OperationError) -> PowerDocument {
    try get("/v1/machines/\(Self.part(name))/power?test=\(isTest)")
  }

  /// The last `limit` bytes that it wrote to its serial console.
  public func console(
    of name: String, isTest: Bool, limit: Int
  ) throws(OperationError) -> ConsoleDocument {
    try get("/v1/machines/\(Self.part(name))/console?test=\(isTest)&limit=\(limit)")
  }

  /// Begins to start it; with `boots` a machine is run on its disks though none was asked for before.
  public func startMachine(
    _ name: String, isTest: Bool, boots: Bool
  ) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(name))/start", MachineStartDocument(test: isTest, boot: boots))
  }

  /// Begins to stop it.
  public func stopMachine(
    _ name: String, _ stop: MachineStopDocument
  ) throws(OperationError) -> JobDocument {
    try post("/v1/machines/\(Self.part(name))/stop", stop)
  }
}
