internal import Bytes
internal import Identity
public import Operations
internal import Vault

/// The authority that a vault's certificates are issued by, as JSON.
///
/// It is asked for without trust: what makes it good is that its fingerprint is the registration key's.
public struct AuthorityDocument: Codable, Sendable {
  /// Its certificate, in PEM.
  public let authority: String
  /// The SHA-256 of its certificate.
  public let fingerprint: String

  init(_ authority: CertificateAuthority) {
    (self.authority, fingerprint) = (authority.certificatePEM, authority.fingerprint.description)
  }
}

/// A machine that asks to be known, as JSON.
public struct NewAgentDocument: Codable, Sendable {
  /// The registration key.
  public var key: String
  /// The request for a certificate, in PEM.
  public var certificateRequest: String
  /// What the machine calls itself.
  public var hostName: String
  /// The name it is to have in the vault; its host name if nothing is said.
  public var name: String?
  /// `linux` or `windows`.
  public var operatingSystem: String
  /// The version of its agent.
  public var version: String
  /// Every address of every adapter.
  public var addresses: [String]
  /// Its clock.
  public var clock: String
  /// The certificate it had, in PEM, if it is to stay the machine that it was.
  public var previousCertificate: String?
  /// The proof that it has the key of that, in hexadecimal digits.
  public var previousSignature: String?

  /// A machine of these properties.
  public init(_ enrolment: Enrolment) {
    key = enrolment.key.text
    certificateRequest = enrolment.request.pem
    (hostName, name) = (enrolment.hostName, enrolment.name)
    operatingSystem = enrolment.operatingSystem.name
    (version, addresses) = (enrolment.version, enrolment.addresses)
    clock = enrolment.clock.iso8601
    previousCertificate = enrolment.previous?.certificate
    previousSignature = enrolment.previous.map { VaultService.text(of: $0.signature) }
  }

  /// - Throws: `.refused` for what is no key, request, operating system or time.
  func enrolment() throws(OperationError) -> Enrolment {
    guard addresses.count <= 256, (addresses + [hostName, version]).allSatisfy({ $0.count < 256 })
    else { throw OperationError(.refused, "The machine tells too much of itself.") }
    guard let system = OperatingSystem.allCases.first(where: { $0.name == operatingSystem }) else {
      throw OperationError(.refused, "operatingSystem is 'linux' or 'windows'.")
    }
    guard case .absolute(let time)? = Instant(clock) else {
      throw OperationError(.refused, "clock is a time like 2026-11-20T10:32:05Z, not '\(clock)'.")
    }
    do {
      var enrolment = Enrolment(
        key: try RegistrationKey(text: key),
        request: try CertificateRequest(pem: certificateRequest),
        hostName: hostName, name: name, operatingSystem: system, version: version,
        addresses: addresses, clock: time)
      enrolment.previous = try previous()
      return enrolment
    } catch { throw OperationError(.refused, "\(error)") }
  }
}

extension NewAgentDocument {
  private func previous() throws(OperationError) -> PreviousIdentity? {
    guard let previousCertificate, let previousSignature else { return nil }
    let digits = Array(previousSignature.utf8)
    let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
      UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
    }
    guard digits.count <= 256, bytes.count * 2 == digits.count else {
      throw OperationError(.refused, "previousSignature is not a signature in hexadecimal digits.")
    }
    return PreviousIdentity(certificate: previousCertificate, signature: bytes)
  }
}

/// What a machine is known by once it has enrolled, as JSON.
public struct EnrolmentDocument: Codable, Sendable {
  /// Its identifier.
  public let machine: String
  /// Its name in the vault.
  public let name: String
  /// The vault's identifier.
  public let vault: String
  /// The vault's friendly name.
  public let vaultName: String
  /// Its certificate, in PEM.
  public let certificate: String
  /// The authority's certificate, in PEM.
  public let authority: String
  /// The port that replication is sent to.
  public let replicationPort: Int
  /// The service's clock.
  public let clock: String
  /// The version of Tidemark at the service.
  public let version: String

  init(_ result: Enrolment.Result, _ control: Control, now: Timestamp) {
    let vault = control.service.vault.description
    (machine, name) = (result.machine.description, result.name)
    (self.vault, vaultName) = (vault.id.description, vault.name)
    (certificate, authority) = (result.certificate.pem, result.authority)
    replicationPort = control.replicationPort
    (clock, version) = (now.iso8601, control.version)
  }
}
