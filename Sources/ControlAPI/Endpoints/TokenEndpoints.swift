internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// Who may speak to the API over the network.
  static let tokenEndpoints: [Endpoint] = [
    .get("/v1/tokens", .administrator) { call in
      TokenListDocument(try call.service.tokens())
    },
    .post("/v1/tokens", .administrator, status: 201) { (call: Call, body: NewTokenDocument) in
      let token = AccessToken.random()
      let record = try token.record(of: body, now: .now())
      try call.service.add(record)
      call.service.note(
        .info, "token-created",
        "The token '\(record.name)' with the role \(record.role.rawValue) was made.")
      return TokenDocument(record, text: token.text)
    },
    .delete("/v1/tokens/{name}", .administrator) { call in
      let name = call.parameter("name")
      try call.service.removeToken(named: name)
      call.service.note(.info, "token-revoked", "The token '\(name)' was revoked.")
      return RemarksDocument()
    },
  ]
}
