internal import Bytes
internal import FileIO
public import Identity
public import Replication
internal import Synchronization
internal import Vault

/// The service's end of one agent's session: brings what the agent sends into its machine's log.
///
/// Groups are appended as they come; once none waits, or enough have gathered, one fdatasync makes them
/// durable, and only then they are acknowledged, all at once. What breaks the
/// protocol or does not fit the log ends the session with a refusal that says so, and leaves the log as
/// the last acknowledged group left it, or a later one.
public final class AgentHandler: ConnectionHandler {
  /// Bytes of groups an agent may send ahead.
  public static let window: UInt32 = 12 << 20

  private let peer: PeerIdentity
  private let host: any ReplicationHost
  private let release: String
  private let replyTime: Duration
  private let state: Mutex<State>

  /// `@unchecked Sendable`: the listener's calls come one after another, and whoever else has the log has its
  /// turn.
  private final class Open: @unchecked Sendable {
    let machine: Identifier
    let log: MachineWriter
    let turn: LogTurn
    var answers: DigestAnswers
    /// The end of the groups that are appended and not acknowledged, and their bytes.
    var unanswered: (last: SequenceNumber, bytes: Int)?

    init(_ machine: Identifier, _ opened: OpenLog) {
      (self.machine, log, turn) = (machine, opened.log, opened.turn)
      answers = DigestAnswers(opened.log)
    }
  }

  private struct State: Sendable {
    var session: VaultSession
    var open: Open?
    /// The agent was refused: what it sent before it heard of that means nothing.
    var isRefused = false
  }

  /// Handles the session of `peer`, an agent; `release` is the service's.
  ///
  /// `seal` is what the service seals with, if the connection is that of a relay. `replyTime` is how long
  /// an answer may wait for a peer that does not read.
  public init(
    peer: PeerIdentity, host: any ReplicationHost, release: String, seal: ServiceSeal? = nil,
    replyTime: Duration = .seconds(60)
  ) {
    (self.peer, self.host, self.release, self.replyTime) = (peer, host, release, replyTime)
    state = Mutex(State(session: VaultSession(isSigned: peer.isSigned, seal: seal)))
  }

  /// Waits for the hello.
  public func connected(_ connection: Connection) {}

  /// Does what a frame asks for.
  public func received(_ frame: Frame, on connection: Connection) {
    guard !state.withLock({ $0.isRefused }) else { return }
    refusing(on: connection) { () throws(Rejection) in
      let step: VaultSession.Step
      do throws(ProtocolError) {
        step = try state.withLock { state throws(ProtocolError) in
          try state.session.receive(frame)
        }
      } catch { throw Rejection(error.code == .epoch ? .epoch : .protocolBroken, error.message) }
      try act(step, on: connection)
    }
  }

  /// Has everything that is sent sealed: the connection is that of a relay.
  func seal(_ connection: Connection) {
    connection.seal { [self] frame in state.withLock { $0.session.outgoing(frame) } }
  }

  /// Takes what a relay has left of a session that is over; tells it first how far the log is.
  func drain(_ session: Identifier, on connection: Connection) {
    refusing(on: connection) { () throws(Rejection) in
      guard case .agent(let machine) = peer.role else {
        throw Rejection(.unknown, "Only an agent can speak for a machine.")
      }
      let admitted = try host.resume(session, of: peer, on: connection)
      let open = Open(machine, admitted)
      state.withLock { state in
        state.open = open
        state.session = VaultSession(
          draining: VaultSession.Terms(
            vault: admitted.vault, machine: machine, epoch: admitted.epoch, session: session,
            window: Self.window), isSigned: peer.isSigned)
      }
      let position = try open.turn.step { () throws(Rejection) in
        try inLog { () throws(VaultError) in try open.log.position() }
      }
      try reply(Stored(through: position.sequence).frame(), connection)
    }
  }

