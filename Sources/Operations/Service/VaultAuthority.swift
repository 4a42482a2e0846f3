internal import Bytes
internal import Catalog
internal import FileIO
internal import Identity
internal import Replication
internal import ReplicationService
internal import Synchronization
internal import Vault

/// A vault's certificate authority in service: made when it is first asked for; all that it issues is kept
/// in the catalog before anybody gets it, so that it can be revoked.
final class VaultAuthority: Sendable {
  /// How long the certificate of an agent or relay is good for; they renew after two thirds of that.
  static let life = Duration.seconds(90 * 86400)
  /// Seconds for which an expired certificate is still told of.
  static let memory: Int64 = 30 * 86400
  /// Certificates that are issued to one holder within a day: what a broken one may ask for has an end, and
  /// one that was unlucky goes on the day after.
  static let dailyLimit = 10

  private let vault: Vault
  private let catalog: Catalog
  private let known = Mutex<CertificateAuthority?>(nil)
  /// Whoever issues or revokes does so alone: a renewal does not slip past a revocation.
  private let turn = Mutex(())
  /// What was issued last, by the digest of the renewal: one that is said again, by an unlucky agent or a
  /// relay that wants to use up its certificates, gets the same.
  private let answered = Mutex<[[UInt8]: IssuedCertificate]>([:])
  private static let answersKept = 1000

  init(_ vault: Vault, _ catalog: Catalog) { (self.vault, self.catalog) = (vault, catalog) }

  private var directory: String { vault.path + "/" + VaultService.identityDirectory }

  /// The authority.
  func authority() throws(OperationError) -> CertificateAuthority {
    try known.withLock { known throws(OperationError) in
      if let known { return known }
      let found: CertificateAuthority
      if let opened = try open() { found = opened } else { found = try make() }
      known = found
      return found
    }
  }

  private func open() throws(OperationError) -> CertificateAuthority? {
    try inIdentity { () throws(IdentityError) in
      do throws(IdentityError) {
        return try CertificateAuthority(opening: directory, now: .now())
      } catch {
        guard error.code == .missing else { throw error }
        return nil
      }
    }
  }

  private func make() throws(OperationError) -> CertificateAuthority {
    let description = vault.description
    let made = try inIdentity { () throws(IdentityError) in
      try CertificateAuthority.create(
        in: directory, vault: description.id, vaultName: description.name, now: .now())
    }
    _ = try? catalog.addEvent(
      .info, "authority-created", machine: nil, "The vault's certificate authority was made.",
      now: .now())
    return made
  }

  /// Runs `body` while nothing else is issued or revoked.
  func exclusively<Result>(
    _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try turn.withLock { _ throws(OperationError) in try body() }
  }

  /// Issues a certificate to an agent or relay; call it inside `exclusively`.
  func issue(
    _ role: Role, _ request: CertificateRequest, now: Timestamp
  ) throws(OperationError) -> IssuedCertificate {
    let authority = try authority()
    let issued = try inIdentity { () throws(IdentityError) in
      try authority.issue(role, request: request, validity: Self.life, now: now)
    }
    try keep(issued, of: role)
    return issued
  }

  /// Keeps what was issued, and forgets what expired long ago.
  func keep(_ issued: IssuedCertificate, of role: Role) throws(OperationError) {
    let subject = role.subject ?? vault.description.id
    try inCatalog { () throws(CatalogError) in
      try catalog.add(
        CertificateRecord(
          serial: issued.serial, role: role.kind, subject: subject.description,
          notBefore: issued.notBefore, notAfter: issued.notAfter))
    }
    // What could not be forgotten now is when the next one is issued.
    try? catalog.forgetCertificates(
      expiredBefore: Timestamp(seconds: Timestamp.now().seconds - Self.memory))
  }

  /// Issues a certificate in the place of one that is good, to the same holder in the same role.
  ///
  /// - Throws: a rejection unless the message is signed by the key of a certificate that is neither
  ///   expired nor revoked, and whoever carries it is its holder or a relay.
  func renew(
    _ renewal: Renewal, from peer: PeerIdentity, now: Timestamp
  ) throws(Rejection) -> IssuedCertificate {
    let trust: Trust
    do throws(OperationError) { trust = try authority().trust } catch {
      throw Rejection(.unavailable, error.message)
    }
    let holder: PeerIdentity
    let request: CertificateRequest
    do throws(IdentityError) {
      holder = try trust.verify(certificatePEM: renewal.certificate, now: now)
      request = try CertificateRequest(pem: renewal.request)
    } catch { throw Rejection(.unknown, "The certificate can't be renewed. \(error)") }
    guard holder.verifyingKey.isValid(renewal.signature, for: renewal.digest) else {
      throw Rejection(.unknown, "The renewal is not signed by the key of \(holder).")
    }
    guard holder.role == peer.role || peer.role.kind == "relay", holder.role != .service else {
      throw Rejection(.unknown, "\(peer) can't renew the certificate of \(holder).")
    }
    do throws(OperationError) {
      return try exclusively { () throws(OperationError) in
        try checkRecord(of: holder)
        if let issued = answered.withLock({ $0[renewal.digest] }) { return issued }
        try checkCount(of: holder, now)
        let issued = try issue(holder.role, request, now: now)
        answered.withLock { answered in
          if answered.count >= Self.answersKept { answered = [:] }
          answered[renewal.digest] = issued
        }
        return issued
      }
    } catch {
      throw Rejection(error.code == .refused ? .unknown : .unavailable, error.message)
    }
  }

  private func checkCount(of holder: PeerIdentity, _ now: Timestamp) throws(OperationError) {
    let subject = holder.role.subject ?? vault.description.id
    let live = try inCatalog { () throws(CatalogError) in
      try catalog.liveCertificates(of: subject.description, at: now)
    }
    let today = live.count { $0.notBefore.seconds > now.seconds - 86400 }
    guard today < Self.dailyLimit else {
      throw OperationError(
        .refused, "\(holder.role) got \(today) certificates within a day; it gets more tomorrow.")
    }
  }

  private func checkRecord(of holder: PeerIdentity) throws(OperationError) {
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.certificate(serial: holder.serial)
    }
    guard let record, record.revoked == nil else {
      throw OperationError(.refused, "The certificate of \(holder) is not known, or was revoked.")
    }
    let isKnown = try inCatalog { () throws(CatalogError) in
      switch holder.role {
      case .agent(let machine): try catalog.agent(of: machine).map { $0.revoked == nil } ?? false
      case .relay(let relay): try catalog.server(relay) != nil
      case .service: false
      }
    }
    guard isKnown else {
      throw OperationError(.refused, "\(holder.role) is not known here; it has to enrol anew.")
    }
  }
}

extension Role {
  /// What the holder is, as the catalog keeps it.
  var kind: String {
    switch self {
    case .service: "service"
    case .agent: "agent"
    case .relay: "relay"
    }
  }
}
