public import Bytes
internal import Catalog
internal import FileIO
public import Identity
internal import Synchronization
internal import Vault

/// What a running service shows of itself, and who is told when that changes.
struct PresentedCertificate: Sendable {
  /// Host names and addresses that it answers to.
  var names: [String] = []
  var observers: [@Sendable (Credentials) throws(OperationError) -> Void] = []
}

extension VaultService {
  /// How long the service's own certificate is good for; it is renewed after two thirds of that.
  static let certificateLife = Duration.seconds(397 * 86400)

  /// The key and certificate that the service shows to others, issued by the vault's authority: made
  /// if there are none yet, and renewed if that is due or a name is missing.
  ///
  /// - Parameter names: host names and addresses that it answers to.
  /// - Returns: what is good now.
  /// - Throws: `.damaged` or `.refused` if the files are not what was written.
  public func credentials(names: [String]) throws(OperationError) -> Credentials {
    try presented.withLock { presented throws(OperationError) in
      presented.names = names
      return try credentials(&presented, now: .now()).found
    }
  }

  /// Has `observer` told whenever the service gets a new certificate, so that it shows it from then on.
  public func whenRenewed(
    _ observer: @escaping @Sendable (Credentials) throws(OperationError) -> Void
  ) {
    presented.withLock { $0.observers.append(observer) }
  }

  /// Renews the service's certificate if two thirds of its life are over at `now`, and cuts connections
  /// that were made with certificates which have expired since. Call it every few hours.
  ///
  /// - Returns: whether there is a new certificate.
  @discardableResult
  public func maintainCertificates(now: Timestamp) throws(OperationError) -> Bool {
    agentHost.cutExpired(at: now)
    return try presented.withLock { presented throws(OperationError) in
      let (found, isNew) = try credentials(&presented, now: now)
      if isNew { try tell(presented, found) }
      return isNew
    }
  }

  /// Gives the service a new key and certificate now, with the names it had: after its key may have been
  /// seen, perhaps. Live connections go on.
  ///
  /// - Returns: the certificate.
  public func rotateCredentials() throws(OperationError) -> PeerIdentity {
    try presented.withLock { presented throws(OperationError) in
      let found = try credentials(&presented, now: .now(), isForced: true).found
      try tell(presented, found)
      return found.identity
    }
  }

  private func tell(
    _ presented: PresentedCertificate, _ credentials: Credentials
  ) throws(OperationError) {
    try agentHost.replace(credentials)
    for observer in presented.observers { try observer(credentials) }
  }

  private func credentials(
    _ presented: inout PresentedCertificate, now: Timestamp, isForced: Bool = false
  ) throws(OperationError) -> (found: Credentials, isNew: Bool) {
    let authority = try authority()
    let directory = "\(vault.path)/\(Self.identityDirectory)/service"
    let names = presented.names
    let made = try inIdentity { () throws(IdentityError) in
      let files = try IdentityFiles(in: directory)
      var known: [String] = []
      do throws(IdentityError) {
        let found = try files.load()
        known = found.names
        let isGood = !found.needsRenewal(at: now) && found.carries(names)
        if isGood, !isForced { return (found, IssuedCertificate?.none) }
      } catch { guard error.code == .missing else { throw error } }
      let renewed = try files.renew(
        from: authority, role: .service, validity: Self.certificateLife,
        names: names.isEmpty ? known : names, now: now)
      return (renewed.credentials, renewed.issued)
    }
    guard let issued = made.1 else { return (made.0, false) }
    try certificates.keep(issued, of: .service)
    note(.info, "certificate-issued", "The service got a new certificate, \(issued.serial).")
    return (made.0, true)
  }
}