  /// Runs `body`; where it is rejected the session ends, and the agent is told why.
  private func refusing(on connection: Connection, _ body: () throws(Rejection) -> Void) {
    do throws(Rejection) { try body() } catch {
      host.refused(peer, error.refusal)
      let frame = state.withLock { state in
        state.isRefused = true
        return state.session.refuse(error.refusal)
      }
      // The log is free at once, however long a peer takes that does not read.
      end(error.refusal.text)
      try? connection.send(frame, within: replyTime)
      connection.close()
    }
  }

  /// Makes durable what was appended.
  public func caughtUp(on connection: Connection) {
    guard let open = state.withLock({ $0.open }) else { return }
    refusing(on: connection) { () throws(Rejection) in
      try open.turn.step { () throws(Rejection) in try answer(open, connection) }
    }
  }

  /// Gives the log back.
  public func closed(_ connection: Connection, error: TransportError?) {
    if let error, error.code == .malformed {
      host.refused(peer, Refusal(.protocolBroken, error.message))
    }
    end(error?.message)
  }

  private func end(_ reason: String?) {
    let open = state.withLock { state in
      defer { state.open = nil }
      return state.open
    }
    guard let open else { return }
    // What was acknowledged is durable already; closing only vouches for it once more.
    open.turn.last { try? open.log.close() }
    host.ended(open.machine, reason: reason)
  }

  private func act(_ step: VaultSession.Step, on connection: Connection) throws(Rejection) {
    if case .greet(let hello) = step { return try greet(hello, connection) }
    if case .renew(let renewal) = step {
      try reply(try host.renew(renewal, from: connection.peer).frame(), connection)
      return connection.close()
    }
    guard let open = state.withLock({ $0.open }) else { return }
    try open.turn.step { () throws(Rejection) in try act(step, open, connection) }
  }

  private func act(
    _ step: VaultSession.Step, _ open: Open, _ connection: Connection
  ) throws(Rejection) {
    switch step {
    case .greet, .renew: return
    case .store(let group): try store(group, open, connection)
    case .blocks(let query):
      let answer = try inLog { () throws(VaultError) in try open.answers.answer(query) }
      try answered(answer, query.disk, open, connection)
    case .pages(let query):
      let answer = try inLog { () throws(VaultError) in try open.answers.answer(query) }
      try answered(answer, query.disk, open, connection)
    case .report(let report): host.reported(report, by: open.machine)
    case .doubt(let doubt): host.doubted(doubt, by: open.machine)
    case .shutdown(let state): host.isShuttingDown(open.machine, state)
    case .alive(let heartbeat):
      host.isAlive(open.machine, clock: heartbeat.clock)
      // Idle: one more sync vouches for what was acknowledged last.
      try inLog { () throws(VaultError) in try open.log.close() }
      try reply(Heartbeat(clock: .now()).frame(), connection)
    }
  }

  private func answered(
    _ answer: Digests, _ disk: DiskNumber, _ open: Open, _ connection: Connection
  ) throws(Rejection) {
    if answer.digests.contains(nil) {
      let text = "The vault can't read all it has stored of disk \(disk): it is damaged."
      host.doubted(Doubt([Doubt.Finding(.damaged, disk: disk, text)]), by: open.machine)
    }
    try reply(answer.frame(), connection)
  }

  private func greet(_ hello: Hello, _ connection: Connection) throws(Rejection) {
    if let introduction = state.withLock({ $0.session.introduction }) {
      try reply(introduction, connection)
    }
    guard case .agent(let machine) = peer.role else {
      throw Rejection(.unknown, "Only an agent can speak for a machine.")
    }
    let version: UInt16
    do throws(ProtocolError) { version = try ProtocolVersion.common(hello.versions) } catch {
      throw Rejection(.protocolBroken, error.message)
    }
    let admitted = try host.admit(peer, hello, on: connection)
    let open = Open(machine, admitted)
    state.withLock { $0.open = open }
    let welcome = try open.turn.step { () throws(Rejection) in
      try makeWelcome(admitted, machine, version)
    }
    try reply(state.withLock { $0.session.welcome(welcome) }, connection)
  }

