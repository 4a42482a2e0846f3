public import Bytes
internal import Catalog
internal import FileIO
internal import Identity
public import Replication
internal import Vault

/// A process server: the service itself, or a relay.
public struct ServerStatus: Sendable {
  /// What a server does.
  public enum Kind: String, Sendable, CaseIterable {
    /// Configuration server and process server in one: the service.
    case service
    /// A process server that stands alone.
    case relay
  }

  /// What it does.
  public let kind: Kind
  /// Its name.
  public let name: String
  /// The version it runs.
  public let version: String
  /// The names and addresses it is reached by.
  public let addresses: [String]
  /// The port that agents send to; 0 if it is not known.
  public let port: Int
  /// When it was heard of last.
  public let lastContact: Timestamp?
  /// Names of the machines that are assigned to it.
  public let machines: [String]
  /// How busy it is; nil if it has not told.
  public let load: ServerLoad?
  /// What is wrong with it.
  public let alarms: [HealthFinding]

  /// The worst of what is wrong.
  public var health: MachineStatus.Health { alarms.map(\.severity.health).max() ?? .healthy }
}

extension VaultService {
  /// What the service is called where process servers are named.
  public static let ownServer = "service"

  /// All process servers: the service first, of this version and with this port for agents, then relays by
  /// name.
  public func servers(version: String, port: Int) throws(OperationError) -> [ServerStatus] {
    let (records, assigned) = (try relays(), try assignments())
    return try [own(version, port, assigned)]
      + records.map { status(of: $0, assigned[$0.name, default: []]) }
  }

