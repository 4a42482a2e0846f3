/// A 128-bit identifier of a vault or machine, printed as a UUID (RFC 9562).
public struct Identifier: Hashable, Sendable, CustomStringConvertible {
  /// The first eight bytes, big-endian.
  public let high: UInt64
  /// The last eight bytes, big-endian.
  public let low: UInt64

  /// Builds the identifier of these sixteen bytes.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Makes a new random identifier, a UUID of version 4.
  public static func random() -> Identifier {
    var generator = SystemRandomNumberGenerator()
    return random(using: &generator)
  }

  /// Makes an identifier from the numbers of `generator`; equal generators give equal identifiers.
  public static func random(using generator: inout some RandomNumberGenerator) -> Identifier {
    let high = generator.next() & ~0xF000 | 0x4000
    let low = generator.next() & ~(0b11 << 62) | 0b10 << 62
    return Identifier(high: high, low: low)
  }

  /// Reads the form that `description` writes; nil if `text` is anything else.
  public init?(_ text: String) {
    let digits = text.utf8.filter { $0 != UInt8(ascii: "-") }
    guard text.utf8.count == 36, digits.count == 32 else { return nil }
    guard let high = UInt64(String(decoding: digits[..<16], as: UTF8.self), radix: 16),
      let low = UInt64(String(decoding: digits[16...], as: UTF8.self), radix: 16)
    else { return nil }
    self.init(high: high, low: low)
    guard description == text.lowercased() else { return nil }
  }

  /// The identifier as `8-4-4-4-12` lower-case hexadecimal digits.
  public var description: String {
    func hex(_ value: UInt64, _ shift: UInt64, _ digits: Int) -> String {
      let part = (value >> shift) & (UInt64.max >> UInt64(64 - digits * 4))
      let text = String(part, radix: 16)
      return String(repeating: "0", count: digits - text.count) + text
    }
    return hex(high, 32, 8) + "-" + hex(high, 16, 4) + "-" + hex(high, 0, 4) + "-"
      + hex(low, 48, 4) + "-" + hex(low, 0, 12)
  }
}

extension Identifier: Codable {
  /// Reads the form that `description` writes.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let identifier = Identifier(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "'\(text)' is no identifier")
    }
    self = identifier
  }

  /// Writes the form that `description` gives.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
