public import Operations

/// Why a request was not answered as asked, as JSON.
public struct ErrorDocument: Codable, Sendable {
  /// A kind of failure and its sentences, as JSON.
  public struct Content: Codable, Sendable {
    /// The name of an outcome of an operation, or one of `RequestError.Code`.
    public let code: String
    /// What failed, on what, why, and what to do next.
    public let message: String

    /// Describes an outcome.
    public init(_ error: OperationError) { (code, message) = (error.code.rawValue, error.message) }

    init(code: String, message: String) { (self.code, self.message) = (code, message) }

    /// The outcome this tells of; a code that is none means that the request itself was refused.
    public var outcome: OperationError {
      let refused = RequestError.Code(rawValue: code) == nil ? OperationError.Code.failed : .refused
      return OperationError(OperationError.Code(rawValue: code) ?? refused, message)
    }
  }

  /// What failed.
  public let error: Content
}

/// Why a request was refused before any operation saw it.
struct RequestError: Error, Sendable {
  enum Code: String, CaseIterable {
    /// It is no request of this API, or its body is not what the path takes.
    case badRequest
    /// It came without a token that is good.
    case unauthorized
    /// The token's role may not do that.
    case forbidden
    /// No such path.
    case noSuchPath
    /// The path takes other methods.
    case methodNotAllowed
    /// Its body is too long.
    case tooLarge
    /// It took too long to come.
    case timedOut
  }

  let code: Code
  let message: String

  init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }

  /// The status of HTTP (RFC 9110, 15).
  var status: Int {
    switch code {
    case .badRequest: 400
    case .unauthorized: 401
    case .forbidden: 403
    case .noSuchPath: 404
    case .methodNotAllowed: 405
    case .timedOut: 408
    case .tooLarge: 413
    }
  }
}

extension OperationError.Code {
  /// The status of HTTP (RFC 9110, 15) an outcome is answered with. Clients go by the code.
  var status: Int {
    switch self {
    case .unknown: 404
    case .locked, .cancelled: 409
    case .refused, .source: 422
    case .failed, .incomplete, .damaged: 500
    case .noVault: 503
    case .unwritable: 507
    }
  }
}
