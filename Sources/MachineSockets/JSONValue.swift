/// A value of JSON (RFC 8259), as programs say it that are asked for no fixed form.
public enum JSONValue: Hashable, Sendable {
  /// `null`.
  case null
  /// `true` or `false`.
  case boolean(Bool)
  /// A whole number.
  case number(Int64)
  /// Any other number.
  case fraction(Double)
  /// A text.
  case text(String)
  /// Values in order.
  case list([JSONValue])
  /// Values by name.
  case object([String: JSONValue])

  /// The member of an object; nil if there is none, or this is no object.
  public subscript(_ name: String) -> JSONValue? {
    if case .object(let members) = self { members[name] } else { nil }
  }

  /// The text; nil of anything else.
  public var text: String? { if case .text(let text) = self { text } else { nil } }
  /// The whole number; nil of anything else.
  public var number: Int64? { if case .number(let number) = self { number } else { nil } }
  /// Whether it is so; nil of anything else.
  public var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
  /// The values in order; none of anything else.
  public var list: [JSONValue] { if case .list(let values) = self { values } else { [] } }
}

extension JSONValue: Codable {
  /// Takes whatever is there.
  public init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let flag = try? value.decode(Bool.self) {
      self = .boolean(flag)
    } else if let number = try? value.decode(Int64.self) {
      self = .number(number)
    } else if let text = try? value.decode(String.self) {
      self = .text(text)
    } else if let list = try? value.decode([JSONValue].self) {
      self = .list(list)
    } else if let members = try? value.decode([String: JSONValue].self) {
      self = .object(members)
    } else {
      self = .fraction(try value.decode(Double.self))
    }
  }

  /// Writes the value as it is.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .boolean(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .fraction(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .list(let values): try container.encode(values)
    case .object(let members): try container.encode(members)
    }
  }
}