  private func makeWelcome(
    _ admitted: OpenLog, _ machine: Identifier, _ version: UInt16
  ) throws(Rejection) -> Welcome {
    let log = admitted.log
    let position = try inLog { () throws(VaultError) in try log.position() }
    return Welcome(
      version: version, release: release, clock: .now(), vault: admitted.vault, machine: machine,
      codec: log.codec, epoch: admitted.epoch, session: admitted.session, position: position,
      cycle: log.cycle,
      hasUnmarkedWrites: log.hasUnmarkedWrites, hasCursor: log.cursor != nil,
      disks: log.points.last?.disks ?? [], window: Self.window, assignment: admitted.assignment)
  }

  private func store(
    _ group: Group, _ open: Open, _ connection: Connection
  ) throws(Rejection) {
    try host.checkRoom()
    let start = ContinuousClock.now
    let point = try inLog { () throws(VaultError) in try open.log.store(group) }
    host.spent(ContinuousClock.now - start, storing: open.machine)
    let bytes = (open.unanswered?.bytes ?? 0) + group.records.count
    open.unanswered = (group.last, bytes)
    if group.end == .commit {
      if bytes >= Self.commitSize { try answer(open, connection) }
      return
    }
    try answer(open, connection, point: point)
    guard point != nil else { return }
    // For the sake of readers; what is left is done after the next point.
    let damage = try inLog { () throws(VaultError) in
      try open.log.mergeRuns(entryBudget: Self.mergeBudget)
    }
    if let damage { host.damaged(open.machine, damage.message) }
  }

  /// Makes durable and acknowledges what was appended; `point` is what it ended with.
  private func answer(
    _ open: Open, _ connection: Connection, point: RecoveryPoint? = nil
  ) throws(Rejection) {
    guard let (last, bytes) = open.unanswered else { return }
    let start = ContinuousClock.now
    try inLog { () throws(VaultError) in try open.log.commit() }
    host.spent(ContinuousClock.now - start, storing: open.machine)
    open.unanswered = nil
    host.stored(bytes, point: point, of: open.machine)
    try reply(state.withLock { $0.session.stored(through: last, point: point) }, connection)
  }

  /// Bytes of groups that are appended before one fdatasync, while more wait: less than the window, so
  /// that the agent goes on sending meanwhile.
  private static let commitSize = 6 << 20

  /// Entries merged after a recovery point at the most: a second's work.
  private static let mergeBudget = 1_000_000

  private func reply(_ frame: Frame, _ connection: Connection) throws(Rejection) {
    do throws(TransportError) { try connection.send(frame, within: replyTime) } catch {
      throw Rejection(.unavailable, error.message)
    }
  }

  private func inLog<Result>(
    _ body: () throws(VaultError) -> Result
  ) throws(Rejection) -> Result {
    do throws(VaultError) { return try body() } catch {
      switch error.code {
      case .malformed: throw Rejection(.protocolBroken, error.message)
      case .full: throw Rejection(.full, error.message)
      default: throw Rejection(.unavailable, error.message)
      }
    }
  }
}

extension PeerIdentity {
  /// Tells this peer's signatures.
  var isSigned: SignatureCheck {
    { [verifyingKey] digest, signature in verifyingKey.isValid(signature, for: digest) }
  }
}

extension MachineWriter {
  /// Appends a group; what ends with more than a commit is durable then. Gives the recovery point it ends
  /// with.
  fileprivate func store(_ group: Group) throws(VaultError) -> RecoveryPoint? {
    if !group.records.isEmpty {
      var failure: VaultError?
      group.records.withUnsafeBytes { bytes in
        do throws(VaultError) { _ = try append(bytes) } catch { failure = error }
      }
      if let failure { throw failure }
    }
    let newest = try position().sequence
    let expected =
      switch group.end {
      case .commit: newest
      case .mark: newest.next
      case .abandon: hasUnmarkedWrites ? newest.next : newest
      }
    guard group.last == expected else {
      throw VaultError(
        .malformed,
        "A group says that it ends with number \(group.last), and ends with \(expected).")
    }
    switch group.end {
    case .commit: break
    case .mark(let point): return try mark(sent: point)
    case .abandon: try abandonUnmarked()
    }
    return nil
  }
}
