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
  ]
}
