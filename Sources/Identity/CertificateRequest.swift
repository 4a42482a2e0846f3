internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// A wish for a certificate (PKCS#10, RFC 2986): a public key, and the proof that whoever asks has the
/// private one. What else it says is ignored: role, names and life are for the authority to decide.
public struct CertificateRequest: Sendable {
  /// The request in PEM.
  public let pem: String
  let key: P256.Signing.PublicKey

  /// Reads a request of at most 16 KiB in PEM and checks the signature it carries of itself.
  ///
  /// - Throws: `.damaged` if it is none, `.refused` if the signature or the kind of key is not right.
  public init(pem: String) throws(IdentityError) {
    try PEMText.check(pem.utf8.count, "the certificate request")
    let request: CertificateSigningRequest
    do { request = try CertificateSigningRequest(pemEncoded: pem) } catch {
      throw IdentityError(
        .damaged, "The certificate request is not PKCS#10 in PEM: \(error).")
    }
    guard let key = P256.Signing.PublicKey(request.publicKey) else {
      throw IdentityError(.refused, "The certificate request's key is not one on P-256.")
    }
    guard request.signatureAlgorithm == .ecdsaWithSHA256,
      request.publicKey.isValidSignature(request.signature, for: request)
    else {
      throw IdentityError(
        .refused, "The certificate request is not signed by the key it is made for.")
    }
    self.pem = pem
    self.key = key
  }

  /// Makes a request for `key`; its subject tells people the role that is wished for.
  init(for role: Role, key: P256.Signing.PrivateKey) throws(IdentityError) {
    do {
      let request = try CertificateSigningRequest(
        version: .v1, subject: DistinguishedName { CommonName(role.description) },
        privateKey: Certificate.PrivateKey(key),
        attributes: CertificateSigningRequest.Attributes(),
        signatureAlgorithm: .ecdsaWithSHA256)
      pem = try request.serializeAsPEM().pemString + "\n"
    } catch {
      throw IdentityError(.io, "A certificate request could not be made: \(error).")
    }
    self.key = key.publicKey
  }
}
