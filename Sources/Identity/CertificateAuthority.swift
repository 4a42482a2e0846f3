public import Bytes
internal import Crypto
public import FileIO
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// A vault's own certificate authority: the one root that services, agents and relays of the vault
/// trust. Its key never leaves the directory it was made in.
///
/// The directory (0700) holds `ca.key` and `ca.pem` (both 0600). `Identity.docc` tells who trusts
/// whom. Safe from any thread; opening and making block on the disk, issuing does not.
public final class CertificateAuthority: Sendable {
  /// The authority's certificate, as everyone who trusts it has it.
  public let trust: Trust
  private let certificate: Certificate
  private let key: P256.Signing.PrivateKey

  /// How long an authority is good for: 20 years of 365.25 days.
  public static let life = Duration.seconds(20 * 31_557_600)
  /// How much earlier than now a certificate begins to be good, for the sake of slow clocks: twice
  /// what clocks may be apart when a machine is enrolled.
  static let allowance: Int64 = 600
  static let keyFile = "ca.key"
  static let certificateFile = "ca.pem"

  /// Names the authority's certificate.
  public var fingerprint: Fingerprint { trust.fingerprint }
  /// The authority's certificate in PEM.
  public var certificatePEM: String { trust.certificatePEM }
  /// The vault the authority belongs to.
  public var vault: Identifier { trust.vault }

  /// Makes the authority of a vault, and its directory if that is missing. Durable when it returns.
  ///
  /// What an earlier attempt left that a crash cut short is replaced.
  /// - Throws: `.alreadyExists` if there is one already.
  public static func create(
    in directory: String, vault: Identifier, vaultName: String, now: Timestamp,
    on system: FileSystem = .system
  ) throws(IdentityError) -> CertificateAuthority {
    try KeyDirectory.make(directory, on: system)
    let path = directory + "/" + certificateFile
    guard !system.exists(path) else {
      throw IdentityError(
        .alreadyExists,
        "'\(path)' is there already. Whoever replaces a vault's authority shuts out every agent.")
    }
    let key = P256.Signing.PrivateKey()
    let certificate = try selfSigned(key, vault: vault, vaultName: vaultName, now: now)
    // Whoever finds the certificate finds the key.
    try KeyDirectory.replace(directory + "/" + keyFile, with: key.pemRepresentation, on: system)
    try KeyDirectory.replace(path, with: try certificate.encoded().pemString, on: system)
    return try CertificateAuthority(opening: directory, now: now, on: system)
  }

  /// Opens a vault's authority.
  ///
  /// - Throws: `.missing`, `.damaged`, `.expired`, or `.refused` if others can read the key or key
  ///   and certificate do not belong together.
  public init(
    opening directory: String, now: Timestamp, on system: FileSystem = .system
  ) throws(IdentityError) {
    let certificatePath = directory + "/" + Self.certificateFile
    let keyPath = directory + "/" + Self.keyFile
    try KeyDirectory.check(directory, on: system)
    let text = try KeyDirectory.read(certificatePath, on: system)
    trust = try Trust(certificatePEM: text, name: "'\(certificatePath)'")
    certificate = trust.authority
    try certificate.checkValidity(at: now, of: "'\(certificatePath)'")
    key = try PEMText.privateKey(
      KeyDirectory.readSecret(keyPath, on: system), of: "'\(keyPath)'")
    guard try certificate.signingKey(of: "it").rawRepresentation == key.publicKey.rawRepresentation
    else {
      throw IdentityError(
        .refused,
        "'\(keyPath)' is not the key of '\(certificatePath)'. Restore both from the same backup.")
    }
  }

