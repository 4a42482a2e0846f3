internal import FoundationEssentials

/// Documents as JSON (RFC 8259). Their field names are a promise: `JSON.md` lists them.
enum JSONText {
  /// Over several lines, keys in alphabetical order.
  static func page(_ document: some Encodable) -> String {
    encode(document, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
  }

  /// On one line.
  static func line(_ document: some Encodable) -> String {
    encode(document, [.sortedKeys, .withoutEscapingSlashes])
  }

  private static func encode(
    _ document: some Encodable, _ format: JSONEncoder.OutputFormatting
  ) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = format
    guard let bytes = try? encoder.encode(document) else {
      // Only numbers that are not finite can't be encoded, and no document computes any.
      fatalError("A document can't be encoded: \(document)")
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
