import Foundation

/// The OpenAPI file, and whether a value is what one of its schemas says. Knows what the file uses of
/// JSON Schema: type, enum, required, properties, additionalProperties, items, $ref.
struct Specification {
  /// One method of a path.
  struct Operation {
    let method: String
    let path: String
    let id: String
    let role: String
    /// The status of an answer as asked for, and the schema of its body.
    let status: Int
    let answer: [String: Any]
    let body: [String: Any]?
  }

  let operations: [Operation]
  private let schemas: [String: Any]

  init() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let data = try Data(contentsOf: root.appending(path: "Sources/ControlAPI/openapi.json"))
    let document = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    schemas = (document["components"] as? [String: Any])?["schemas"] as? [String: Any] ?? [:]
    var operations: [Operation] = []
    for (path, methods) in document["paths"] as? [String: [String: [String: Any]]] ?? [:] {
      for (method, operation) in methods {
        let responses = operation["responses"] as? [String: [String: Any]] ?? [:]
        guard let (status, response) = responses.first(where: { $0.key != "default" }) else {
          continue
        }
        operations.append(
          Operation(
            method: method.uppercased(), path: path,
            id: operation["operationId"] as? String ?? "",
            role: operation["x-tidemark-role"] as? String ?? "missing", status: Int(status) ?? 0,
            answer: Self.schema(response) ?? [:],
            body: (operation["requestBody"] as? [String: Any]).flatMap(Self.schema)))
      }
    }
    self.operations = operations.sorted { ($0.path, $0.method) < ($1.path, $1.method) }
  }

  private static func schema(_ part: [String: Any]) -> [String: Any]? {
    let content = part["content"] as? [String: [String: Any]]
    return content?["application/json"]?["schema"] as? [String: Any]
  }

  /// The schema of every answer that is not as asked for.
  var error: [String: Any] { ["$ref": "#/components/schemas/Error"] }

  /// What of `body` is not as `schema` says; empty if all is.
  func objections(to body: [UInt8], _ schema: [String: Any]) throws -> [String] {
    let value = try JSONSerialization.jsonObject(with: Data(body), options: .fragmentsAllowed)
    return objections(to: value, schema, at: "")
  }

  private func objections(to value: Any, _ schema: [String: Any], at place: String) -> [String] {
    if let name = (schema["$ref"] as? String)?.split(separator: "/").last {
      guard let found = schemas[String(name)] as? [String: Any] else {
        return ["\(place): no schema \(name)"]
      }
      return objections(to: value, found, at: place)
    }
    switch schema["type"] as? String {
    case "object":
      guard let object = value as? [String: Any] else { return ["\(place): no object"] }
      return objections(in: object, schema, at: place)
    case "array":
      guard let list = value as? [Any] else { return ["\(place): no list"] }
      let items = schema["items"] as? [String: Any] ?? [:]
      return list.enumerated().flatMap { objections(to: $1, items, at: "\(place)[\($0)]") }
    case "string":
      guard let text = value as? String else { return ["\(place): no text"] }
      guard let words = schema["enum"] as? [String] else { return [] }
      return words.contains(text) ? [] : ["\(place): '\(text)' is none of \(words)"]
    case "integer":
      let number = value as? NSNumber
      return number.map { $0.doubleValue == $0.doubleValue.rounded() } == true
        ? [] : ["\(place): no integer"]
    case "number": return value is NSNumber ? [] : ["\(place): no number"]
    case "boolean": return value is Bool ? [] : ["\(place): no truth"]
    default: return ["\(place): a schema without a type"]
    }
  }

  private func objections(
    in object: [String: Any], _ schema: [String: Any], at place: String
  ) -> [String] {
    let properties = schema["properties"] as? [String: [String: Any]] ?? [:]
    let required = schema["required"] as? [String] ?? []
    let missing = required.filter { object[$0] == nil }.map { "\(place).\($0): missing" }
    return missing
      + object.flatMap { name, value in
        properties[name].map { objections(to: value, $0, at: "\(place).\(name)") }
          ?? ["\(place).\(name): not in the schema"]
      }
  }
}
