public import Operations

/// Drills and failovers.
extension ControlClient {
  /// How a machine stands in its recovery.
  public func recovery(of name: String) throws(OperationError) -> RecoveryDocument {
    try get("/v1/machines/\(Self.part(name))/recovery")
  }

  /// Tells what reading all of the disks of a drill or a failover found, which are that branch: what is damaged,
  /// or nil.
  public func noteChecked(
    _ name: String, branch: String, damage: String?
  ) throws(OperationError) -> RecoveryDocument {
    try post(
      "/v1/machines/\(Self.part(name))/recovery/checked",
      CheckedDisksDocument(branch: branch, damage: damage))
  }

  /// The newest `limit` drills, of one machine or of all, the newest first.
  public func drills(
    of name: String?, limit: Int
  ) throws(OperationError) -> DrillListDocument {
    let machine = name.map { "&machine=\(Self.part($0))" } ?? ""
    return try get("/v1/test-failovers?limit=\(limit)\(machine)")
  }

  /// Begins a test failover.
  public func startTestFailover(
    _ name: String, _ request: RecoveryRequestDocument
  ) throws(OperationError) -> JobDocument {
    try post("/v1/machines/\(Self.part(name))/test-failover", request)
  }

  /// Cleans a test failover up.
  public func cleanUpTestFailover(
    _ name: String, notes: String?
  ) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(name))/test-failover/cleanup", CleanupDocument(notes: notes))
  }

  /// Begins a failover.
  public func startFailover(
    _ name: String, _ request: RecoveryRequestDocument
  ) throws(OperationError) -> JobDocument {
    try post("/v1/machines/\(Self.part(name))/failover", request)
  }

  /// Takes another recovery point for a machine that is failed over.
  public func changeRecoveryPoint(
    _ name: String, _ request: RecoveryRequestDocument
  ) throws(OperationError) -> JobDocument {
    try post("/v1/machines/\(Self.part(name))/failover/change-point", request)
  }

  /// Makes a failover final; whoever calls this has made sure that it is meant.
  public func commitFailover(
    _ name: String, completesMigration: Bool
  ) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(name))/failover/commit",
      CommitDocument(completeMigration: completesMigration, confirm: true))
  }

  /// Copies the disks of a failover to plain files, while they are used.
  public func flattenFailover(_ name: String) throws(OperationError) -> JobDocument {
    try call("POST", "/v1/machines/\(Self.part(name))/failover/flatten")
  }

  /// Cancels a failover; the machine is not replicated any more then.
  public func cancelFailover(
    _ name: String, isConfirmed: Bool
  ) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(name))/failover/cancel",
      ConfirmationDocument(confirm: isConfirmed))
  }

  /// Removes the disks that a failover left; whoever calls this has made sure that it is meant.
  public func discardFailedOver(_ name: String) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(name))/failover/discard", ConfirmationDocument(confirm: true))
  }
}
