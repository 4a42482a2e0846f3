internal import Catalog
internal import Operations

extension Endpoint {
  /// Drills and failovers.
  static let recoveryEndpoints: [Endpoint] = [
    .get("/v1/machines/{name}/recovery", .reader) { call in
      let name = call.parameter("name")
      return RecoveryDocument(try call.service.recovery(of: name), of: name)
    },
    .post("/v1/machines/{name}/recovery/checked", .operator) {
      (call: Call, body: CheckedDisksDocument) in
      let name = call.parameter("name")
      try call.service.noteChecked(name, branch: body.branch, damage: body.damage)
      return RecoveryDocument(try call.service.recovery(of: name), of: name)
    },
    .get("/v1/test-failovers", .reader) { call in
      DrillListDocument(try call.service.drills(of: call.query["machine"], limit: try limit(call)))
    },
    .post("/v1/machines/{name}/test-failover", .operator, status: 202) {
      (call: Call, body: RecoveryRequestDocument) in
      JobDocument(
        try call.service.startTestFailover(
          call.parameter("name"), try body.request(), by: call.operator))
    },
    .post("/v1/machines/{name}/test-failover/cleanup", .operator, status: 202) {
      (call: Call, body: CleanupDocument) in
      JobDocument(
        try call.service.cleanUpTestFailover(
          call.parameter("name"), notes: body.notes, by: call.operator))
    },
    .post("/v1/machines/{name}/failover", .operator, status: 202) {
      (call: Call, body: RecoveryRequestDocument) in
      JobDocument(
        try call.service.startFailover(
          call.parameter("name"), try body.request(), by: call.operator))
    },
    .post("/v1/machines/{name}/failover/change-point", .operator, status: 202) {
      (call: Call, body: RecoveryRequestDocument) in
      JobDocument(
        try call.service.changeRecoveryPoint(
          call.parameter("name"), try body.request(), by: call.operator))
    },
    .post("/v1/machines/{name}/failover/commit", .operator, status: 202) {
      (call: Call, body: CommitDocument) in
      let (name, migrates) = (call.parameter("name"), body.completeMigration ?? false)
      // To end protection takes an administrator, this way too.
      try call.check(
        migrates ? .administrator : .operator, isConfirmed: body.confirm,
        "This deletes every recovery point of '\(name)'.")
      return JobDocument(
        try call.service.commitFailover(
          name, completesMigration: migrates, by: call.operator))
    },
    .post("/v1/machines/{name}/failover/flatten", .operator, status: 202) { call in
      JobDocument(
        try call.service.flattenFailover(call.parameter("name"), by: call.operator))
    },
    .post("/v1/machines/{name}/failover/cancel", .operator, status: 202) {
      (call: Call, body: ConfirmationDocument) in
      JobDocument(
        try call.service.cancelFailover(
          call.parameter("name"), isConfirmed: body.confirm ?? false, by: call.operator))
    },
    .post("/v1/machines/{name}/failover/discard", .administrator, status: 202) {
      (call: Call, body: ConfirmationDocument) in
      let name = call.parameter("name")
      try call.check(
        .administrator, isConfirmed: body.confirm, "This removes the disks of '\(name)' for good.")
      return JobDocument(try call.service.discardFailedOver(name, by: call.operator))
    },
  ]

  private static func limit(_ call: Call) throws -> Int {
    Int(try call.query("limit", or: usualList, in: listLimit))
  }
}
