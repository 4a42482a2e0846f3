public import Bytes
internal import Catalog
internal import Dispatch
internal import FileIO
public import Identity
public import Replication
public import ReplicationService
internal import Synchronization
public import Vault

/// What agents meet: lets them in, keeps one session a machine, and remembers what they tell.
public final class AgentHost: ReplicationHost {
  let vault: Vault
  let writable: WritableVault
  let catalog: Catalog
  private let authority: VaultAuthority
  let refusals: RefusalLog
  /// What is known of relays.
  let relays: RelayDesk
  let state = Mutex(State())
  /// Held while an order is put together and sent, so that the last one is the one that holds.
  let orders = Mutex(())
  /// What agents did since the service began.
  public let activity = ActivityBook()
  let health: HealthBook
  let jobs: JobRunner
  /// The resynchronisations that run.
  let live = Mutex<[Identifier: LiveResynchronisation]>([:])
  /// The orders to shut a source down that are being waited for.
  let shutdowns = Mutex<[Identifier: PendingShutdown]>([:])
  /// Held while one begins, so that no machine gets two.
  let deciding = Mutex(())
  /// The clock that opens windows, and that the hours of a limit are of.
  let clock: @Sendable () -> Timestamp

  struct State: Sendable {
    /// The connection of each machine's session, or of what a relay has left of one.
    var sessions: [Identifier: Connection] = [:]
    /// The log of each.
    var logs: [Identifier: SessionLog] = [:]
    /// Machines of which a relay brings what it has left: no agent is there to be told anything.
    var draining: Set<Identifier> = []
    /// The disks of each machine in session.
    var disks: [Identifier: [DiskNumber]] = [:]
    /// Machines whose agents were let in and have said nothing since: for these, whether there are
    /// orders they have to hear of then, and whether one of them is for a cycle at once.
    var newcomers: [Identifier: (isOrdered: Bool, isNow: Bool)] = [:]
    /// What the agent of each machine in session was told last that it may send, in bytes a second.
    var bandwidths: [Identifier: UInt64] = [:]
    var contacts: [Identifier: Timestamp] = [:]
    var revoked: Set<String> = []
    /// The certificate that each machine's session was begun with, by the agent itself or through a relay.
    var certificates: [Identifier: PeerIdentity] = [:]
    var credentials: Credentials?
    /// Damage of machines' logs that was looked into, by what was said of it last.
    var damages: [Identifier: String] = [:]
    /// Machines whose agents are kept out for a moment.
    var barred: Set<Identifier> = []
    var listener: Listener?
    /// Sessions that wait for an older one of their machine.
    var waiting = 0
  }

  /// The log of a session. `@unchecked Sendable`: only whoever has its turn uses it.
  final class SessionLog: @unchecked Sendable {
    let log: MachineWriter
    let turn = LogTurn()

    init(_ log: MachineWriter) { self.log = log }
  }

  /// Seconds between two notes in the catalog that an agent is alive.
  private static let contactInterval: Int64 = 10

  init(
    _ writable: WritableVault, _ catalog: Catalog, _ authority: VaultAuthority,
    _ health: HealthBook, _ jobs: JobRunner, clock: @escaping @Sendable () -> Timestamp
  ) {
    (vault, self.writable, self.catalog) = (writable.vault, writable, catalog)
    (self.authority, self.health) = (authority, health)
    (self.jobs, self.clock) = (jobs, clock)
    refusals = RefusalLog(catalog)
    relays = RelayDesk(catalog)
  }

