public import Bytes
internal import Crypto
internal import SwiftASN1
internal import X509

/// Who is at the other end, by the certificate it showed.
public struct PeerIdentity: Hashable, Sendable, CustomStringConvertible {
  /// The vault the certificate is good for.
  public let vault: Identifier
  /// What its holder may do there.
  public let role: Role
  /// The certificate's number in lower-case hexadecimal digits, as the authority noted it.
  public let serial: String
  /// The first moment the certificate is good for.
  public let notBefore: Timestamp
  /// The last moment it is good for.
  public let notAfter: Timestamp
  /// What checks the holder's signatures.
  public let verifyingKey: VerifyingKey
  /// The certificate itself, in DER.
  public let certificateDER: [UInt8]

  /// Reads a certificate in DER, without asking who made it: that is for ``Trust`` to tell.
  ///
  /// - Throws: `.damaged` if it is no certificate, `.refused` if it names no vault and role.
  public init(certificateDER: [UInt8]) throws(IdentityError) {
    let name = "the certificate"
    try self.init(PEMText.certificate(der: certificateDER, of: name), of: name)
  }

  init(_ certificate: Certificate, of name: String) throws(IdentityError) {
    guard case .holder(let vault, let role) = try certificate.identity(of: name) else {
      throw IdentityError(
        .refused, "\(PEMText.sentence(name)) is a vault's authority, which never speaks for itself."
      )
    }
    (self.vault, self.role) = (vault, role)
    verifyingKey = VerifyingKey(try certificate.signingKey(of: name))
    serial = hexadecimal(certificate.serialNumber.bytes)
    (notBefore, notAfter) = (certificate.notBefore, certificate.notAfter)
    certificateDER = try certificate.encoded().derBytes
  }

  /// Whether two thirds of the certificate's life are over, so that it should be replaced.
  ///
  /// With a certificate of 90 days that leaves 30 to try again.
  public func needsRenewal(at now: Timestamp) -> Bool {
    let life = notAfter.seconds - notBefore.seconds
    return now.seconds - notBefore.seconds >= life / 3 * 2
  }

  /// Role and certificate number.
  public var description: String { "\(role) (certificate \(serial))" }
}
