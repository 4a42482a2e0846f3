public import Bytes
public import Identity
internal import Replication
public import Vault

/// A machine that asks to be known to a vault, with a registration key.
public struct Enrolment: Sendable {
  /// The key.
  public var key: RegistrationKey
  /// What the machine's certificate is to be made of.
  public var request: CertificateRequest
  /// What the machine calls itself.
  public var hostName: String
  /// The name it is to have in the vault; its host name if nothing is said.
  public var name: String?
  /// What runs on it.
  public var operatingSystem: OperatingSystem
  /// The version of its agent.
  public var version: String
  /// Every address of every adapter.
  public var addresses: [String]
  /// Its clock.
  public var clock: Timestamp
  /// The identity it had, if it is to keep its name and recovery points.
  public var previous: PreviousIdentity?

  /// How far the clocks of both ends may be apart, in seconds.
  public static let clockLimit: Int64 = 300

  /// Describes the machine.
  public init(
    key: RegistrationKey, request: CertificateRequest, hostName: String, name: String?,
    operatingSystem: OperatingSystem, version: String, addresses: [String], clock: Timestamp
  ) {
    (self.key, self.request, self.hostName, self.name) = (key, request, hostName, name)
    (self.operatingSystem, self.version) = (operatingSystem, version)
    (self.addresses, self.clock) = (addresses, clock)
  }

  /// What a machine is known by from then on.
  public struct Result: Sendable {
    /// Its identifier.
    public let machine: Identifier
    /// Its name.
    public let name: String
    /// Its certificate.
    public let certificate: IssuedCertificate
    /// The authority's certificate, in PEM.
    public let authority: String
  }
}

/// What a machine that enrols again shows of the identity it had.
public struct PreviousIdentity: Sendable {
  /// The certificate, in PEM.
  public var certificate: String
  /// The signature of a renewal's digest by its key, over certificate and new request.
  public var signature: [UInt8]

  /// What was sent.
  public init(certificate: String, signature: [UInt8]) {
    (self.certificate, self.signature) = (certificate, signature)
  }

  /// Proves that this end has the key of `credentials`, for one request alone.
  ///
  /// - Throws: `.io` if the key does not sign.
  public init(
    _ credentials: Credentials, for request: CertificateRequest
  ) throws(IdentityError) {
    certificate = credentials.certificatePEM
    let renewal = Renewal(certificate: certificate, request: request.pem)
    signature = try credentials.signingKey.sign(renewal.digest)
  }

  /// Who had it.
  ///
  /// - Throws: `.damaged` or `.refused`; that its time is over is no reason.
  func holder(
    for request: CertificateRequest, _ trust: Trust
  ) throws(IdentityError) -> PeerIdentity {
    let holder = try trust.holder(ofCertificatePEM: certificate)
    let renewal = Renewal(certificate: certificate, request: request.pem)
    guard holder.verifyingKey.isValid(signature, for: renewal.digest) else {
      throw IdentityError(.refused, "The enrolment is not signed by the key of \(holder).")
    }
    return holder
  }
}
