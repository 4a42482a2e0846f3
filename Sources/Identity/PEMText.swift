internal import Bytes
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// Reads keys and certificates from text and bytes that anyone may have written.
enum PEMText {
  /// Bytes of the longest key, certificate or request that is looked at. Ours have under two thousand.
  static let limit = 16384

  /// A certificate in PEM (RFC 7468), and nothing beside it.
  static func certificate(_ text: String, of name: String) throws(IdentityError) -> Certificate {
    try check(text.utf8.count, name)
    do { return try Certificate(pemEncoded: text) } catch {
      throw IdentityError(.damaged, "\(sentence(name)) is not a certificate in PEM: \(error).")
    }
  }

  /// A certificate in DER, and nothing behind it.
  static func certificate(der: [UInt8], of name: String) throws(IdentityError) -> Certificate {
    try check(der.count, name)
    do { return try Certificate(derEncoded: der) } catch {
      throw IdentityError(.damaged, "\(sentence(name)) is not a certificate: \(error).")
    }
  }

  /// A private key on P-256 in PEM of PKCS#8 or SEC 1.
  static func privateKey(
    _ text: String, of name: String
  ) throws(IdentityError) -> P256.Signing.PrivateKey {
    try check(text.utf8.count, name)
    do { return try P256.Signing.PrivateKey(pemRepresentation: text) } catch {
      // The reason is left out: it might quote the key.
      throw IdentityError(.damaged, "\(sentence(name)) is not a P-256 private key in PEM.")
    }
  }

  static func check(_ count: Int, _ name: String) throws(IdentityError) {
    guard count <= limit else {
      throw IdentityError(
        .damaged, "\(sentence(name)) has \(count) bytes; more than \(limit) are not looked at.")
    }
  }

  static func sentence(_ name: String) -> String { name.prefix(1).uppercased() + name.dropFirst() }
}

extension Certificate {
  /// The certificate's bytes.
  func encoded() throws(IdentityError) -> PEMDocument {
    do { return try serializeAsPEM() } catch {
      throw IdentityError(.damaged, "The certificate can't be encoded: \(error).")
    }
  }

  var notBefore: Timestamp { Timestamp(seconds: notValidBefore.wholeSeconds) }
  var notAfter: Timestamp { Timestamp(seconds: notValidAfter.wholeSeconds) }

  /// The public key, which must be one on P-256.
  func signingKey(of name: String) throws(IdentityError) -> P256.Signing.PublicKey {
    guard let key = P256.Signing.PublicKey(publicKey) else {
      throw IdentityError(.refused, "The key of \(name) is not one on P-256.")
    }
    return key
  }

  /// The one URI among the alternative names that says what the certificate is for.
  func identity(of name: String) throws(IdentityError) -> IdentityURI {
    var found: [String] = []
    do {
      for case .uniformResourceIdentifier(let text) in try extensions.subjectAlternativeNames
        ?? SubjectAlternativeNames()
      {
        found.append(text)
      }
    } catch {
      throw IdentityError(
        .damaged, "The alternative names of \(name) can't be read: \(error).")
    }
    guard found.count == 1, let identity = IdentityURI(found[0]) else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) names no vault and role; it was not made by Tidemark.")
    }
    return identity
  }

  /// Throws unless `now` lies within the certificate's time.
  func checkValidity(at now: Timestamp, of name: String) throws(IdentityError) {
    guard now >= notBefore else {
      throw IdentityError(
        .expired,
        "\(PEMText.sentence(name)) is good only from \(notBefore.iso8601), and it is "
          + "\(now.iso8601) here. Set the clocks of both ends.")
    }
    guard now <= notAfter else {
      throw IdentityError(
        .expired, "\(PEMText.sentence(name)) expired at \(notAfter.iso8601); it is \(now.iso8601).")
    }
  }
}

extension Date {
  /// Seconds since 1970, whole as they are in certificates.
  fileprivate var wholeSeconds: Int64 { Int64(exactly: timeIntervalSince1970.rounded()) ?? .max }

  /// The moment, as far as a certificate can tell it.
  init(_ moment: Timestamp) { self.init(timeIntervalSince1970: Double(moment.seconds)) }
}
