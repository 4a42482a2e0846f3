internal import Catalog
internal import Operations

extension Endpoint {
  /// What recovered machines are to be, and the networks that they are attached to.
  static let targetEndpoints: [Endpoint] = [
    .get("/v1/networks", .reader) { call in NetworkListDocument(try call.service.networks()) },
    .post("/v1/networks", .administrator, status: 201) { (call: Call, body: NewNetworkDocument) in
      NetworkDocument(try call.service.createNetwork(try body.network()))
    },
    .get("/v1/networks/{name}", .reader) { call in
      NetworkDocument(try call.service.network(named: call.parameter("name")))
    },
    .delete("/v1/networks/{name}", .administrator) { call in
      try call.service.deleteNetwork(named: call.parameter("name"))
      return RemarksDocument()
    },
    .get("/v1/machines/{name}/target", .reader) { call in
      TargetDocument(try call.service.target(of: call.parameter("name")))
    },
    .post("/v1/machines/{name}/target", .administrator) {
      (call: Call, body: TargetChangesDocument) in
      TargetDocument(
        try call.service.changeTarget(of: call.parameter("name"), try body.changes()))
    },
    .get("/v1/machines/{name}/target/check", .reader) { call in
      TargetCheckDocument(try call.service.checkTarget(of: call.parameter("name")))
    },
    .get("/v1/target/check", .reader) { call in
      TargetCheckDocument(try call.service.checkTarget())
    },
  ]
}