  /// Listens for agents from now on; gives the port.
  ///
  /// - Throws: `.failed` if the port can't be listened on.
  public func listen(
    _ settings: ListenerSettings, credentials: Credentials, release: String
  ) throws(OperationError) -> Int {
    let known = try inCatalog { () throws(CatalogError) in try catalog.certificates() }
    let revoked = Set(known.filter { $0.revoked != nil }.map(\.serial))
    state.withLock { ($0.revoked, $0.credentials) = (revoked, credentials) }
    do throws(TransportError) {
      let listener = try Listener(
        credentials: credentials, settings: settings, now: { .now() },
        isRevoked: { [self] peer in state.withLock { $0.revoked.contains(peer.serial) } },
        report: { [self] in refused($0) },
        makeHandler: { [self] in PeerHandler(peer: $0, host: self, release: release) })
      state.withLock { $0.listener = listener }
      return listener.port
    } catch { throw OperationError(.failed, error.message) }
  }

  func note(
    _ severity: Severity, _ code: String, of machine: String?, _ message: String
  ) {
    _ = try? catalog.addEvent(severity, code, machine: machine, message, now: .now())
  }

  private func refused(_ report: RefusalReport) {
    // Told on an event loop, which must not wait for the catalog.
    DispatchQueue.global().async { [self] in
      note(
        .warning, "connections-refused", of: nil,
        "\(report.count) connections were turned away, the last one from \(report.address): "
          + report.reason)
    }
  }

  /// Ends all sessions and listens no more.
  public func stop() {
    let listener = state.withLock { state in
      defer { state.listener = nil }
      return state.listener
    }
    // A handler that does not return in time leaves its log as a crash would.
    try? listener?.stop(within: .seconds(20))
  }

  /// Shows another certificate from the next connection on; those that live go on.
  func replace(_ credentials: Credentials) throws(OperationError) {
    do throws(TransportError) {
      try state.withLock({ $0.listener })?.replace(credentials: credentials)
    } catch { throw OperationError(.failed, error.message) }
    state.withLock { $0.credentials = credentials }
  }

  /// Cuts the connections whose certificates' time is over, which can only be judged when they begin.
  func cutExpired(at now: Timestamp) {
    state.withLock { $0.listener }?.cut(because: "expired") { $0.notAfter < now }
    // An agent behind a relay has no connection of its own here.
    let relayed = state.withLock { state in
      state.certificates.filter { $0.value.notAfter < now }.compactMap { state.sessions[$0.key] }
    }
    for connection in relayed { connection.close() }
  }

  /// Whether a machine's agent is connected.
  public func isConnected(_ machine: Identifier) -> Bool {
    state.withLock { $0.sessions[machine] != nil && !$0.draining.contains(machine) }
  }

  /// Whoever is connected now, in session or not.
  public var peers: [PeerIdentity] { state.withLock { $0.listener }?.peers ?? [] }

  /// Issues a new certificate in the place of a good one.
  public func renew(
    _ renewal: Renewal, from peer: PeerIdentity
  ) throws(Rejection) -> Renewed {
    let issued = try authority.renew(renewal, from: peer, now: .now())
    note(
      .info, "certificate-renewed", of: nil, "\(peer.role) has a new certificate, \(issued.serial)."
    )
    return Renewed(certificate: issued.pem)
  }

  /// Lets an agent in if it is known, its clock is right and its machine is protected.
  public func admit(
    _ peer: PeerIdentity, _ hello: Hello, on connection: Connection
  ) throws(Rejection) -> OpenLog {
    guard case .agent(let id) = peer.role else {
      throw Rejection(.unknown, "Only an agent can speak for a machine.")
    }
    try Self.checkClock(hello.clock)
    // An old hello that a relay says again shall not pass for a sign of life.
    try checkPlace(of: id, on: connection)
    try remember(hello, of: id)
    // What is being changed may be taken back, and a source that is refused for good fences itself.
    try checkBar(of: id)
    try checkFence(of: id, hello.epoch)
    return try claim(id) { machine throws(OperationError) in
      let session = try beginSession(of: machine, on: connection)
      return try open(machine, peer, connection, session: session, told: hello.epoch)
    }
  }

  /// Runs `body`, and refuses the agent for as long as it fails.
  static func rejecting<Result>(
    _ body: () throws(OperationError) -> Result
  ) throws(Rejection) -> Result {
    do { return try body() } catch { throw Rejection(.unavailable, error.message) }
  }