  /// Issues a certificate for whoever made `request`.
  ///
  /// It is good from ten minutes before `now` until `validity` after it, and never longer than the
  /// authority's own. Takes no notice of what the request says beside its key. `names` are host names
  /// and addresses the service answers to, for clients that compare them (browsers do; Tidemark's own
  /// compare role and vault); only for ``Role/service``.
  /// - Throws: `.expired` if the authority's own time is over, `.refused` for names that are none.
  public func issue(
    _ role: Role, request: CertificateRequest, validity: Duration, names: [String] = [],
    now: Timestamp
  ) throws(IdentityError) -> IssuedCertificate {
    try certificate.checkValidity(at: now, of: "the authority's certificate")
    guard names.isEmpty || role == .service else {
      throw IdentityError(.refused, "Only a service's certificate carries names; \(role) has none.")
    }
    guard validity > .seconds(0), validity <= Self.life else {
      throw IdentityError(.refused, "A certificate can't be good for \(validity).")
    }
    var alternatives: [GeneralName] = [
      .uniformResourceIdentifier(IdentityURI.holder(vault: vault, role).text)
    ]
    for name in names { alternatives.append(try HostName.alternative(name)) }
    let end = min(
      Timestamp(seconds: now.seconds + validity.components.seconds), certificate.notAfter)
    let serial = Self.serial()
    do {
      let issued = try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(bytes: serial),
        publicKey: Certificate.PublicKey(request.key),
        notValidBefore: Date(Timestamp(seconds: now.seconds - Self.allowance)),
        notValidAfter: Date(end), issuer: certificate.subject,
        subject: Self.subject(vault: vault, name: role.description),
        signatureAlgorithm: .ecdsaWithSHA256,
        extensions: try extensions(alternatives, role, request.key),
        issuerPrivateKey: Certificate.PrivateKey(key))
      return IssuedCertificate(
        serial: hexadecimal(serial), notBefore: issued.notBefore, notAfter: issued.notAfter,
        pem: try issued.serializeAsPEM().pemString + "\n")
    } catch {
      throw IdentityError(.io, "The certificate for \(role) could not be made: \(error).")
    }
  }

  private func extensions(
    _ names: [GeneralName], _ role: Role, _ key: P256.Signing.PublicKey
  ) throws -> Certificate.Extensions {
    let own = SubjectKeyIdentifier(hash: Certificate.PublicKey(key))
    let issuer = SubjectKeyIdentifier(hash: certificate.publicKey)
    let purposes = try ExtendedKeyUsage(role.purposes)
    return try Certificate.Extensions {
      Critical(BasicConstraints.notCertificateAuthority)
      Critical(KeyUsage(digitalSignature: true))
      Critical(purposes)
      SubjectAlternativeNames(names)
      own
      AuthorityKeyIdentifier(keyIdentifier: issuer.keyIdentifier)
    }
  }

  private static func selfSigned(
    _ key: P256.Signing.PrivateKey, vault: Identifier, vaultName: String, now: Timestamp
  ) throws(IdentityError) -> Certificate {
    let uri = IdentityURI.authority(vault: vault).text
    let publicKey = Certificate.PublicKey(key.publicKey)
    do {
      // The longest common name is 64 characters (RFC 5280, upper bounds).
      let subject = try subject(vault: vault, name: String("Tidemark \(vaultName)".prefix(64)))
      return try Certificate(
        version: .v3, serialNumber: Certificate.SerialNumber(bytes: serial()),
        publicKey: publicKey,
        notValidBefore: Date(Timestamp(seconds: now.seconds - allowance)),
        notValidAfter: Date(Timestamp(seconds: now.seconds + life.components.seconds)),
        issuer: subject, subject: subject, signatureAlgorithm: .ecdsaWithSHA256,
        extensions: try Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
          Critical(KeyUsage(keyCertSign: true, cRLSign: true))
          SubjectAlternativeNames([.uniformResourceIdentifier(uri)])
          SubjectKeyIdentifier(hash: publicKey)
        },
        issuerPrivateKey: Certificate.PrivateKey(key))
    } catch {
      throw IdentityError(.io, "The authority's certificate could not be made: \(error).")
    }
  }

  private static func subject(vault: Identifier, name: String) throws -> DistinguishedName {
    try DistinguishedName {
      OrganizationName(vault.description)
      CommonName(name)
    }
  }

  /// 16 random bytes that are a positive number without leading zeros (RFC 5280 §4.1.2.2).
  private static func serial() -> [UInt8] {
    var random = SystemRandomNumberGenerator()
    return [UInt8.random(in: 0x40...0x7F, using: &random)]
      + (0..<15).map { _ in UInt8.random(in: 0...255, using: &random) }
  }
}

/// A certificate that was just issued, with what the catalog keeps of it.
public struct IssuedCertificate: Sendable, Hashable {
  /// Its number in lower-case hexadecimal digits.
  public let serial: String
  /// The first moment it is good for.
  public let notBefore: Timestamp
  /// The last moment it is good for.
  public let notAfter: Timestamp
  /// The certificate in PEM.
  public let pem: String
}
