internal import Bytes
internal import Catalog
internal import FileIO
public import Identity
internal import Vault

extension VaultService {
  /// How long the service's own certificate is good for; it is renewed after two thirds of that.
  static let certificateLife = Duration.seconds(397 * 86400)

  /// The key and certificate that the service shows to others, issued by the vault's authority: made
  /// if there are none yet, and renewed if that is due.
  ///
  /// - Parameter names: host names and addresses that it answers to.
  /// - Returns: what is good now.
  /// - Throws: `.damaged` or `.refused` if the files are not what was written.
  public func credentials(names: [String]) throws(OperationError) -> Credentials {
    let (authority, now) = (try authority(), Timestamp.now())
    let directory = "\(vault.path)/\(Self.identityDirectory)/service"
    let made = try inIdentity { () throws(IdentityError) in
      let files = try IdentityFiles(in: directory)
      do throws(IdentityError) {
        let found = try files.load()
        if !found.needsRenewal(at: now) { return (found, IssuedCertificate?.none) }
      } catch { guard error.code == .missing else { throw error } }
      let renewed = try files.renew(
        from: authority, role: .service, validity: Self.certificateLife, names: names, now: now)
      return (renewed.credentials, renewed.issued)
    }
    if let issued = made.1 {
      let subject = vault.description.id.description
      try inCatalog { () throws(CatalogError) in
        try catalog.add(
          CertificateRecord(
            serial: issued.serial, role: "service", subject: subject,
            notBefore: issued.notBefore, notAfter: issued.notAfter))
      }
      note(.info, "certificate-issued", "The service got a new certificate, \(issued.serial).")
    }
    return made.0
  }
}