  private static func checkClock(_ clock: Timestamp) throws(Rejection) {
    let apart = abs(clock.seconds - Timestamp.now().seconds)
    guard apart <= Enrolment.clockLimit else {
      throw Rejection(
        .clock,
        "The machine's clock is \(apart) seconds away from the service's; "
          + "\(Enrolment.clockLimit) are allowed. Set both by a time server.")
    }
  }

  /// Notes what an agent says of itself.
  private func remember(_ hello: Hello, of machine: Identifier) throws(Rejection) {
    let known = try Self.rejecting { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in try catalog.agent(of: machine) }
    }
    guard var agent = known, agent.revoked == nil else { throw Self.unknown }
    agent.hostName = hello.hostName
    agent.version = hello.release
    agent.addresses = hello.addresses
    agent.lastContact = .now()
    agent.disks = hello.disks.map {
      AgentRecord.Disk(
        number: Int($0.configuration.number), path: $0.configuration.path,
        size: $0.size == 0 ? nil : $0.size, capture: $0.configuration.capture.name,
        format: $0.configuration.format.name)
    }
    agent.findings = hello.findings.map {
      AgentRecord.Finding(
        subject: $0.subject, verdict: "\($0.verdict)", found: $0.found, advice: $0.advice)
    }
    agent.hardware = AgentRecord.Hardware(hello.hardware)
    activity.change(machine) { $0.hellos += 1 }
    let described = agent
    let isKnown = try Self.rejecting { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in try catalog.change(described) }
    }
    guard isKnown else { throw Self.unknown }
  }

  private static var unknown: Rejection {
    Rejection(.unknown, "The machine is not known here any more; it has to enrol anew.")
  }

  /// Opens the log of a machine for a session that was begun with the certificate of `peer`, or, if
  /// `isDrain`, for what a relay has left of one.
  func open(
    _ machine: Machine, _ peer: PeerIdentity, _ connection: Connection, session: Identifier,
    told: UInt32? = nil, isDrain: Bool = false
  ) throws(OperationError) -> OpenLog {
    let log = try openLog(of: machine)
    // It may have failed over since that was looked at; the agent comes again, and hears of it then.
    guard told.map({ $0 >= log.epoch }) ?? true else {
      throw OperationError(.refused, "The machine has failed over just now.")
    }
    let opened = SessionLog(log)
    let disks = log.configuration.disks.map(\.number)
    // In one step: a revocation, or whoever keeps agents out, finds the session, or is found here.
    let (isRevoked, isBarred) = state.withLock { state -> (Bool, Bool) in
      let isBarred = state.barred.contains(machine.id)
      guard !isBarred, !state.revoked.contains(peer.serial) else { return (!isBarred, isBarred) }
      (state.sessions[machine.id], state.certificates[machine.id]) = (connection, peer)
      state.logs[machine.id] = opened
      state.disks[machine.id] = disks
      if isDrain {
        state.draining.insert(machine.id)
      } else {
        state.newcomers[machine.id] = (false, false)
      }
      return (false, false)
    }
    guard !isBarred else {
      throw OperationError(.refused, "The protection of the machine is being changed.")
    }
    guard !isRevoked else {
      throw OperationError(.refused, "The certificate of \(peer) was revoked.")
    }
    // Only now: what is ordered from here on is told behind the welcome.
    let assigned: Assignment
    do throws(OperationError) { assigned = try assignment(of: machine.id, disks) } catch {
      // Somebody may have found its log meanwhile, which another writer is about to open.
      opened.turn.last {}
      forgetSession(of: machine.id)
      throw error
    }
    if !isDrain { state.withLock { $0.bandwidths[machine.id] = assigned.bandwidth } }
    return OpenLog(
      log: log, vault: vault.description.id, epoch: log.epoch, assignment: assigned,
      session: session, turn: opened.turn)
  }

  /// Opens a machine's log for writing; damage that keeps it shut is told to whoever looks at the service.
  private func openLog(of machine: Machine) throws(OperationError) -> MachineWriter {
    do throws(OperationError) {
      return try inVault { () throws(VaultError) in
        try MachineWriter(machine: machine, in: vault, lock: writable.lock)
      }
    } catch {
      if error.code == .damaged {
        refusals.note(
          "log-damaged", kind: "\(machine.id)", machine: machine.name,
          "Nothing is taken from the agent of '\(machine.name)', for its log can't be written to: "
            + "\(error.message) 'tidemark verify \(machine.name)' tells more.")
      }
      throw error
    }
  }

  private func forgetSession(of machine: Identifier) {
    state.withLock { state in
      (state.sessions[machine], state.certificates[machine]) = (nil, nil)
      state.logs[machine] = nil
      (state.newcomers[machine], state.bandwidths[machine]) = (nil, nil)
      state.draining.remove(machine)
    }
  }

  /// Notes the contact, every few seconds.
  public func isAlive(_ machine: Identifier, clock: Timestamp) { contacted(machine) }

  /// Keeps the newest report; a failure is a health error until the next success.
  public func reported(_ report: Report, by machine: Identifier) {
    contacted(machine)
    // After a restart nothing is known of what was told before, and what is kept may be out of date.
    let before = activity.activity(of: machine).report
    activity.change(machine) { $0.take(report) }
    if before?.failure != report.failure {
      try? noteFailure(.cycleFailed, report.failure, of: machine)
    }
    if before?.applicationFailure != report.applicationFailure {
      try? noteFailure(.applicationPointFailed, report.applicationFailure, of: machine)
    }
    count(report, by: machine)
  }

  private func noteFailure(
    _ code: HealthCode, _ failure: String, of machine: Identifier
  ) throws(CatalogError) {
    guard let name = try catalog.agent(of: machine)?.name else { return }
    guard !failure.isEmpty else { return health.clear(name, code, at: .now()) }
    health.raise(HealthFinding(code, .warning, failure), of: name, at: .now())
  }

  private func contacted(_ machine: Identifier) {
    guard !state.withLock({ $0.draining.contains(machine) }) else { return }
    welcomed(machine)
    let now = Timestamp.now()
    activity.heard(of: machine, at: now)
    let isDue = state.withLock { state in
      if let last = state.contacts[machine], now.seconds - last.seconds < Self.contactInterval {
        return false
      }
      state.contacts[machine] = now
      return true
    }
    guard isDue else { return }
    try? catalog.noteContact(with: machine, at: now)
    _ = try? beginIfDue(machine)
  }

  /// Notes the contact, and what came.
  public func stored(_ bytes: Int, point: RecoveryPoint?, of machine: Identifier) {
    contacted(machine)
    activity.stored(bytes, point: point, of: machine)
    // Before the agent hears of its point, so that what it does next is a cycle like any other.
    if let point { completed(machine, with: point) }
  }

  /// Counts the time.
  public func spent(_ duration: Duration, storing machine: Identifier) {
    activity.change(machine) { $0.sums.storing &+= duration.nanoseconds }
  }

  /// Refuses groups while the room is left only that mending a full vault takes.
  public func checkRoom() throws(Rejection) { try checkRoom { Vault.reserve(of: $0) / 2 } }

  func checkRoom(_ reserve: (UInt64) -> UInt64) throws(Rejection) {
    let space = try Self.rejecting { () throws(OperationError) in
      try inVault { () throws(VaultError) in try vault.space() }
    }
    guard space.free <= reserve(space.total) else { return }
    throw Rejection(
      .full,
      "The vault is full: \(space.free >> 20) MiB are free. Make room there; the agent goes on by "
        + "itself, and nothing that was stored is lost.")
  }

  /// Lets go of the machine.
  public func ended(_ machine: Identifier, reason: String?) {
    forgetSession(of: machine)
    paused(machine)
    writable.end(machine)
  }
}
