public import Bytes
internal import GRDB

/// A certificate that the vault's authority issued.
public struct CertificateRecord: Codable, Hashable, Sendable {
  /// Its serial number, in hexadecimal digits.
  public var serial: String
  /// What its holder is: `service`, `agent` or `relay`.
  public var role: String
  /// The machine or server it speaks for.
  public var subject: String
  /// From when on it is good.
  public var notBefore: Timestamp
  /// Until when it is good.
  public var notAfter: Timestamp
  /// Since when it is refused; nil if it is not.
  public var revoked: Timestamp?

  /// A certificate of these properties.
  public init(
    serial: String, role: String, subject: String, notBefore: Timestamp, notAfter: Timestamp,
    revoked: Timestamp? = nil
  ) {
    (self.serial, self.role, self.subject) = (serial, role, subject)
    (self.notBefore, self.notAfter, self.revoked) = (notBefore, notAfter, revoked)
  }
}

extension CertificateRecord: Kept {
  static var table: String { "certificate" }
}

extension Catalog {
  /// Keeps a certificate that was issued.
  public func add(_ certificate: CertificateRecord) throws(CatalogError) {
    try insert(certificate)
  }

  /// Forgets the certificates that expired before a moment, but for the newest of each holder: by that one
  /// a machine that was off for long shows who it was.
  public func forgetCertificates(expiredBefore moment: Timestamp) throws(CatalogError) {
    try change(
      """
      DELETE FROM certificate WHERE notAfter < ? AND EXISTS (
        SELECT 1 FROM certificate AS newer
        WHERE newer.subject = certificate.subject AND newer.notAfter > certificate.notAfter)
      """, [moment.rawValue])
  }

  /// All certificates, the oldest first.
  public func certificates() throws(CatalogError) -> [CertificateRecord] {
    try all(CertificateRecord.self, by: "notBefore, serial")
  }

  /// The certificate of that serial number.
  public func certificate(serial: String) throws(CatalogError) -> CertificateRecord? {
    try first(CertificateRecord.self, where: "serial = ?", [serial])
  }

  /// What was issued to a machine or server and is good at a moment.
  public func liveCertificates(
    of subject: String, at now: Timestamp
  ) throws(CatalogError) -> [CertificateRecord] {
    try all(
      CertificateRecord.self, where: "subject = ? AND revoked IS NULL AND notAfter > ?",
      by: "serial", [subject, now.rawValue])
  }

  /// Revokes what was issued to a machine or server and is not revoked yet.
  ///
  /// - Returns: the serial numbers, so that live connections can be cut.
  public func revokeCertificates(
    of subject: String, at now: Timestamp
  ) throws(CatalogError) -> [String] {
    let live = try all(
      CertificateRecord.self, where: "subject = ? AND revoked IS NULL", by: "serial",
      [subject])
    try change(
      "UPDATE certificate SET revoked = ? WHERE subject = ? AND revoked IS NULL",
      [now.rawValue, subject])
    return live.map(\.serial)
  }
}
