internal import Catalog
internal import Operations

extension Endpoint {
  /// How machines with an agent are replicated.
  static let settingsEndpoints: [Endpoint] = [
    .get("/v1/machines/{name}/settings", .reader) { call in
      let name = call.parameter("name")
      var settings = SettingsDocument(try call.service.settings(of: name))
      settings.target = TargetDocument(try call.service.target(of: name))
      return settings
    },
    .post("/v1/machines/{name}/settings", .administrator) { (call: Call, body: SettingsDocument) in
      let (name, changes) = (call.parameter("name"), try body.changes())
      let settings = try call.service.change(name, changes)
      let warnings = try changes.address.map { try call.service.warnings(of: $0, for: name) }
      var document = SettingsDocument(settings, warnings: warnings ?? [])
      document.target = TargetDocument(try call.service.target(of: name))
      return document
    },
    .post("/v1/machines/{name}/cycle", .operator, status: 202) { call in
      RemarksDocument(try call.service.orderCycle(of: call.parameter("name")))
    },
    .get("/v1/machines/{name}/resynchronisation", .reader) { call in
      ResynchronisationDocument(try call.service.resynchronisation(of: call.parameter("name")))
    },
    .post("/v1/machines/{name}/resynchronise", .operator, status: 202) { call in
      JobDocument(try call.service.resynchronise(call.parameter("name")))
    },
    .post("/v1/machines/{name}/resynchronise/require", .operator) {
      (call: Call, body: DamageDocument) in
      let name = call.parameter("name")
      try call.service.requireResynchronisation(of: name, because: body.reason)
      return ResynchronisationDocument(try call.service.resynchronisation(of: name))
    },
    .post("/v1/machines/{name}/resynchronise/cancel", .operator) { call in
      try call.service.cancelResynchronisation(of: call.parameter("name"))
      return RemarksDocument()
    },
  ]
}