  private func relays() throws(OperationError) -> [ServerRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.servers() }
  }

  /// The names of protected machines by the name of their process server.
  private func assignments() throws(OperationError) -> [String: [String]] {
    let protected = Set(try inVault { () throws(VaultError) in try vault.machines() }.map(\.id))
    var found: [String: [String]] = [:]
    for agent in try agents() {
      let settings = try inCatalog { () throws(CatalogError) in
        try catalog.settings(of: agent.machine)
      }
      // A machine may be assigned before it is protected.
      guard protected.contains(agent.machine) || settings.processServer != nil else { continue }
      found[settings.processServer ?? Self.ownServer, default: []].append(agent.name)
    }
    return found
  }

  private func status(of record: ServerRecord, _ machines: [String]) -> ServerStatus {
    let heard = agentHost.relays.heard(of: record.id)
    let contact = [record.lastContact, heard?.time].compactMap(\.self).max()
    let silence =
      contact == nil
      ? [HealthFinding(.serverSilent, .critical, "It has never been heard of.")]
      : monitor.silence(of: record, at: .now())
    return ServerStatus(
      kind: .relay, name: record.name, version: record.version, addresses: record.addresses,
      port: record.port, lastContact: contact, machines: machines, load: heard?.status.load,
      alarms: silence + (heard.map { monitor.rules.findings(ofRelay: $0.status.load) } ?? []))
  }

  private func own(
    _ version: String, _ port: Int, _ assigned: [String: [String]]
  ) throws(OperationError) -> ServerStatus {
    let machines = assigned[Self.ownServer, default: []]
    let connected = try agents().count { agentHost.isConnected($0.machine) }
    let (load, findings) = monitor.ownLoad(machines: connected)
    return ServerStatus(
      kind: .service, name: Self.ownServer, version: version, addresses: [], port: port,
      lastContact: .now(), machines: machines, load: load, alarms: findings)
  }

  /// The relay of that name.
  ///
  /// - Throws: `.unknown`.
  private func relay(named name: String) throws(OperationError) -> ServerRecord {
    guard let record = try relays().first(where: { $0.name == name }) else {
      throw OperationError(
        .unknown, "There is no process server '\(name)'; 'tidemark server list' shows them.")
    }
    return record
  }

  /// Asks a relay how it is doing, and waits for the answer; current errors are what it says from then on.
  ///
  /// - Throws: `.unknown`, or `.failed` if it does not answer.
  public func refreshServer(_ name: String) throws(OperationError) {
    guard name != Self.ownServer else { return }
    let record = try relay(named: name)
    guard
      agentHost.relays.refresh(
        record.id, agentHost.relayOrders(isStatusWanted: true), seconds: 10)
    else {
      throw OperationError(
        .failed,
        "The process server '\(name)' does not answer. Check that 'tidemark serve --relay' runs "
          + "there, and that it reaches the service.")
    }
    monitor.lookAtRelays(.now())
  }

  /// Revokes a relay's certificates and forgets it.
  ///
  /// - Throws: `.unknown`, or `.refused` while machines are assigned to it.
  public func removeServer(_ name: String) throws(OperationError) {
    guard name != Self.ownServer else {
      throw OperationError(.refused, "The service itself can't be removed.")
    }
    let record = try relay(named: name)
    let machines = try assignments()[name, default: []]
    guard machines.isEmpty else {
      throw OperationError(
        .refused,
        "\(machines.count) machines send to '\(name)', such as '\(machines[0])'. Move them with "
          + "'tidemark machine set NAME --process-server service' first.")
    }
    // A renewal that is under way comes before, and its certificate is revoked too, or finds no relay.
    let serials = try certificates.exclusively { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in
        let serials = try catalog.revokeCertificates(of: record.id.description, at: .now())
        _ = try catalog.removeServer(record.id)
        return serials
      }
    }
    agentHost.relays.forget(record.id)
    monitor.lookAtRelays(.now())
    agentHost.revoke(serials)
    note(.warning, "server-removed", "The process server '\(name)' was removed.")
  }

  /// Refuses a process server that is critical.
  func checkServer(_ name: String) throws(OperationError) {
    guard name != Self.ownServer else { return }
    let status = status(of: try relay(named: name), [])
    guard status.health == .critical else { return }
    let reasons = status.alarms.filter { $0.severity == .critical }.map(\.message)
    throw OperationError(
      .refused,
      "The process server '\(name)' can't be chosen, for it is critical. "
        + "\(reasons.joined(separator: " ")) 'tidemark server refresh \(name)' asks it anew.")
  }

  /// Trades a registration key for the certificate of a relay.
  ///
  /// - Throws: as `enrol` does.
  public func enrolRelay(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    do throws(OperationError) {
      return try writable.changingList { () throws(OperationError) in try enrolNextRelay(enrolment)
      }
    } catch {
      if error.code == .refused { noteRefusal(of: enrolment, error) }
      throw error
    }
  }

  private func enrolNextRelay(_ enrolment: Enrolment) throws(OperationError) -> Enrolment.Result {
    let (authority, now) = (try authority(), Timestamp.now())
    try checkClock(enrolment.clock, now)
    let name = try enrolment.freeName(
      of: "relay", besides: [Self.ownServer] + (try relays()).map(\.name)
    ) { "There is a process server '\($0)' already. Choose another with --name." }
    let digest = Self.text(of: enrolment.key.digest)
    let used = try inCatalog { () throws(CatalogError) in
      // A key that was made for one machine enrols nothing else.
      let key = try catalog.goodRegistrationKey(digest: digest, now: now)
      guard let key, key.machine == nil else { return RegistrationKeyRecord?.none }
      return try catalog.useRegistrationKey(digest: digest, now: now)
    }
    guard used != nil, enrolment.key.fingerprint == authority.fingerprint else {
      throw Self.badKey
    }
    let id = Identifier.random()
    let issued = try certificates.exclusively { () throws(OperationError) in
      try certificates.issue(.relay(id), enrolment.request, now: now)
    }
    try inCatalog { () throws(CatalogError) in
      try catalog.set(
        ServerRecord(
          id: id, name: name, version: enrolment.version, addresses: enrolment.addresses,
          port: 0, enrolled: now))
    }
    note(
      .info, "server-enrolled", "'\(enrolment.hostName)' enrolled as process server '\(name)'.")
    return Enrolment.Result(
      machine: id, name: name, certificate: issued, authority: authority.certificatePEM)
  }
}
