public import Bytes
internal import Crypto
internal import SwiftASN1
internal import X509

/// What one end needs to tell friend from stranger: the certificate of its vault's authority.
///
/// Certificates are signed by the authority itself, never by one in between, so checking one is one
/// signature. There is no other root of trust, least of all the system's.
public struct Trust: Sendable {
  /// The vault the authority belongs to.
  public let vault: Identifier
  /// Names the authority's certificate.
  public let fingerprint: Fingerprint
  /// The authority's certificate in PEM.
  public let certificatePEM: String
  let authority: Certificate

  /// Reads the certificate of a vault's authority.
  ///
  /// - Throws: `.damaged` if it is no certificate, `.refused` if it is not one of an authority.
  public init(certificatePEM: String) throws(IdentityError) {
    try self.init(certificatePEM: certificatePEM, name: "the authority's certificate")
  }

  init(certificatePEM: String, name: String) throws(IdentityError) {
    let certificate = try PEMText.certificate(certificatePEM, of: name)
    guard case .authority(let vault) = try certificate.identity(of: name) else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) belongs to an agent, relay or service, not a vault.")
    }
    _ = try certificate.signingKey(of: name)
    guard certificate.issuer == certificate.subject, certificate.isAuthority,
      certificate.isSigned(by: certificate)
    else {
      throw IdentityError(.refused, "\(PEMText.sentence(name)) is not signed by its own key.")
    }
    self.vault = vault
    authority = certificate
    let document = try certificate.encoded()
    fingerprint = Fingerprint(ofDER: document.derBytes)
    self.certificatePEM = document.pemString + "\n"
  }

  /// The last moment the authority is good for.
  public var notAfter: Timestamp { authority.notAfter }

  /// Checks a certificate that a peer showed, and tells who the peer is.
  ///
  /// It must be signed by this authority, be good at `now`, be for this vault, and say of what it
  /// may be used for exactly what goes with its role.
  /// - Throws: `.damaged`, `.expired` or `.refused`.
  public func verify(certificateDER: [UInt8], now: Timestamp) throws(IdentityError) -> PeerIdentity
  {
    let name = "the peer's certificate"
    return try verify(PEMText.certificate(der: certificateDER, of: name), of: name, now: now)
  }

  /// Checks a certificate that somebody sent, but for whether its time is over: it tells who had it.
  public func holder(ofCertificatePEM text: String) throws(IdentityError) -> PeerIdentity {
    let name = "the certificate"
    let certificate = try PEMText.certificate(text, of: name)
    // At its own first moment it is good, if it ever was.
    let start = max(certificate.notBefore, authority.notBefore)
    return try verify(certificate, of: name, now: min(start, certificate.notAfter))
  }

  /// Checks a certificate that somebody sent, as it checks one that a peer showed.
  ///
  /// That its sender is its holder is for a signature to prove.
  public func verify(certificatePEM: String, now: Timestamp) throws(IdentityError) -> PeerIdentity {
    let name = "the certificate"
    return try verify(PEMText.certificate(certificatePEM, of: name), of: name, now: now)
  }

  func verify(
    _ certificate: Certificate, of name: String, now: Timestamp
  ) throws(IdentityError) -> PeerIdentity {
    guard certificate.issuer == authority.subject, certificate.isSigned(by: authority) else {
      throw IdentityError(
        .refused,
        "\(PEMText.sentence(name)) was not issued by the authority of vault \(vault).")
    }
    let peer = try PeerIdentity(certificate, of: name)
    guard peer.vault == vault else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) is for vault \(peer.vault), not for \(vault).")
    }
    try certificate.checkValidity(at: now, of: name)
    try authority.checkValidity(at: now, of: "the authority's certificate")
    guard certificate.isHolder(of: peer.role) else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) may not be used by \(peer.role).")
    }
    return peer
  }
}

extension Certificate {
  /// Whether the signature on this certificate, ECDSA with SHA-256, was made by `authority`'s key.
  func isSigned(by authority: Certificate) -> Bool {
    signatureAlgorithm == .ecdsaWithSHA256
      && authority.publicKey.isValidSignature(signature, for: self)
  }

  /// Whether it may sign certificates of holders, and does not want to be used otherwise.
  fileprivate var isAuthority: Bool {
    guard hasOnlyKnownDemands, let constraints = try? extensions.basicConstraints,
      case .isCertificateAuthority = constraints, let usage = try? extensions.keyUsage
    else { return false }
    return usage.keyCertSign
  }

  /// Whether it may be used to speak TLS at the end that goes with `role`, and for nothing else.
  fileprivate func isHolder(of role: Role) -> Bool {
    guard hasOnlyKnownDemands, let constraints = try? extensions.basicConstraints,
      case .notCertificateAuthority = constraints, let usage = try? extensions.keyUsage,
      usage.digitalSignature, !usage.keyCertSign, let purposes = try? extensions.extendedKeyUsage
    else { return false }
    return Array(purposes) == role.purposes
  }

  /// Whether every extension marked critical is one that is looked at here (RFC 5280 §4.2).
  private var hasOnlyKnownDemands: Bool {
    let known: [ASN1ObjectIdentifier] = [
      .X509ExtensionID.basicConstraints, .X509ExtensionID.keyUsage,
      .X509ExtensionID.extendedKeyUsage, .X509ExtensionID.subjectAlternativeName,
    ]
    return extensions.allSatisfy { !$0.critical || known.contains($0.oid) }
  }
}

extension Role {
  /// The ends of TLS connections the role is at; a relay is at both.
  var purposes: [ExtendedKeyUsage.Usage] {
    switch self {
    case .service: [.serverAuth]
    case .agent: [.clientAuth]
    case .relay: [.serverAuth, .clientAuth]
    }
  }
}
