internal import Bytes
internal import Catalog
internal import FileIO
internal import Operations

extension Endpoint {
  /// How machines become known, and how their protection is enabled.
  static let agentEndpoints: [Endpoint] = [
    .get("/v1/authority", nil) { call in AuthorityDocument(try call.service.authority()) },
    .post("/v1/enrol", nil, status: 201) { (call: Call, body: NewAgentDocument) in
      EnrolmentDocument(
        try call.service.enrol(try body.enrolment()), call.control, now: .now())
    },
    .get("/v1/agents", .reader) { call in AgentListDocument(try call.service.agentStatuses()) },
    .delete("/v1/agents/{name}", .administrator) { call in
      try call.service.revoke(call.parameter("name"))
      return RemarksDocument()
    },
    .post("/v1/agents/refresh", .operator, status: 202) { (call: Call, body: RefreshDocument) in
      JobDocument(try call.service.refresh(body.machines ?? []))
    },
    .post("/v1/machines/{name}/plan", .administrator) { (call: Call, body: ProtectionDocument) in
      ProtectionPlanDocument(try call.service.plan(call.parameter("name"), body.options))
    },
    .post("/v1/machines/{name}/enable", .administrator, status: 202) {
      (call: Call, body: ProtectionDocument) in
      JobDocument(try call.service.enable(call.parameter("name"), body.options))
    },
    .post("/v1/machines/{name}/disable", .administrator) { call in
      RemarksDocument(try call.service.disable(call.parameter("name")))
    },
    .post("/v1/machines/{name}/pause", .operator) { call in
      try call.service.setPaused(true, machine: call.parameter("name"))
      return RemarksDocument()
    },
    .post("/v1/machines/{name}/resume", .operator) { call in
      try call.service.setPaused(false, machine: call.parameter("name"))
      return RemarksDocument()
    },
  ]
}
