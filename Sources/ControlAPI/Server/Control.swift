internal import Bytes
internal import Catalog
internal import FileIO
public import Operations
internal import Synchronization

/// A request of the API, however it came.
public struct ControlRequest: Sendable {
  /// Who asks.
  public enum Caller: Sendable {
    /// Somebody whom the permissions of the socket's file, or of the vault, let in.
    case trusted
    /// A user of this host whom those permissions let in, by name.
    case user(String)
    /// The bearer of this token; of none if nil.
    case bearer(String?)
  }

  /// `GET`, `POST` or `DELETE`.
  public var method: String
  /// The path, and the query behind a `?`, both percent-encoded (RFC 3986).
  public var target: String
  /// A JSON document, where the path takes one.
  public var body: [UInt8]
  /// Who asks.
  public var caller: Caller

  /// A request of these properties.
  public init(method: String, target: String, body: [UInt8] = [], caller: Caller) {
    (self.method, self.target, self.body, self.caller) = (method, target, body, caller)
  }
}

/// What a request is answered with.
public struct ControlResponse: Sendable {
  /// The status of HTTP (RFC 9110, 15).
  public var status: Int
  /// A JSON document: the one the path promises, or an `ErrorDocument`.
  public var body: [UInt8]
}

/// The API itself, without a network: requests in, answers out. Safe from any thread; calls block.
public final class Control: Sendable {
  /// The vault in service.
  public let service: VaultService
  let version: String
  private let listening = Mutex<[String]>([])
  private let replication = Mutex(0)

  /// - Parameters:
  ///   - service: the vault in service.
  ///   - version: the version of Tidemark.
  public init(_ service: VaultService, version: String) {
    (self.service, self.version) = (service, version)
  }

  /// Where the service listens, for people to read.
  public var listeners: [String] {
    get { listening.withLock { $0 } }
    set { listening.withLock { $0 = newValue } }
  }

  /// The port that agents send to; 0 if none is listened on.
  public var replicationPort: Int {
    get { replication.withLock { $0 } }
    set { replication.withLock { $0 = newValue } }
  }

  /// Answers a request; whatever is wrong with it is an answer too.
  public func answer(_ request: ControlRequest) -> ControlResponse {
    do {
      let (endpoint, parameters, query) = try Self.find(request)
      let caller = try check(request.caller, may: endpoint)
      let call = Endpoint.Call(
        control: self, parameters: parameters, query: query, body: request.body,
        operator: caller.name, role: caller.role)
      let answer = try endpoint.answer(call)
      return ControlResponse(status: answer.status, body: answer.body)
    } catch { return Self.failure(error) }
  }

  static func failure(_ error: any Error) -> ControlResponse {
    let (status, content) =
      switch error {
      case let error as RequestError:
        (error.status, ErrorDocument.Content(code: error.code.rawValue, message: error.message))
      case let error as OperationError:
        (
          error.code.status,
          ErrorDocument.Content(code: error.code.rawValue, message: error.message)
        )
      default: (500, ErrorDocument.Content(code: "failed", message: "\(error)"))
      }
    let body = try? JSON.encode(ErrorDocument(error: content))
    return ControlResponse(status: status, body: body ?? [])
  }

  /// Gives the caller's name, where that is known, and role.
  private func check(
    _ caller: ControlRequest.Caller, may endpoint: Endpoint
  ) throws -> (name: String?, role: AccessRole) {
    if case .user(let name) = caller { return (name, .administrator) }
    guard case .bearer(let text) = caller, let needed = endpoint.role else { return (nil, .reader) }
    guard let text, let token = AccessToken(text), let record = try service.token(token.id),
      token.isGood(as: record, at: .now())
    else {
      throw RequestError(
        .unauthorized,
        "This needs a token: 'Authorization: Bearer …'. 'tidemark token create' makes one.")
    }
    guard record.role >= needed else { throw Self.forbidden(record.name, record.role, needed) }
    return (record.name, record.role)
  }

  /// The answer to who may less than is asked for.
  static func forbidden(
    _ name: String?, _ role: AccessRole, _ needed: AccessRole
  ) -> RequestError {
    RequestError(
      .forbidden,
      "This needs a token with the role \(needed.rawValue); '\(name ?? "")' is of a "
        + "\(role.rawValue).")
  }
}
