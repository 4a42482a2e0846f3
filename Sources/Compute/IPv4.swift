/// An address of the Internet Protocol, version 4 (RFC 791).
public struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The four bytes, the first one highest.
  public let bits: UInt32

  /// The address of these four bytes, the first one highest.
  public init(bits: UInt32) { self.bits = bits }

  /// Reads four decimal numbers with dots between them; nil if the text is anything else, or has leading
  /// zeros, which some programs take for octal numbers.
  public init?(_ text: some StringProtocol) {
    let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bits: UInt32 = 0
    for part in parts {
      guard let number = Self.decimal(part, limit: 255) else { return nil }
      bits = bits << 8 | UInt32(number)
    }
    self.bits = bits
  }

  static func decimal(_ digits: some Collection<UInt8>, limit: Int) -> Int? {
    guard 1...3 ~= digits.count, digits.count == 1 || digits.first != UInt8(ascii: "0") else {
      return nil
    }
    var number = 0
    for digit in digits {
      guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit else { return nil }
      number = number * 10 + Int(digit - UInt8(ascii: "0"))
    }
    return number <= limit ? number : nil
  }

  /// `192.0.2.7`.
  public var description: String {
    [24, 16, 8, 0].map { String(bits >> $0 & 0xFF) }.joined(separator: ".")
  }

  /// By number.
  public static func < (one: Self, other: Self) -> Bool { one.bits < other.bits }
}

/// A network of the Internet Protocol, version 4: its first address and how many bits all of its addresses
/// share (RFC 4632).
public struct IPv4Subnet: Hashable, Sendable, CustomStringConvertible {
  /// The network's own address: the bits that are not shared are 0.
  public let base: IPv4Address
  /// How many bits are shared, 0 to 32.
  public let prefix: Int

  /// The network that an address lies in.
  public init?(containing address: IPv4Address, prefix: Int) {
    guard 0...32 ~= prefix else { return nil }
    self.prefix = prefix
    base = IPv4Address(bits: address.bits & Self.mask(prefix))
  }

  /// Reads `192.0.2.0/24`; nil if it is anything else, or its address is not the network's own.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(parts[0]),
      let prefix = IPv4Address.decimal(Array(parts[1].utf8), limit: 32)
    else { return nil }
    self.init(containing: address, prefix: prefix)
    guard base == address else { return nil }
  }

  private static func mask(_ prefix: Int) -> UInt32 {
    prefix == 0 ? 0 : UInt32.max << UInt32(32 - prefix)
  }

  /// Its last address, which reaches all of its machines.
  public var broadcast: IPv4Address { IPv4Address(bits: base.bits | ~Self.mask(prefix)) }

  /// The addresses that machines can have: neither the first nor the last.
  public var hosts: Range<UInt64> {
    let range = UInt64(base.bits) + 1..<max(UInt64(base.bits) + 1, UInt64(broadcast.bits))
    return prefix < 31 ? range : range.lowerBound..<range.lowerBound
  }

  /// Whether an address lies in it, be it one that a machine can have or not.
  public func contains(_ address: IPv4Address) -> Bool {
    address.bits & Self.mask(prefix) == base.bits
  }

  /// Whether a machine in it can have the address.
  public func hasHost(_ address: IPv4Address) -> Bool { hosts.contains(UInt64(address.bits)) }

  /// `192.0.2.0/24`.
  public var description: String { "\(base)/\(prefix)" }
}

/// The address of an Ethernet adapter.
public struct HardwareAddress: Hashable, Sendable, CustomStringConvertible {
  /// The six bytes in the order in which they are sent.
  public let bytes: [UInt8]

  /// Reads six pairs of hexadecimal digits with colons between them; nil if the text is anything else, or is
  /// the address of a group.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { $0.utf8.count == 2 ? UInt8($0, radix: 16) : nil }
    guard parts.count == 6, bytes.count == 6, bytes[0] & 1 == 0, bytes != [0, 0, 0, 0, 0, 0],
      !text.contains("+")
    else { return nil }
    self.bytes = bytes
  }

  /// An address that is the same each time for the same machine and adapter, in the range that QEMU's
  /// machines use.
  public init(high: UInt64, low: UInt64, adapter: Int) {
    let mixed = (high ^ low &* 0x9E37_79B9_7F4A_7C15) &+ UInt64(truncatingIfNeeded: adapter)
    bytes = [0x52, 0x54, 0x00] + [16, 8, 0].map { UInt8(truncatingIfNeeded: mixed >> $0) }
  }

  /// `52:54:00:12:34:56`.
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}

extension IPv4Address: Codable {
  /// Reads the form that `description` writes.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Self(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "'\(text)' is not an address")
    }
    self = value
  }

  /// Writes the form that `description` gives.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

extension IPv4Subnet: Codable {
  /// Reads the form that `description` writes.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Self(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "'\(text)' is not a network")
    }
    self = value
  }

  /// Writes the form that `description` gives.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

extension HardwareAddress: Codable {
  /// Reads the form that `description` writes.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Self(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "'\(text)' is not an adapter's address")
    }
    self = value
  }

  /// Writes the form that `description` gives.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
