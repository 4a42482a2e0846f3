public import Bytes
internal import Catalog
internal import FileIO
public import Identity
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

extension VaultService {
  /// How long an agent's certificate is good for; agents renew after two thirds of that.
  static let agentCertificateLife = Duration.seconds(90 * 86400)

  /// Trades a registration key for a certificate.
  ///
  /// The key is used up before the certificate is made: a crash costs a key, and never gives two
  /// machines one.
  /// - Throws: `.refused` for a key that is not known, used up or expired, clocks too far apart, or a name
  ///   that is taken or breaks the rules; `.failed`, `.unwritable`.
  public func enrol(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    // One after the other, so that no two get one name.
    try writable.changingList { () throws(OperationError) in try enrolNext(enrolment) }
  }

  private func enrolNext(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    let (authority, now) = (try authority(), Timestamp.now())
    try checkClock(enrolment.clock, now)
    let name = try nameInVault(enrolment)
    let used = try inCatalog { () throws(CatalogError) in
      try catalog.useRegistrationKey(digest: Self.text(of: enrolment.key.digest), now: now)
    }
    guard used != nil, enrolment.key.fingerprint == authority.fingerprint else {
      note(
        .warning, "enrolment-refused",
        "'\(enrolment.hostName)' tried to enrol with a key that is not good.")
      throw OperationError(
        .refused,
        "The registration key is not known here, was used already, or has expired. Make another one "
          + "with 'tidemark key create' at the service.")
    }
    let machine = Identifier.random()
    let issued = try inIdentity { () throws(IdentityError) in
      try authority.issue(
        .agent(machine), request: enrolment.request, validity: Self.agentCertificateLife, now: now)
    }
    try inCatalog { () throws(CatalogError) in
      try catalog.add(
        CertificateRecord(
          serial: issued.serial, role: "agent", subject: machine.description,
          notBefore: issued.notBefore, notAfter: issued.notAfter))
      try catalog.set(
        AgentRecord(
          machine: machine, name: name, hostName: enrolment.hostName,
          operatingSystem: enrolment.operatingSystem.name, version: enrolment.version,
          addresses: enrolment.addresses, disks: [], enrolled: now, lastContact: now))
    }
    note(.info, "agent-enrolled", machine: name, "'\(enrolment.hostName)' enrolled as '\(name)'.")
    return Enrolment.Result(
      machine: machine, name: name, certificate: issued, authority: authority.certificatePEM)
  }

  private func checkClock(_ clock: Timestamp, _ now: Timestamp) throws(OperationError) {
    let apart = abs(clock.seconds - now.seconds)
    guard apart > Enrolment.clockLimit else { return }
    throw OperationError(
      .refused,
      "The machine's clock and the service's are \(apart) seconds apart; "
        + "\(Enrolment.clockLimit) are allowed. Set both by a time server.")
  }

  private func nameInVault(_ enrolment: Enrolment) throws(OperationError) -> String {
    let first = enrolment.hostName.split(separator: ".").first.map(String.init)
    let name = enrolment.name ?? first ?? ""
    if let objection = NameRule.objection(to: name) {
      throw OperationError(
        .refused, "A machine can't be named '\(name)': \(objection). Choose one with --name.")
    }
    let agents = try inCatalog { () throws(CatalogError) in try catalog.agents() }
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    let taken = agents.map(\.name) + machines.map(\.name)
    guard !taken.contains(where: { $0.lowercased() == name.lowercased() }) else {
      throw OperationError(
        .refused, "There is a machine '\(name)' already. Choose another name with --name.")
    }
    return name
  }
}
