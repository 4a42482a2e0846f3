/// An address of a machine, as people and agents write it (RFC 4291 2.2 for version 6).
public struct InternetAddress: Hashable, Sendable {
  private enum Kind: Hashable {
    case four([UInt8])
    case six([UInt16])
  }

  private let kind: Kind

  /// Reads an address of version 4 or 6; nil if it is none. A zone behind `%` is left out.
  public init?(_ text: String) {
    let plain = text.prefix { $0 != "%" }
    if let four = Self.four(plain) {
      kind = .four(four)
    } else if let six = Self.six(plain) {
      kind = .six(six)
    } else {
      return nil
    }
  }

  /// - Throws: `.refused` unless that is an address of version 4 or 6.
  static func check(_ text: String) throws(OperationError) {
    guard InternetAddress(text) == nil else { return }
    throw OperationError(
      .refused, "'\(text)' is no IP address: give one such as 10.0.0.12 or fd00::12.")
  }

  private static func four(_ text: Substring) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let bytes = parts.compactMap { part in
      part.allSatisfy { $0.isASCII && $0.isNumber } ? UInt8(part) : nil
    }
    return parts.count == 4 && bytes.count == 4 ? bytes : nil
  }

  private static func six(_ text: Substring) -> [UInt16]? {
    guard text.contains(":"), text.utf8.count <= 45 else { return nil }
    let halves = text.split(separator: "::", omittingEmptySubsequences: false)
    guard halves.count <= 2, let first = groups(halves[0]) else { return nil }
    guard halves.count == 2 else { return first.count == 8 ? first : nil }
    guard let last = groups(halves[1]), first.count + last.count < 8 else { return nil }
    return first + [UInt16](repeating: 0, count: 8 - first.count - last.count) + last
  }

  private static func groups(_ text: Substring) -> [UInt16]? {
    guard !text.isEmpty else { return [] }
    var found: [UInt16] = []
    for part in text.split(separator: ":", omittingEmptySubsequences: false) {
      if let four = four(part) {
        found += [UInt16(four[0]) << 8 | UInt16(four[1]), UInt16(four[2]) << 8 | UInt16(four[3])]
      } else {
        guard part.count <= 4, part.allSatisfy(\.isHexDigit), let group = UInt16(part, radix: 16)
        else { return nil }
        found.append(group)
      }
    }
    return found.count <= 8 ? found : nil
  }

  /// Whether it can be reached from everywhere: it is none of those set aside for a site, a link or the
  /// machine itself (RFC 1918, RFC 3927, RFC 6598, RFC 4193, RFC 4291).
  public var isPublic: Bool {
    switch kind {
    case .four(let bytes): return Self.isPublic(bytes)
    case .six(let groups):
      if groups.prefix(5).allSatisfy({ $0 == 0 }), groups[5] == 0xFFFF {
        return Self.isPublic(groups[6...7].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] })
      }
      return groups[0] & 0xE000 == 0x2000
    }
  }

  private static func isPublic(_ bytes: [UInt8]) -> Bool {
    switch (bytes[0], bytes[1]) {
    case (0, _), (10, _), (127, _), (169, 254), (192, 168): false
    case (172, let second): !(16...31).contains(second)
    case (100, let second): !(64...127).contains(second)
    case (let first, _): first < 224
    }
  }
}
