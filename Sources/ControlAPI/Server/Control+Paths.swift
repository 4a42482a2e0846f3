extension Control {
  typealias Found = (endpoint: Endpoint, parameters: [String: String], query: [String: String])

  /// Finds what a request is for.
  static func find(_ request: ControlRequest) throws(RequestError) -> Found {
    let (path, query) = split(request.target)
    var other = false
    for endpoint in Endpoint.all {
      guard let parameters = try match(path, endpoint.path) else { continue }
      guard endpoint.method.rawValue == request.method else {
        other = true
        continue
      }
      return (endpoint, parameters, try values(query))
    }
    if other {
      throw RequestError(.methodNotAllowed, "'\(path)' does not take \(request.method).")
    }
    throw RequestError(.noSuchPath, "There is no '\(path)' here.")
  }

  private static func split(_ target: String) -> (path: Substring, query: Substring) {
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    return (parts[0], parts.count > 1 ? parts[1] : "")
  }

  /// What stands where `pattern` has braces; nil if the path is another one.
  private static func match(
    _ path: Substring, _ pattern: String
  ) throws(RequestError) -> [String: String]? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    let wanted = pattern.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == wanted.count else { return nil }
    var parameters: [String: String] = [:]
    for (part, wanted) in zip(parts, wanted) {
      if wanted.hasPrefix("{") {
        guard !part.isEmpty else { return nil }
        parameters[String(wanted.dropFirst().dropLast())] = try PercentEncoding.decoded(part)
      } else if part != wanted {
        return nil
      }
    }
    return parameters
  }

  private static func values(_ query: Substring) throws(RequestError) -> [String: String] {
    var values: [String: String] = [:]
    for pair in query.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      values[try PercentEncoding.decoded(parts[0])] =
        parts.count > 1 ? try PercentEncoding.decoded(parts[1]) : ""
    }
    return values
  }
}

/// Percent-encoding of a part of a path or query (RFC 3986, 2.1).
enum PercentEncoding {
  static func encoded(_ text: String) -> String {
    text.utf8.map { byte in
      let character = Character(UnicodeScalar(byte))
      let isPlain = byte < 128 && (character.isLetter || character.isNumber)
      guard !isPlain, !"-._~".contains(character) else { return String(character) }
      return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  static func decoded(_ text: Substring) throws(RequestError) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        bytes.append(byte)
        continue
      }
      guard let digits = String(rest.prefix(2)), digits.utf8.count == 2,
        let value = UInt8(digits, radix: 16)
      else { throw RequestError(.badRequest, "'\(text)' is not percent-encoded as it should be.") }
      bytes.append(value)
      rest.removeFirst(2)
    }
    guard let decoded = String(validating: bytes, as: UTF8.self), !decoded.contains("\0") else {
      throw RequestError(.badRequest, "'\(text)' is not UTF-8.")
    }
    return decoded
  }
}
