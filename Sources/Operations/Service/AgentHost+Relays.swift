public import Bytes
internal import Catalog
internal import FileIO
public import Identity
public import Replication
public import ReplicationService
internal import Synchronization
internal import Vault

/// What relays meet.
extension AgentHost {
  /// What the service shows of itself; nil while it does not listen.
  var credentials: Credentials? { state.withLock { $0.credentials } }

  /// What the service seals with for agents behind relays.
  public var seal: ServiceSeal? {
    credentials.map { credentials in
      ServiceSeal(
        certificate: credentials.identity.certificateDER,
        sign: { (try? credentials.signingKey.sign($0)) ?? [] })
    }
  }

  func isRevoked(_ serial: String) -> Bool { state.withLock { $0.revoked.contains(serial) } }

  /// Refuses certificates from now on, and cuts the connections that were made with them.
  func revoke(_ serials: [String]) {
    let relayed = state.withLock { state in
      state.revoked.formUnion(serials)
      let machines = state.certificates.filter { serials.contains($0.value.serial) }.keys
      return machines.compactMap { state.sessions[$0] }
    }
    state.withLock { $0.listener }?.cut { serials.contains($0.serial) }
    // An agent behind a relay has no connection of its own here.
    for connection in relayed { connection.close() }
    relays.tell(relayOrders(isStatusWanted: false))
  }

  /// The connection of a machine's session; nil if there is none, or only what a relay has left of one.
  func connection(of machine: Identifier) -> Connection? {
    state.withLock { $0.draining.contains(machine) ? nil : $0.sessions[machine] }
  }

  /// Judges the certificate of an agent behind a relay as if it had come by itself.
  public func identify(
    _ certificate: [UInt8], behind relay: PeerIdentity
  ) throws(Rejection) -> PeerIdentity {
    guard let trust = credentials?.trust else {
      throw Rejection(.stopping, "The service is stopping.")
    }
    let peer: PeerIdentity
    do throws(IdentityError) {
      peer = try trust.verify(certificateDER: certificate, now: .now())
    } catch { throw Rejection(.unknown, error.message) }
    guard case .agent = peer.role else {
      throw Rejection(.unknown, "Behind a relay there are agents, not \(peer.role).")
    }
    guard !isRevoked(peer.serial) else {
      throw Rejection(.unknown, "The certificate of \(peer) was revoked.")
    }
    return peer
  }

  /// Keeps which session is the machine's newest, and what it came through.
  ///
  /// - Returns: the name of the session that is about to begin.
  func beginSession(
    of machine: Machine, on connection: Connection
  ) throws(OperationError) -> Identifier {
    let session = Identifier.random()
    try inCatalog { () throws(CatalogError) in
      if case .relay(let relay) = connection.peer.role {
        try catalog.setRelayedSession(session, through: relay, of: machine.id)
      } else {
        try catalog.removeRelayedSession(of: machine.id)
      }
    }
    return session
  }

  /// Sends an agent elsewhere that did not come where its machine is assigned to.
  func checkPlace(of machine: Identifier, on connection: Connection) throws(Rejection) {
    let place: ServerPlace
    do throws(OperationError) { place = try self.place(of: machine) } catch {
      throw Rejection(.unavailable, error.message)
    }
    var relay: Identifier?
    if case .relay(let id) = connection.peer.role { relay = id }
    guard place.relay != relay else { return }
    throw Rejection(.moved, Self.movedText, place: place)
  }

  private static let movedText = "The machine's process server is another one."

  /// Where a machine's agent is to go.
  func place(of machine: Identifier) throws(OperationError) -> ServerPlace {
    try inCatalog { () throws(CatalogError) in
      guard let name = try catalog.settings(of: machine).processServer,
        let server = try catalog.servers().first(where: { $0.name == name })
      else { return .service }
      return ServerPlace(
        relay: server.id, hosts: server.addresses, port: UInt16(clamping: server.port))
    }
  }

  /// Sends a machine's agent where it belongs, if it is elsewhere.
  func redirect(_ machine: Identifier) throws(OperationError) {
    guard let connection = connection(of: machine) else { return }
    let refusal = Refusal(.moved, Self.movedText, place: try place(of: machine))
    try? connection.send(refusal.frame(), within: .seconds(5))
    connection.close()
  }

  /// Gives the log to a relay that has something left of the machine's newest session.
  public func resume(
    _ session: Identifier, of peer: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> OpenLog {
    guard case .agent(let id) = peer.role, case .relay(let relay) = connection.peer.role else {
      throw Rejection(.unknown, "Only a relay has something left of a session.")
    }
    let newest = try Self.rejecting { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in try catalog.relayedSession(of: id) }
    }
    guard let newest, newest == (session, relay) else {
      throw Rejection(.unknown, "The machine has had another session since.")
    }
    try checkFence(of: id, nil)
    return try claim(id) { machine throws(OperationError) in
      try self.open(machine, peer, connection, session: session, isDrain: true)
    }
  }

  /// Keeps what a relay tells, and tells it which certificates are revoked.
  public func heard(
    _ status: RelayStatus, from relay: PeerIdentity, on connection: Connection
  ) throws(Rejection) -> RelayOrders {
    guard case .relay(let id) = relay.role else {
      throw Rejection(.unknown, "Only a relay tells how a relay is doing.")
    }
    try relays.note(status, from: id, on: connection)
    return relayOrders(isStatusWanted: false)
  }

  /// The relay is not connected any more.
  public func lost(_ relay: PeerIdentity, _ connection: Connection) {
    guard case .relay(let id) = relay.role else { return }
    relays.lost(id, connection)
  }

  /// What relays have to know.
  func relayOrders(isStatusWanted: Bool) -> RelayOrders {
    let known = (try? catalog.certificates()) ?? []
    let now = Timestamp.now()
    let revoked = known.filter { $0.revoked != nil && $0.notAfter >= now && $0.role == "agent" }
    return RelayOrders(
      clock: now, isStatusWanted: isStatusWanted, revoked: revoked.map(\.serial))
  }
}
