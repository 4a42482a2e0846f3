internal import Crypto
internal import FoundationEssentials
internal import X509

/// What an agent signs its group commits with: the private key of its certificate.
///
/// ECDSA on P-256 with SHA-256 (FIPS 186-5). The bytes handed in are hashed once more, so any length
/// does; a digest that begins with what it is for can't be passed off as another.
public struct SigningKey: Sendable {
  let key: P256.Signing.PrivateKey

  init(_ key: P256.Signing.PrivateKey) { self.key = key }

  /// Reads a private key, PEM of PKCS#8 or SEC 1.
  public init(pem: String) throws(IdentityError) {
    key = try PEMText.privateKey(pem, of: "the private key")
  }

  /// Signs; the signature is DER of at most ``VerifyingKey/largestSignature`` bytes, and a different
  /// one every time.
  public func sign(_ digest: [UInt8]) throws(IdentityError) -> [UInt8] {
    do {
      return Array(try key.signature(for: digest).derRepresentation)
    } catch {
      throw IdentityError(.io, "The digest could not be signed: \(error).")
    }
  }

  /// What checks this key's signatures.
  public var verifyingKey: VerifyingKey { VerifyingKey(key.publicKey) }
}

/// What checks an agent's signatures: the public key of its certificate.
public struct VerifyingKey: Sendable, Hashable {
  private let key: P256.Signing.PublicKey

  /// Bytes of the longest signature: two integers of up to 33 bytes, and their headers.
  public static let largestSignature = 72

  init(_ key: P256.Signing.PublicKey) { self.key = key }

  /// Takes the key out of a certificate, which must have been checked already: whoever can show any
  /// certificate can show any key.
  public init(certificatePEM: String) throws(IdentityError) {
    let certificate = try PEMText.certificate(certificatePEM, of: "the certificate")
    key = try certificate.signingKey(of: "the certificate")
  }

  /// Whether `signature` was made over `digest` with the private key that belongs to this one.
  /// False for anything that is no signature at all.
  public func isValid(_ signature: [UInt8], for digest: [UInt8]) -> Bool {
    guard signature.count <= Self.largestSignature,
      let parsed = try? P256.Signing.ECDSASignature(derRepresentation: signature)
    else { return false }
    return key.isValidSignature(parsed, for: digest)
  }

  /// Whether both are the same key.
  public static func == (left: Self, right: Self) -> Bool {
    left.key.rawRepresentation == right.key.rawRepresentation
  }

  /// Hashes the key's bytes.
  public func hash(into hasher: inout Hasher) { hasher.combine(key.rawRepresentation) }
}
