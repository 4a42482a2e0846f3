internal import Catalog
internal import Operations

extension Endpoint {
  /// Starting, stopping and reaching the machines of drills and failovers.
  static let powerEndpoints: [Endpoint] = [
    .get("/v1/machines/{name}/power", .reader) { call in
      PowerDocument(
        try call.service.power(of: call.parameter("name"), isTest: try isTest(call)))
    },
    .get("/v1/machines/{name}/console", .operator) { call in
      let limit = try call.query("limit", or: 65536, in: 1...1 << 20)
      return ConsoleDocument(
        try call.service.console(
          of: call.parameter("name"), isTest: try isTest(call), limit: Int(limit)))
    },
    .post("/v1/machines/{name}/start", .operator, status: 202) {
      (call: Call, body: MachineStartDocument) in
      JobDocument(
        try call.service.startMachine(
          call.parameter("name"), isTest: body.test ?? false, boots: body.boot ?? false,
          by: call.operator))
    },
    .post("/v1/machines/{name}/stop", .operator, status: 202) {
      (call: Call, body: MachineStopDocument) in
      JobDocument(
        try call.service.stopMachine(
          call.parameter("name"), isTest: body.test ?? false, body.request, by: call.operator))
    },
  ]

  private static func isTest(_ call: Call) throws(RequestError) -> Bool {
    switch call.query["test"] {
    case nil, "false": return false
    case "true": return true
    case let text?:
      throw RequestError(.badRequest, "test is true or false, not '\(text)'.")
    }
  }
}
