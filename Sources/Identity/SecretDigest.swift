internal import Crypto

/// What is kept of a secret that others show: its SHA-256.
public struct SecretDigest: Sendable {
  /// The 32 bytes.
  public let bytes: [UInt8]

  /// The digest of a secret.
  public init(of secret: [UInt8]) { bytes = Array(SHA256.hash(data: secret)) }

  /// Whether these bytes are the digest; takes the same time whichever of them differ.
  public func isEqual(to other: [UInt8]) -> Bool {
    guard other.count == bytes.count else { return false }
    var difference: UInt8 = 0
    for (left, right) in zip(bytes, other) { difference |= left ^ right }
    return difference == 0
  }
}
