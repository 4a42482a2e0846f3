internal import Catalog
internal import Identity
internal import Operations

extension Endpoint {
  /// What machines enrol with.
  static let keyEndpoints: [Endpoint] = [
    .get("/v1/keys", .administrator) { call in KeyListDocument(try call.service.keys()) },
    .post("/v1/keys", .administrator, status: 201) { (call: Call, body: NewKeyDocument) in
      let made = try call.service.makeKey(
        label: body.label ?? "", validSeconds: body.validSeconds ?? NewKeyDocument.usualSeconds,
        uses: body.uses ?? 1, machine: body.machine)
      return KeyDocument(made.record, text: made.key.text)
    },
    .delete("/v1/keys/{id}", .administrator) { call in
      try call.service.removeKey(call.parameter("id"))
      return RemarksDocument()
    },
  ]
}
