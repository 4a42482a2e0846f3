internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// The process servers.
  static let serverEndpoints: [Endpoint] = [
    .post("/v1/enrol-relay", nil, status: 201) { (call: Call, body: NewAgentDocument) in
      EnrolmentDocument(
        try call.service.enrolRelay(try body.enrolment()), call.control, now: .now())
    },
    .get("/v1/servers", .reader) { call in ServerListDocument(try servers(call)) },
    .get("/v1/servers/{name}", .reader) { call in try server(call) },
    .post("/v1/servers/{name}/refresh", .operator) { call in
      try call.service.refreshServer(call.parameter("name"))
      return try server(call)
    },
    .delete("/v1/servers/{name}", .administrator) { call in
      try call.service.removeServer(call.parameter("name"))
      return RemarksDocument()
    },
  ]

  private static func servers(_ call: Call) throws(OperationError) -> [ServerStatus] {
    try call.service.servers(
      version: call.control.version, port: call.control.replicationPort)
  }

  private static func server(_ call: Call) throws(OperationError) -> ServerDocument {
    let name = call.parameter("name")
    guard let status = try servers(call).first(where: { $0.name == name }) else {
      throw OperationError(
        .unknown, "There is no process server '\(name)'; 'tidemark server list' shows them.")
    }
    return ServerDocument(status)
  }
}
