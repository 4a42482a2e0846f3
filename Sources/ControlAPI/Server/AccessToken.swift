internal import Bytes
internal import Catalog
internal import Identity
internal import Operations

/// A token that its bearer shows to the API over the network: a part that is no secret, to find it
/// by, and 32 random bytes, of which only the digest is kept.
///
/// Its text is `tidemark_`, 16 and 64 lower-case hexadecimal digits with `_` between them.
struct AccessToken: Sendable {
  let id: String
  private let secret: [UInt8]

  private static let prefix = "tidemark"
  /// Longer texts are not looked at.
  static let lengthLimit = 128
  /// The longest a token may be good, which is ten years.
  static let longest: Int64 = 10 * 366 * 86400

  /// A new token.
  static func random() -> AccessToken {
    var generator = SystemRandomNumberGenerator()
    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in generator.next() } }
    return AccessToken(id: hexadecimal(bytes(8)), secret: bytes(32))
  }

  private init(id: String, secret: [UInt8]) { (self.id, self.secret) = (id, secret) }

  /// Reads a token's text; nil if it is none.
  init?(_ text: String) {
    guard text.utf8.count <= Self.lengthLimit else { return nil }
    let parts = text.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == Self.prefix, parts[1].utf8.count == 16,
      let secret = Self.bytes(parts[2]), secret.count == 32
    else { return nil }
    self.init(id: String(parts[1]), secret: secret)
  }

  /// What its bearer is given.
  var text: String { "\(Self.prefix)_\(id)_\(Self.hexadecimal(secret))" }

  private var digest: SecretDigest { SecretDigest(of: secret) }

  /// Whether this is the token that is kept as `record`, and it is good at `now`. Takes the same time
  /// whatever differs.
  func isGood(as record: TokenRecord, at now: Timestamp) -> Bool {
    guard let kept = Self.bytes(record.digest[...]), digest.isEqual(to: kept) else { return false }
    return record.expires.map { now < $0 } ?? true
  }

  /// What is kept of it.
  ///
  /// - Throws: `.refused` for a name or a time that is not allowed.
  func record(
    of wanted: NewTokenDocument, now: Timestamp
  ) throws(OperationError) -> TokenRecord {
    guard (1...63).contains(wanted.name.count), !wanted.name.contains(where: \.isNewline) else {
      throw OperationError(.refused, "A token's name has 1 to 63 characters on one line.")
    }
    if let seconds = wanted.validSeconds, !(1...Self.longest).contains(seconds) {
      throw OperationError(.refused, "A token is good for a second to ten years.")
    }
    return TokenRecord(
      id: id, name: wanted.name, role: wanted.role, digest: VaultService.text(of: digest.bytes),
      created: now,
      expires: wanted.validSeconds.map { Timestamp(seconds: now.seconds + $0) })
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { (String($0 >> 4, radix: 16)) + String($0 & 15, radix: 16) }.joined()
  }

  private static func bytes(_ text: Substring) -> [UInt8]? {
    let digits = text.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count == text.utf8.count, digits.count % 2 == 0 else { return nil }
    return stride(from: 0, to: digits.count, by: 2).map {
      UInt8(digits[$0] << 4 | digits[$0 + 1])
    }
  }
}
