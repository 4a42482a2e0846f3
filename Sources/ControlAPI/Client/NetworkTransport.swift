internal import AsyncHTTPClient
internal import FileIO
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
public import Operations

/// The API of another process, over a socket or HTTPS.
public final class NetworkTransport: ControlTransport {
  /// Where the service is.
  public enum Place: Sendable {
    /// Behind a socket in the file system.
    case socket(String)
    /// Behind HTTPS; `authority` is the PEM of the certificate authority that is trusted.
    case https(host: String, port: Int, authority: String)
    /// Behind HTTPS with a certificate of the vault's own authority, which is asked for by
    /// ``ControlServer/vaultServerName``; nil to trust whoever answers, which is only good for asking who
    /// the authority is.
    case vault(host: String, port: Int, authority: String?)
  }

  private let client: HTTPClient
  private let place: Place
  private let token: String?

  /// Bytes of an answer.
  private static let answerLimit = 64 << 20
  private static let seconds: Int64 = 60

  /// A way to the service at a place; nothing is connected yet.
  ///
  /// - Throws: `.refused` if the authority's certificate is none.
  public init(to place: Place, token: String? = nil) throws(OperationError) {
    (self.place, self.token) = (place, token)
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: HTTPClient.Configuration.Timeout(
        connect: .seconds(5), read: .seconds(Self.seconds)))
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.httpVersion = .http1Only
    if case .vault(let host, _, _) = place {
      configuration.dnsOverride = [ControlServer.vaultServerName: host]
    }
    do { configuration.tlsConfiguration = try Self.security(at: place) } catch {
      throw OperationError(.refused, "The authority's certificate can't be used: \(error).")
    }
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  private static func security(at place: Place) throws -> TLSConfiguration? {
    var security = TLSConfiguration.makeClientConfiguration()
    security.minimumTLSVersion = .tlsv13
    let trusted: String?
    switch place {
    case .socket: return nil
    case .https(_, _, let authority): trusted = authority
    case .vault(_, _, let authority):
      trusted = authority
      security.certificateVerification = authority == nil ? .none : .noHostnameVerification
    }
    if let trusted {
      security.trustRoots = .certificates(
        try NIOSSLCertificate.fromPEMBytes(Array(trusted.utf8)))
    }
    return security
  }

  /// Ends the connections.
  deinit { client.shutdown { _ in } }

  /// Whether somebody listens there.
  ///
  /// - Throws: `.unwritable` if this user may not ask, or `.failed`.
  public func isReachable() throws(OperationError) -> Bool {
    do {
      _ = try exchange("GET", "/v1/health", [])
      return true
    } catch {
      switch Self.errno(error) {
      case 2, 111: return false  // ENOENT, ECONNREFUSED
      default: throw explained(error)
      }
    }
  }

  /// Brings a request there and its answer back.
  public func send(
    _ method: String, _ target: String, _ body: [UInt8]
  ) throws(OperationError) -> ControlResponse {
    do { return try exchange(method, target, body) } catch { throw explained(error) }
  }

  private func exchange(
    _ method: String, _ target: String, _ body: [UInt8]
  ) throws -> ControlResponse {
    var headers = HTTPHeaders([("Content-Type", "application/json")])
    if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
    let request = try HTTPClient.Request(
      url: url + target, method: HTTPMethod(rawValue: method), headers: headers,
      body: body.isEmpty ? nil : .bytes(body))
    let answer = ResponseAccumulator(request: request, maxBodySize: Self.answerLimit)
    let response = try client.execute(
      request: request, delegate: answer, deadline: .now() + .seconds(Self.seconds)
    ).wait()
    return ControlResponse(
      status: Int(response.status.code), body: response.body.map { Array(buffer: $0) } ?? [])
  }

  private var url: String {
    switch place {
    case .socket(let path): "http+unix://" + PercentEncoding.encoded(path)
    case .https(let host, let port, _):
      "https://" + (host.contains(":") ? "[\(host)]" : host) + ":\(port)"
    case .vault(_, let port, _): "https://\(ControlServer.vaultServerName):\(port)"
    }
  }

  private var name: String {
    switch place {
    case .socket(let path): path
    case .https(let host, let port, _), .vault(let host, let port, _): "\(host):\(port)"
    }
  }

  private static func errno(_ error: any Error) -> Int32 {
    if let error = error as? NIOCore.IOError { return error.errnoCode }
    return 0
  }

  private func explained(_ error: any Error) -> OperationError {
    let code = Self.errno(error)
    guard code != 0 else {
      return OperationError(
        .failed, "The service at '\(name)' did not answer: \(error). See what it logs.")
    }
    let cause = FileIO.IOError("talk to the service at", name, code: code)
    return OperationError(
      cause.isRefused ? .unwritable : .failed,
      cause.description
        + (cause.isRefused ? " Ask as its owner or one of its group, or over HTTPS." : ""))
  }
}
