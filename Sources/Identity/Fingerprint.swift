internal import Crypto

/// The SHA-256 of a certificate's DER: names a vault's authority where the certificate itself is too
/// long, above all in a registration key.
public struct Fingerprint: Hashable, Sendable, CustomStringConvertible {
  /// The 32 bytes.
  public let bytes: [UInt8]

  /// Takes the fingerprint's bytes; nil if they are not 32.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  init(ofDER der: [UInt8]) { bytes = Array(SHA256.hash(data: der)) }

  /// Reads 64 hexadecimal digits; nil if `text` is anything else.
  ///
  /// Colons between bytes are skipped, so that what `openssl x509 -fingerprint -sha256` prints is
  /// understood too.
  public init?(_ text: String) {
    guard text.utf8.count <= 128 else { return nil }
    let digits = Array(text.utf8.filter { $0 != UInt8(ascii: ":") })
    guard digits.count == Self.byteCount * 2 else { return nil }
    var bytes: [UInt8] = []
    for digit in digits {
      guard let value = Character(Unicode.Scalar(digit)).hexDigitValue else { return nil }
      bytes.append(UInt8(value))
    }
    self.bytes = (0..<Self.byteCount).map { bytes[$0 * 2] << 4 | bytes[$0 * 2 + 1] }
  }

  static let byteCount = 32

  /// Lower-case hexadecimal digits.
  public var description: String { hexadecimal(bytes) }
}

/// Two lower-case hexadecimal digits a byte.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  for byte in bytes { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
  return String(decoding: text, as: UTF8.self)
}
