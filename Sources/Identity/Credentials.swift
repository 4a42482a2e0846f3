public import Bytes
internal import Crypto
internal import X509

/// What one end shows of itself, and whom it trusts: private key, certificate, and the authority that
/// issued it, known to belong together.
public struct Credentials: Sendable, CustomStringConvertible {
  /// The private key in PEM. Never log it.
  public let privateKeyPEM: String
  /// The certificate in PEM.
  public let certificatePEM: String
  /// The authority both ends are checked against.
  public let trust: Trust
  /// Who this end is.
  public let identity: PeerIdentity
  /// The host names and addresses in the certificate, as a service's has them.
  public let names: [String]
  private let key: P256.Signing.PrivateKey

  /// Puts together a key, its certificate, and the authority that issued it.
  ///
  /// - Throws: `.damaged` or `.refused` if they don't belong together. Validity is not looked at.
  public init(
    privateKeyPEM: String, certificatePEM: String, authorityPEM: String
  ) throws(IdentityError) {
    try self.init(
      keyPEM: privateKeyPEM, certificatePEM: certificatePEM, authorityPEM: authorityPEM, of: nil)
  }

  init(
    keyPEM: String, certificatePEM: String, authorityPEM: String, of directory: String?
  ) throws(IdentityError) {
    let place = directory.map { " in '\($0)'" } ?? ""
    let name = "the certificate\(place)"
    key = try PEMText.privateKey(keyPEM, of: "the private key\(place)")
    trust = try Trust(certificatePEM: authorityPEM, name: "the authority's certificate\(place)")
    let certificate = try PEMText.certificate(certificatePEM, of: name)
    // At its own first moment the certificate is good, if it is at all.
    let start = max(certificate.notBefore, trust.authority.notBefore)
    identity = try trust.verify(certificate, of: name, now: min(start, certificate.notAfter))
    guard identity.verifyingKey == VerifyingKey(key.publicKey) else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) is not for the private key beside it. Enrol again.")
    }
    names = HostName.all(in: certificate)
    (privateKeyPEM, self.certificatePEM) = (keyPEM, certificatePEM)
  }

  /// Whether the certificate carries all of these host names and addresses, however they are written.
  public func carries(_ names: [String]) -> Bool {
    Set(names.map(HostName.canonical)).isSubset(of: self.names)
  }

  /// What signs group commits.
  public var signingKey: SigningKey { SigningKey(key) }

  /// Whether two thirds of the certificate's life are over.
  public func needsRenewal(at now: Timestamp) -> Bool { identity.needsRenewal(at: now) }

  /// Throws `.expired` unless this end's certificate and its authority are good at `now`.
  public func checkValidity(at now: Timestamp) throws(IdentityError) {
    let name = "this end's certificate"
    let certificate = try PEMText.certificate(certificatePEM, of: name)
    try certificate.checkValidity(at: now, of: name)
    try trust.authority.checkValidity(at: now, of: "the authority's certificate")
  }

  /// Who this end is; not the key.
  public var description: String { "\(identity) of vault \(identity.vault)" }
}
