internal import Catalog
internal import FoundationEssentials
internal import Operations

/// One path and method of the API: what it is called by, who may, and what it does.
///
/// `Endpoint.all` lists every one; adding one there, and to `openapi.json`, is all it takes. A
/// handler may block, and throws an `OperationError` or a `RequestError`.
struct Endpoint: Sendable {
  enum Method: String, CaseIterable, Sendable {
    case get = "GET"
    case post = "POST"
    case delete = "DELETE"
  }

  let method: Method
  /// A path whose parts in braces stand for any one part: `/v1/machines/{name}`.
  let path: String
  /// The least role that may; nil for whoever reaches the port.
  let role: AccessRole?
  let answer: @Sendable (Call) throws -> Answer

  /// What a handler gives back.
  struct Answer: Sendable {
    var status = 200
    var body: [UInt8]

    /// - Throws: only if a document holds a number that is not finite.
    init(_ document: some Encodable, status: Int = 200) throws {
      self.status = status
      body = try JSON.encode(document)
    }
  }

  /// A request that found its handler.
  struct Call: Sendable {
    let control: Control
    /// What stands where the path has braces.
    let parameters: [String: String]
    let query: [String: String]
    let body: [UInt8]
    /// Who asks: the name of a token, or of a user of this host; nil where that is not known.
    let `operator`: String?
    /// What the caller may.
    let role: AccessRole

    /// Refuses what takes more than the endpoint itself, or was not said to be meant.
    func check(_ needed: AccessRole, isConfirmed: Bool?, _ consequence: String) throws {
      guard role >= needed else { throw Control.forbidden(`operator`, role, needed) }
      guard isConfirmed == true else {
        throw OperationError(
          .refused, "\(consequence) If that is meant, send {\"confirm\": true}.")
      }
    }

    var service: VaultService { control.service }

    /// The part of the path that `name` stands for.
    func parameter(_ name: String) -> String { parameters[name] ?? "" }

    /// A number that the path holds.
    func number(_ name: String) throws(OperationError) -> Int64 {
      guard let number = Int64(parameter(name)) else {
        throw OperationError(.unknown, "'\(parameter(name))' is no number; \(name) is one.")
      }
      return number
    }

    /// A number that the query may hold, kept inside a range.
    func query(_ name: String, or usual: Int64, in range: ClosedRange<Int64>) throws -> Int64 {
      guard let text = query[name] else { return usual }
      guard let number = Int64(text) else {
        throw RequestError(.badRequest, "\(name) is a number, not '\(text)'.")
      }
      return min(max(number, range.lowerBound), range.upperBound)
    }
  }

  static func get(
    _ path: String, _ role: AccessRole?,
    _ answer: @escaping @Sendable (Call) throws -> some Encodable & Sendable
  ) -> Endpoint {
    Endpoint(method: .get, path: path, role: role) { try Answer(try answer($0)) }
  }

  static func post(
    _ path: String, _ role: AccessRole?, status: Int = 200,
    _ answer: @escaping @Sendable (Call) throws -> some Encodable & Sendable
  ) -> Endpoint {
    Endpoint(method: .post, path: path, role: role) {
      try Answer(try answer($0), status: status)
    }
  }

  /// A path that takes a document.
  static func post<Body: Decodable & Sendable>(
    _ path: String, _ role: AccessRole?, status: Int = 200,
    _ answer: @escaping @Sendable (Call, Body) throws -> some Encodable & Sendable
  ) -> Endpoint {
    Endpoint(method: .post, path: path, role: role) { call in
      try Answer(try answer(call, try JSON.decode(call.body)), status: status)
    }
  }

  static func delete(
    _ path: String, _ role: AccessRole?,
    _ answer: @escaping @Sendable (Call) throws -> some Encodable & Sendable
  ) -> Endpoint {
    Endpoint(method: .delete, path: path, role: role) { try Answer(try answer($0)) }
  }

  /// Everything that is served.
  static let all =
    serviceEndpoints + machineEndpoints + pointEndpoints + jobEndpoints + tokenEndpoints
    + keyEndpoints + recoveryEndpoints + powerEndpoints + agentEndpoints + settingsEndpoints
    + healthEndpoints + serverEndpoints + targetEndpoints
}

/// JSON as the API speaks it.
enum JSON {
  static func encode(_ document: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return Array(try encoder.encode(document))
  }

  static func decode<Document: Decodable>(
    _ bytes: [UInt8]
  ) throws(RequestError) -> Document {
    do { return try JSONDecoder().decode(Document.self, from: Data(bytes)) } catch {
      throw RequestError(.badRequest, "The body is not the JSON document this path takes: \(error)")
    }
  }
}
