internal import Bytes
internal import Catalog
internal import FileIO
internal import Identity
internal import Vault

extension VaultService {
  /// Which machine an enrolment is of.
  private struct Claim {
    var machine: Identifier
    var name: String
    /// Whether it was known before.
    var isKnown = false
    /// Whether what was issued to it before is worth nothing any more.
    var isReplaced = false
  }

  /// Trades a registration key for a certificate.
  ///
  /// A machine that proves that it has the key of an earlier certificate, expired or not, stays the machine
  /// that it was; so does one whose registration key was made for it, and then what it had before is
  /// revoked. The registration key is used up before the certificate is made: a crash costs a key, and
  /// never gives two machines one.
  /// - Throws: `.refused` for a key that is not known, used up or expired, clocks too far apart, a name
  ///   that is taken or breaks the rules, or an earlier identity that was revoked; `.failed`,
  ///   `.unwritable`.
  public func enrol(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    do throws(OperationError) {
      // One after the other, so that no two get one name.
      return try writable.changingList { () throws(OperationError) in try enrolNext(enrolment) }
    } catch {
      if error.code == .refused { noteRefusal(of: enrolment, error) }
      throw error
    }
  }

  func noteRefusal(of enrolment: Enrolment, _ error: OperationError) {
    // Anybody can ask, as often and by whatever name: neither names nor numbers make it something else.
    let kind = String(error.message.filter { !$0.isNumber }.prefix(24))
    agentHost.refusals.note(
      "enrolment-refused", kind: kind,
      "'\(enrolment.hostName.prefix(100))' tried to enrol and was refused: \(error.message)")
  }

  private func enrolNext(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    let (authority, now) = (try authority(), Timestamp.now())
    try checkClock(enrolment.clock, now)
    let digest = Self.text(of: enrolment.key.digest)
    let found = try inCatalog { () throws(CatalogError) in
      try catalog.goodRegistrationKey(digest: digest, now: now)
    }
    guard let found, enrolment.key.fingerprint == authority.fingerprint else {
      throw Self.badKey
    }
    let claim = try claim(of: enrolment, found, authority.trust)
    let used = try inCatalog { () throws(CatalogError) in
      try catalog.useRegistrationKey(digest: digest, now: now)
    }
    guard used != nil else { throw Self.badKey }
    let (revoked, issued) = try certificates.exclusively { () throws(OperationError) in
      let revoked = try inCatalog { () throws(CatalogError) in
        claim.isReplaced
          ? try catalog.revokeCertificates(of: claim.machine.description, at: now) : []
      }
      return (revoked, try certificates.issue(.agent(claim.machine), enrolment.request, now: now))
    }
    agentHost.revoke(revoked)
    try remember(enrolment, claim, now)
    return Enrolment.Result(
      machine: claim.machine, name: claim.name, certificate: issued,
      authority: authority.certificatePEM)
  }

  static var badKey: OperationError {
    OperationError(
      .refused,
      "The registration key is not known here, was used already, or has expired. Make another one "
        + "with 'tidemark key create' at the service.")
  }

  private func remember(
    _ enrolment: Enrolment, _ claim: Claim, _ now: Timestamp
  ) throws(OperationError) {
    try inCatalog { () throws(CatalogError) in
      let old = try catalog.agent(of: claim.machine)
      var agent = AgentRecord(
        machine: claim.machine, name: claim.name, hostName: enrolment.hostName,
        operatingSystem: enrolment.operatingSystem.name, version: enrolment.version,
        addresses: enrolment.addresses, disks: old?.disks ?? [], enrolled: now, lastContact: now)
      agent.hardware = old?.hardware
      try catalog.set(agent)
    }
    health.clear(claim.name, .agentRevoked, at: now)
    note(
      .info, "agent-enrolled", machine: claim.name,
      "'\(enrolment.hostName)' enrolled \(claim.isKnown ? "again " : "")as '\(claim.name)'.")
  }

  func checkClock(_ clock: Timestamp, _ now: Timestamp) throws(OperationError) {
    let apart = abs(clock.seconds - now.seconds)
    guard apart > Enrolment.clockLimit else { return }
    throw OperationError(
      .refused,
      "The machine's clock and the service's are \(apart) seconds apart; "
        + "\(Enrolment.clockLimit) are allowed. Set both by a time server.")
  }

  /// Tells which machine enrols: what the operator's key says counts most, then what the machine proves.
  private func claim(
    of enrolment: Enrolment, _ key: RegistrationKeyRecord, _ trust: Trust
  ) throws(OperationError) -> Claim {
    if let machine = key.machine {
      return try known(machine, enrolment, isReplaced: true)
    }
    guard let previous = enrolment.previous else {
      return Claim(machine: .random(), name: try freeName(enrolment))
    }
    let holder = try inIdentity { () throws(IdentityError) in
      try previous.holder(for: enrolment.request, trust)
    }
    let record = try inCatalog { () throws(CatalogError) in
      try catalog.certificate(serial: holder.serial)
    }
    guard case .agent(let machine) = holder.role, let record, record.revoked == nil else {
      throw OperationError(
        .refused,
        "The identity this machine had is not known here, or was revoked. Make a key for it with "
          + "'tidemark key create --machine NAME' at the service, or choose another name with --name."
      )
    }
    return try known(machine, enrolment, isReplaced: false)
  }

  private func known(
    _ machine: Identifier, _ enrolment: Enrolment, isReplaced: Bool
  ) throws(OperationError) -> Claim {
    guard let name = try name(of: machine) else {
      throw OperationError(
        .refused, "The machine that is to enrol again is not known here any more.")
    }
    guard enrolment.name == nil || enrolment.name == name else {
      throw OperationError(
        .refused, "The machine is '\(name)' here, and keeps that name. Leave out --name.")
    }
    return Claim(machine: machine, name: name, isKnown: true, isReplaced: isReplaced)
  }

  private func freeName(_ enrolment: Enrolment) throws(OperationError) -> String {
    let agents = try inCatalog { () throws(CatalogError) in try catalog.agents() }
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    return try enrolment.freeName(of: "machine", besides: agents.map(\.name) + machines.map(\.name))
    {
      "There is a machine '\($0)' already. Choose another name with --name; or, if it is this one, "
        + "have a key made with 'tidemark key create --machine \($0)'."
    }
  }
}

extension Enrolment {
  /// The name that was asked for, or the first part of the host's.
  ///
  /// - Throws: `.refused` if it breaks a rule, or is taken, which `taken` tells of.
  func freeName(
    of kind: String, besides others: [String], _ taken: (String) -> String
  ) throws(OperationError) -> String {
    let first = hostName.split(separator: ".").first.map(String.init)
    let name = name ?? first ?? ""
    if let objection = NameRule.objection(to: name) {
      throw OperationError(
        .refused, "A \(kind) can't be named '\(name)': \(objection). Choose one with --name.")
    }
    guard !others.contains(where: { $0.lowercased() == name.lowercased() }) else {
      throw OperationError(.refused, taken(name))
    }
    return name
  }
}
