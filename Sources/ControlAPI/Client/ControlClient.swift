public import Capture
public import Operations

/// The API as its callers see it: a function a path, values in and documents out.
///
/// The same whether a service answers over a socket or this process itself. Calls block. A failure is
/// the `OperationError` that the operation ended with, wherever it ran.
public struct ControlClient: Sendable {
  private let transport: any ControlTransport

  /// Speaks to the API over `transport`.
  public init(_ transport: any ControlTransport) { self.transport = transport }

  /// What the service is.
  public func service() throws(OperationError) -> ServiceDocument { try get("/v1/service") }

  /// Adds a machine.
  public func add(_ machine: AddMachine) throws(OperationError) -> MachineDocument {
    try post("/v1/machines", NewMachineDocument(machine))
  }

  /// Removes a machine with all its recovery points; gives what could not be cleared away.
  public func removeMachine(named name: String) throws(OperationError) -> [String] {
    let left: RemarksDocument = try call("DELETE", "/v1/machines/\(Self.part(name))")
    return left.remarks
  }

  /// Starts a replication.
  public func replicate(
    _ machine: String, _ options: CaptureOptions
  ) throws(OperationError) -> JobDocument {
    try post(
      "/v1/machines/\(Self.part(machine))/replicate", ReplicationOptionsDocument(options))
  }

  /// A job as it is now.
  public func job(_ id: Int64) throws(OperationError) -> JobDocument { try get("/v1/jobs/\(id)") }

  /// The newest `limit` jobs with numbers above `id`, the newest first.
  public func jobs(after id: Int64, limit: Int) throws(OperationError) -> JobListDocument {
    try get("/v1/jobs?after=\(id)&limit=\(limit)")
  }

  /// Asks a job to stop.
  public func cancel(_ id: Int64) throws(OperationError) -> JobDocument {
    try call("POST", "/v1/jobs/\(id)/cancel")
  }

  /// The newest `limit` events with numbers above `id`, the newest first.
  public func events(after id: Int64, limit: Int) throws(OperationError) -> EventListDocument {
    try get("/v1/events?after=\(id)&limit=\(limit)")
  }

  /// All tokens, by name.
  public func tokens() throws(OperationError) -> TokenListDocument { try get("/v1/tokens") }

  /// Makes a token; the answer holds its text, which is told this once.
  public func makeToken(_ token: NewTokenDocument) throws(OperationError) -> TokenDocument {
    try post("/v1/tokens", token)
  }

  /// Revokes a token.
  public func revokeToken(named name: String) throws(OperationError) {
    let _: RemarksDocument = try call("DELETE", "/v1/tokens/\(Self.part(name))")
  }

  /// All registration keys, the oldest first.
  public func keys() throws(OperationError) -> KeyListDocument { try get("/v1/keys") }

  /// Makes a registration key; the answer holds its text, which is told this once.
  public func makeKey(_ key: NewKeyDocument) throws(OperationError) -> KeyDocument {
    try post("/v1/keys", key)
  }

  /// Revokes a registration key.
  public func revokeKey(_ id: String) throws(OperationError) {
    let _: RemarksDocument = try call("DELETE", "/v1/keys/\(Self.part(id))")
  }

  /// Gives the service a new key and certificate of its own.
  public func rotateCertificate() throws(OperationError) -> CertificateDocument {
    try call("POST", "/v1/service/certificate")
  }

  /// The service's clock.
  public func clock() throws(OperationError) -> ClockDocument { try get("/v1/clock") }

  /// The authority that the service's certificates are issued by.
  public func authority() throws(OperationError) -> AuthorityDocument { try get("/v1/authority") }

  /// Trades a registration key for a certificate.
  public func enrol(_ machine: NewAgentDocument) throws(OperationError) -> EnrolmentDocument {
    try post("/v1/enrol", machine)
  }

  /// Trades a registration key for the certificate of a relay.
  public func enrolRelay(_ relay: NewAgentDocument) throws(OperationError) -> EnrolmentDocument {
    try post("/v1/enrol-relay", relay)
  }

  /// The process servers: the service first, then relays by name.
  public func servers() throws(OperationError) -> ServerListDocument { try get("/v1/servers") }

  /// A process server.
  public func server(named name: String) throws(OperationError) -> ServerDocument {
    try get("/v1/servers/\(Self.part(name))")
  }

  /// A process server, asked just now.
  public func refreshServer(named name: String) throws(OperationError) -> ServerDocument {
    try call("POST", "/v1/servers/\(Self.part(name))/refresh")
  }

  /// Revokes the certificates of a relay and forgets it.
  public func removeServer(named name: String) throws(OperationError) {
    let _: RemarksDocument = try call("DELETE", "/v1/servers/\(Self.part(name))")
  }

  /// One part of a path.
  static func part(_ text: String) -> String { PercentEncoding.encoded(text) }

  func get<Answer: Decodable>(_ target: String) throws(OperationError) -> Answer {
    try call("GET", target)
  }

  func post<Answer: Decodable>(
    _ target: String, _ document: some Encodable
  ) throws(OperationError) -> Answer {
    let body: [UInt8]
    do { body = try JSON.encode(document) } catch { throw OperationError(.failed, "\(error)") }
    return try call("POST", target, body)
  }

  func call<Answer: Decodable>(
    _ method: String, _ target: String, _ body: [UInt8] = []
  ) throws(OperationError) -> Answer {
    let response = try transport.send(method, target, body)
    guard (200..<300).contains(response.status) else {
      let failure: ErrorDocument = try Self.decoded(response.body)
      throw failure.error.outcome
    }
    return try Self.decoded(response.body)
  }

  private static func decoded<Document: Decodable>(
    _ bytes: [UInt8]
  ) throws(OperationError) -> Document {
    do throws(RequestError) { return try JSON.decode(bytes) } catch {
      throw OperationError(
        .failed, "The service's answer can't be read; is it of another version? \(error.message)")
    }
  }
}
