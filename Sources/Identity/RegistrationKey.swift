internal import Crypto

/// What an administrator hands to a machine so that it can ask for a certificate: a secret that the
/// service knows the digest of, and the fingerprint of the authority, so that the machine can't be
/// made to ask a stranger.
///
/// The text form is `TMK1-` and twelve groups of eight characters of Crockford's base 32 (capitals
/// or not; O is read as 0, I and L as 1). The last character of a group checks the group and its
/// place: over GF(32) it is the value of the polynomial whose coefficients are the place and the seven
/// characters before, so that any one wrong character, and any two neighbours changed round, are
/// found and the group is named.
public struct RegistrationKey: Sendable, CustomStringConvertible {
  /// The 20 random bytes.
  public let secret: [UInt8]
  /// The authority of the vault the key is for.
  public let fingerprint: Fingerprint

  static let secretSize = 20
  private static let prefix = "TMK1"
  private static let groups = 12
  private static let digitsPerGroup = 7
  /// Characters of the longest text that is looked at, with room for blanks between groups.
  private static let limit = 512

  /// Makes a new key for the vault with this authority.
  public init(for fingerprint: Fingerprint) {
    secret = SymmetricKey(size: .init(bitCount: Self.secretSize * 8)).withUnsafeBytes { Array($0) }
    self.fingerprint = fingerprint
  }

  /// What the service keeps of the key: the SHA-256 of its secret.
  public var digest: [UInt8] { Array(SHA256.hash(data: secret)) }

  /// Names the vault's authority and not the secret, so that a log may hold it.
  public var description: String { "registration key for the authority \(fingerprint)" }

  /// The key as it is handed over, 112 characters.
  public var text: String {
    let digits = Self.digits(of: secret + fingerprint.bytes)
    var parts = [Self.prefix]
    for group in 0..<Self.groups {
      let own = digits[group * Self.digitsPerGroup..<(group + 1) * Self.digitsPerGroup]
      let values = own + [Self.check(own, group: group)]
      parts.append(String(decoding: values.map { Self.alphabet[Int($0)] }, as: UTF8.self))
    }
    return parts.joined(separator: "-")
  }

  /// Reads the text form; hyphens and white space may be anywhere or nowhere.
  ///
  /// - Throws: `.damaged`, naming the group with a typing error.
  public init(text: String) throws(IdentityError) {
    let groups = try Self.split(text)
    var digits: [UInt8] = []
    for (index, group) in groups.enumerated() {
      let values = group.compactMap { Self.alphabet.firstIndex(of: $0).map { UInt8($0) } }
      let own = values.prefix(Self.digitsPerGroup)
      guard values.count == group.count, values.last == Self.check(own, group: index) else {
        throw IdentityError(
          .damaged,
          "Group \(index + 1) of the registration key, '\(String(decoding: group, as: UTF8.self))', "
            + "has a typing error. Compare it with the key as it was shown.")
      }
      digits += own
    }
    let bytes = Self.bytes(of: digits)
    guard let bytes, let fingerprint = Fingerprint(bytes: Array(bytes[Self.secretSize...])) else {
      throw IdentityError(
        .damaged, "The registration key is not one that Tidemark made. Copy it again.")
    }
    secret = Array(bytes[..<Self.secretSize])
    self.fingerprint = fingerprint
  }

  /// The groups of a text, in capitals, without the prefix.
  private static func split(_ text: String) throws(IdentityError) -> [ArraySlice<UInt8>] {
    guard text.utf8.count <= limit else {
      throw IdentityError(.damaged, "A registration key has 112 characters; this is far longer.")
    }
    let blanks = Set("- \t\r\n".utf8)
    let characters = text.uppercased().utf8.filter { !blanks.contains($0) }.map(meant)
    guard characters.starts(with: prefix.utf8) else {
      throw IdentityError(
        .damaged,
        "A registration key begins with '\(prefix)'; this does not. "
          + "'tidemark key create' makes one.")
    }
    let (size, rest) = (digitsPerGroup + 1, characters.dropFirst(prefix.utf8.count))
    guard rest.count == groups * size else {
      throw IdentityError(
        .damaged,
        "A registration key has \(groups * size) characters after '\(prefix)', this has "
          + "\(rest.count). Copy it again, whole.")
    }
    return (0..<groups).map { group in
      let start = rest.startIndex + group * size
      return rest[start..<start + size]
    }
  }

  private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

  /// The character that one of a similar shape stands for.
  private static func meant(_ character: UInt8) -> UInt8 {
    switch character {
    case UInt8(ascii: "O"): UInt8(ascii: "0")
    case UInt8(ascii: "I"), UInt8(ascii: "L"): UInt8(ascii: "1")
    default: character
    }
  }

  /// The check character of a group. Multiplying by x is a shift, and 0x25 is x⁵ + x² + 1.
  private static func check(_ digits: ArraySlice<UInt8>, group: Int) -> UInt8 {
    func timesX(_ value: UInt8) -> UInt8 { value << 1 ^ (value & 16 != 0 ? 0x25 : 0) }
    return timesX(digits.reduce(UInt8(group + 1)) { timesX($0) ^ $1 })
  }

  /// Cuts bytes into groups of five bits, the last filled up with zeros.
  private static func digits(of bytes: [UInt8]) -> [UInt8] {
    var (digits, held, bits): ([UInt8], UInt32, UInt32) = ([], 0, 0)
    for byte in bytes {
      (held, bits) = (held << 8 | UInt32(byte), bits + 8)
      while bits >= 5 {
        bits -= 5
        digits.append(UInt8(held >> bits & 31))
      }
      held &= (1 << bits) - 1
    }
    if bits > 0 { digits.append(UInt8(held << (5 - bits) & 31)) }
    return digits
  }

  /// The mirror of `digits(of:)`; nil if the bits that fill up are not zeros.
  private static func bytes(of digits: [UInt8]) -> [UInt8]? {
    var (bytes, held, bits): ([UInt8], UInt32, UInt32) = ([], 0, 0)
    for digit in digits {
      (held, bits) = (held << 5 | UInt32(digit), bits + 5)
      guard bits >= 8 else { continue }
      bits -= 8
      bytes.append(UInt8(held >> bits & 255))
      held &= (1 << bits) - 1
    }
    return held == 0 ? bytes : nil
  }
}
