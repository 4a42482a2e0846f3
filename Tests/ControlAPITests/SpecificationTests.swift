import Bytes
import Capture
import Catalog
import Compute
import FileIO
import Foundation
import Identity
import Operations
import Support
import Testing
import Vault

@testable import ControlAPI

/// Goal: the OpenAPI file says what the service does. Method: each path and method is asked for over
/// the network, and every answer is held against its schema.
@Suite struct SpecificationTests {
  @Test("the file and the service know the same paths, methods and roles")
  func sameLists() throws {
    let written = try Specification().operations.map { "\($0.method) \($0.path) \($0.role)" }
    let served = Endpoint.all.map {
      "\($0.method.rawValue) \($0.path) \($0.role?.rawValue ?? "none")"
    }
    #expect(Set(written) == Set(served))
    #expect(written.count == served.count && Set(written).count == written.count)
  }

  /// What an operation is asked with where the file alone does not tell: the target's parameters and
  /// a body.
  private static func request(
    _ operation: Specification.Operation, _ site: Site, _ job: Int64
  ) throws -> (target: String, body: [UInt8]) {
    if operation.id.hasPrefix("enrol") {
      return (operation.path, try JSON.encode(try enrolment(site)))
    }
    let checked = (try? site.service.recovery(of: "noteCheckedDisks"))?.record?.branch
    let bodies = [
      "enableMachine": #"{"exclude":[7],"cycleSeconds":60,"address":"10.0.0.7"}"#,
      "planMachine": #"{"exclude":[7],"rpoSeconds":900,"skipPreflight":true}"#,
      "refreshAgents": #"{"machines":["refreshAgents"]}"#,
      "changeSettings": #"""
      {"cycleSeconds":60,"bandwidth":1048576,"bandwidthHours":"08:00-18:00+01:00","rpoSeconds":900,
      "resyncWindow":"22:00-06:00","address":"8.8.8.8","operatingSystem":"windows"}
      """#,
      "requireResynchronisation": #"{"reason":"It is damaged."}"#,
      "noteCheckedDisks":
        #"{"branch":"\#(checked.map { "\($0)" } ?? "")","damage":"It is damaged."}"#,
      "addMachine": #"{"name":"new","disks":["\#(site.directory.file("spare.img"))"]}"#,
      "replicate": #"{"label":"by the API"}"#,
      "startTestFailover":
        #"{"point":"latest-processed","expiresSeconds":3600,"budgetBytes":1073741824}"#,
      "cleanUpTestFailover": #"{"notes":"Done."}"#,
      "startFailover": #"{"point":"latest","confirm":true}"#,
      "changeRecoveryPoint": #"{"point":"latest","confirm":true}"#,
      "commitFailover": #"{"completeMigration":false,"confirm":true}"#,
      "discardFailedOver": #"{"confirm":true}"#,
      "cancelFailover": #"{"confirm":true}"#,
      "startMachine": #"{"test":false}"#,
      "stopMachine": #"{"timeoutSeconds":5,"force":true}"#,
      "makeKey": #"{"label":"rack","validSeconds":60,"uses":2}"#,
      "makeToken": #"{"name":"second","role":"reader","validSeconds":60}"#,
      "changeTarget": #"""
      {"name":"dr","cores":2,"memoryBytes":1073741824,"firmware":"uefi","systemDisk":0,"diskOrder":[0,7],
      "adapters":[{"number":1,"network":"isolated","address":"10.213.0.9",
      "hardwareAddress":"52:54:00:12:34:56"}]}
      """#,
      "makeNetwork": #"{"name":"lan","kind":"bridge","bridge":"br0","subnet":"192.168.7.0/24"}"#,
    ]
    if operation.id == "revokeKey" {
      let key = try? site.local().makeKey(NewKeyDocument(label: nil, validSeconds: nil, uses: nil))
      return (operation.path.replacing("{id}", with: key?.id ?? ""), [])
    }
    var machine = operation.id == "removeMachine" ? "spare" : Site.machine
    if agentOperations.contains(operation.id) { machine = operation.id }
    if recoveryOperations.contains(operation.id) { machine = operation.id }
    var name = operation.path.hasPrefix("/v1/tokens") ? "spare" : machine
    if operation.path.hasPrefix("/v1/networks") {
      name = operation.id == "deleteNetwork" ? "spare" : NetworkRecord.usualName
    }
    if operation.path.hasPrefix("/v1/servers") {
      name = operation.id == "removeServer" ? operation.id : VaultService.ownServer
    }
    let target = operation.path.replacing("{name}", with: name)
      .replacing("{point}", with: "0s-ago").replacing("{id}", with: String(job))
    return (target, Array((bodies[operation.id] ?? "").utf8))
  }

  /// Operations on a machine that enrolled; each gets one of its own, named after it.
  private static let agentOperations = [
    "enableMachine", "disableMachine", "pauseMachine", "resumeMachine", "revokeAgent", "settings",
    "changeSettings", "orderCycle", "planMachine", "refreshAgents", "machineHealth",
    "resynchronisation", "resynchronise", "requireResynchronisation", "cancelResynchronisation",
    "target", "changeTarget", "checkMachineTarget",
  ]

  /// Operations of drills and failovers; each gets a machine of its own, which is where it has to be.
  private static let recoveryOperations = [
    "startTestFailover", "cleanUpTestFailover", "startFailover", "changeRecoveryPoint",
    "commitFailover", "flattenFailover", "cancelFailover", "discardFailedOver", "power", "console",
    "startMachine", "stopMachine", "noteCheckedDisks",
  ]

  private static func addRecoverable(to site: Site) throws {
    let service = site.service
    func end(_ job: JobRecord) {
      _ = Program.poll(seconds: 20) { (try? service.jobs.job(job.id))?.state.isFinal == true }
    }
    let parts = RecoveryParts(
      branches: VaultBranches(service.writable),
      servers: StillServers(directory: site.directory.path), provider: NoCompute(),
      directory: { "/nowhere/\($0)" })
    try service.useForRecovery(parts)
    for name in recoveryOperations {
      try site.addMachine(name)
      #expect(try site.end(of: try site.local().replicate(name, .init())).state == .succeeded)
      switch name {
      case "cleanUpTestFailover":
        end(try service.startTestFailover(name, RecoveryRequest(point: "latest"), by: nil))
      case "changeRecoveryPoint", "commitFailover", "flattenFailover", "discardFailedOver", "power",
        "console", "startMachine", "stopMachine", "noteCheckedDisks":
        end(try service.startFailover(name, RecoveryRequest(point: "latest"), by: nil))
        if name == "discardFailedOver" { _ = try service.disable(name) }
      case "cancelFailover":
        service.prepareRecovery(
          RecoveryParts(
            branches: VaultBranches(service.writable),
            servers: StillServers(directory: site.directory.path, isBroken: true),
            provider: NoCompute(), directory: { "/nowhere/\($0)" }))
        end(try service.startFailover(name, RecoveryRequest(point: "latest"), by: nil))
        service.prepareRecovery(parts)
      default: break
      }
    }
  }

  private static func addAgents(to site: Site) throws {
    try site.service.catalog.set(
      ServerRecord(
        id: .random(), name: "removeServer", version: "1", addresses: ["10.0.0.9"], port: 9443,
        enrolled: .now()))
    for name in agentOperations {
      let agent = AgentRecord(
        machine: .random(), name: name, hostName: "h", operatingSystem: "linux", version: "1",
        addresses: ["10.0.0.7"],
        disks: [
          AgentRecord.Disk(
            number: 0, path: "/dev/vda", size: 1 << 20, capture: "scan", format: "raw"),
          AgentRecord.Disk(
            number: 7, path: "/dev/vdb", size: 1 << 20, capture: "scan", format: "raw"),
        ], enrolled: .now(), lastContact: .now())
      try site.service.catalog.set(agent)
      let enabled = [
        "disableMachine", "orderCycle", "machineHealth", "resynchronise", "cancelResynchronisation",
        "requireResynchronisation", "pauseMachine", "resumeMachine", "changeSettings",
      ]
      guard enabled.contains(name) else { continue }
      let job = try site.service.enable(name, ProtectionOptions())
      _ = Program.poll(seconds: 20) { (try? site.service.jobs.job(job.id))?.state.isFinal == true }
      if name == "cancelResynchronisation" { _ = try site.service.resynchronise(name) }
    }
  }

  private static func enrolment(_ site: Site) throws -> NewAgentDocument {
    let key = try site.service.makeKey(label: "", validSeconds: 60, uses: 1).key
    let files = try IdentityFiles(in: site.directory.file("agent"))
    return NewAgentDocument(
      Enrolment(
        key: key, request: try files.makeRequest(for: .agent(.random())), hostName: "new01",
        name: nil, operatingSystem: .linux, version: "1", addresses: ["10.0.0.8"], clock: .now()))
  }

  @Test("every path and method is served, and answers as its schema says")
  func answers() throws {
    let (specification, site) = (try Specification(), try Site("specification"))
    try site.addMachine("spare")
    try Self.addAgents(to: site)
    try Self.addRecoverable(to: site)
    let client = site.local()
    _ = try client.makeToken(NewTokenDocument(name: "spare", role: .reader, validSeconds: nil))
    _ = try client.create(NewNetwork(name: "spare", kind: .isolated, forwards: [22]))
    let done = try site.end(of: try client.replicate(Site.machine, .init()))
    #expect(done.state == .succeeded, "\(done)")
    let transport = try site.overHTTPS(site.tokens[.administrator])
    for operation in specification.operations {
      // A job that can still be cancelled is one that waits for its turn.
      var job = done.id
      if operation.id == "cancelJob" { job = try Self.waiting(site) }
      let (target, body) = try Self.request(operation, site, job)
      let answer = try transport.send(operation.method, target, body)
      let text = String(decoding: answer.body, as: UTF8.self)
      #expect(answer.status == operation.status, "\(operation.id): \(text)")
      #expect(
        try specification.objections(to: answer.body, operation.answer) == [], "\(operation.id)")
      if operation.body != nil { #expect(!body.isEmpty, "\(operation.id) needs a body here") }
    }
  }

  /// A job that does not begin while others wait for it to be cancelled.
  private static func waiting(_ site: Site) throws -> Int64 {
    var last: Int64 = 0
    for _ in 0...JobRunner.runningLimit {
      last = try site.service.jobs.start("Test", machine: nil) { job throws(OperationError) in
        _ = Program.poll(seconds: 20) { job.isCancelled }
        throw OperationError(.cancelled, "Stopped.")
      }.id
    }
    return last
  }

  @Test("requests that can't be answered as asked get an error of its schema, each with its status")
  func errors() throws {
    let (specification, site) = (try Specification(), try Site("errors"))
    let transport = try site.overHTTPS(site.tokens[.administrator])
    let cases: [(method: String, target: String, body: String, status: Int, code: String)] = [
      ("GET", "/v1/nothing", "", 404, "noSuchPath"), ("GET", "/", "", 404, "noSuchPath"),
      ("DELETE", "/v1/health", "", 405, "methodNotAllowed"),
      ("PUT", "/v1/machines", "", 405, "methodNotAllowed"),
      ("GET", "/v1/machines/none", "", 404, "unknown"),
      ("GET", "/v1/jobs?limit=x", "", 400, "badRequest"),
      ("GET", "/v1/jobs/x", "", 404, "unknown"), ("GET", "/v1/jobs/7", "", 404, "unknown"),
      ("POST", "/v1/machines", "", 400, "badRequest"),
      ("POST", "/v1/machines", "[]", 400, "badRequest"),
      ("POST", "/v1/machines", #"{"name":"a","disks":["b.img"]}"#, 422, "refused"),
      ("POST", "/v1/machines", #"{"name":"a","disks":["/none.img"]}"#, 422, "source"),
      ("POST", "/v1/machines", #"{"name":"../a","disks":["/none.img"]}"#, 422, "refused"),
      ("POST", "/v1/machines", #"{"name":"a","disks":[],"capture":"x"}"#, 422, "refused"),
      ("POST", "/v1/machines/none/replicate", "{}", 404, "unknown"),
      ("POST", "/v1/machines/web01/replicate", #"{"cloneFloor":91}"#, 422, "refused"),
      ("POST", "/v1/tokens", #"{"name":"","role":"reader"}"#, 422, "refused"),
      ("POST", "/v1/tokens", #"{"name":"reader","role":"reader"}"#, 422, "refused"),
      ("POST", "/v1/tokens", #"{"name":"x","role":"king"}"#, 400, "badRequest"),
      ("POST", "/v1/machines/none/cycle", "", 404, "unknown"),
      ("POST", "/v1/machines/none/settings", "{}", 404, "unknown"),
      ("POST", "/v1/machines/none/pause", "", 404, "unknown"),
      ("POST", "/v1/machines/none/resynchronise", "", 404, "unknown"),
      ("DELETE", "/v1/tokens/none", "", 404, "unknown"),
      ("DELETE", "/v1/keys/none", "", 404, "unknown"),
      ("POST", "/v1/keys", #"{"uses":0}"#, 422, "refused"),
      ("POST", "/v1/keys", #"{"machine":"none"}"#, 404, "unknown"),
      ("POST", "/v1/keys", #"{"validSeconds":99999999999}"#, 422, "refused"),
    ]
    for (method, target, body, status, code) in cases {
      let answer = try transport.send(method, target, Array(body.utf8))
      let text = String(decoding: answer.body, as: UTF8.self)
      #expect(answer.status == status, "\(method) \(target): \(text)")
      #expect(text.contains("\"code\":\"\(code)\""), "\(method) \(target): \(text)")
      #expect(try specification.objections(to: answer.body, specification.error) == [])
    }
  }

  @Test("a path that is not percent-encoded UTF-8 is a bad request")
  func encoding() throws {
    let site = try Site("encoding")
    for part in ["%", "%z", "%zz", "%FF", "%00", "%C3%28"] {
      let answer = site.control.answer(
        ControlRequest(method: "GET", target: "/v1/machines/\(part)", caller: .trusted))
      #expect(answer.status == 400, "\(part)")
    }
    for text in ["clean install", "a/b", "ä?&=%", "web-01_2.3~"] {
      #expect(try PercentEncoding.decoded(PercentEncoding.encoded(text)[...]) == text)
    }
  }

  @Test("an outcome of an operation arrives at a caller as the same outcome, however it travelled")
  func outcomes() throws {
    for code in OperationError.Code.allCases {
      let answer = Control.failure(OperationError(code, "what and why"))
      let document: ErrorDocument = try JSON.decode(answer.body)
      #expect(document.error.outcome.code == code)
      #expect(document.error.outcome.message == "what and why")
    }
    for code in RequestError.Code.allCases {
      let document: ErrorDocument = try JSON.decode(
        Control.failure(RequestError(code, "what and why")).body)
      #expect(document.error.outcome.code == .refused)
    }
  }
}
