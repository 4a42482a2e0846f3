internal import Bytes
public import FileIO
internal import Identity
internal import Replication
public import ReplicationService
internal import Vault

/// How patient an agent is. The defaults are for real machines.
public struct AgentPace: Sendable {
  /// How long one attempt to connect may take.
  public var attempt = Duration.seconds(10)
  /// Between two attempts while the service does not know the machine.
  public var unknown = Duration.seconds(30)
  /// Between two attempts while nobody has enabled the machine: who does waits for the first copy.
  public var unprotected = Duration.seconds(5)
  /// Between two attempts while a person has to do something first.
  public var rare = Duration.seconds(300)
  /// Between two looks at whether disks were added or removed.
  public var look = Duration.seconds(5)
  /// Between two looks at whether the certificate is to be renewed, and two attempts at that.
  public var renewal = Duration.seconds(3600)
  /// Between two reports of progress.
  public var report = Duration.seconds(1)

  /// The defaults.
  public init() {}
}

/// Something an agent has to tell, for a log.
public struct AgentNote: Sendable {
  /// How bad it is.
  public enum Severity: Sendable, CaseIterable { case info, notice, warning, error }

  /// How bad it is.
  public let severity: Severity
  /// What happened, in a few words or whole sentences.
  public let message: String
  /// Facts, by name.
  public let fields: [String: String]
}

/// The work of an agent: holds a session with the service, and runs a cycle over the machine's disks at
/// each interval of its assignment, and whenever the service orders one.
///
/// Runs on the thread that calls ``run()``. Whatever goes wrong with link and service is told, waited
/// out, and gone on from; what was stored is never sent again.
public final class AgentLoop {
  let directory: AgentDirectory
  let release: String
  let pace: AgentPace
  let cancellation: Cancellation
  let rate = RateLimit()
  let clock = ContinuousClock()
  let guardCommand: GuardedFreeze.Command
  private let lock: FileLock
  private let tell: (AgentNote) -> Void

  /// When the next cycle is due; nil for at once.
  var nextCycle: ContinuousClock.Instant?
  /// When to look at the certificate again; nil for at once.
  var nextRenewal: ContinuousClock.Instant?
  /// How often it was tried to renew the certificate.
  var renewals = 0
  /// Whether the session was opened with a certificate that was renewed since.
  var hasNewCertificate = false
  var status = AgentCondition()
  var backoff = Backoff()
  /// The newest number known to be durable.
  var held = SequenceNumber.zero
  /// Why the newest cycle made no recovery point; empty if it made one.
  var failure = ""
  /// When the next app-consistent point is due; nil for at once.
  var nextApplication: ContinuousClock.Instant?
  /// When the newest one was made.
  var lastApplication: Timestamp?
  /// Why the newest point that was due is not app-consistent; empty if it is.
  var dueFailure = ""
  /// Why the hooks of every cycle did not hold writers; empty if they did.
  var cycleFailure = ""
  /// How long reading took of the disks that are scanned, in the newest cycle.
  var scanTime: Duration?
  /// The order to shut the source down that came last.
  var shutdown: ShutdownTask?
  private var lastTold = ""
  /// Where sessions are held, and how often that failed.
  private(set) var route = Route()

  /// Prepares to run in a directory whose lock is held.
  ///
  /// - Parameters:
  ///   - directory: where the agent keeps what it knows.
  ///   - lock: its lock, held for as long as the loop lives.
  ///   - release: this release's version.
  ///   - pace: how patient it is.
  ///   - cancellation: ends the loop, in the middle of anything; what is stored stays.
  ///   - tell: called on the loop's thread with what happens.
  public convenience init(
    _ directory: AgentDirectory, lock: FileLock, release: String, pace: AgentPace = AgentPace(),
    cancellation: Cancellation, tell: @escaping (AgentNote) -> Void
  ) {
    self.init(
      directory, lock: lock, release: release, pace: pace, guardedBy: .own(directory),
      cancellation: cancellation, tell: tell)
  }

  /// The same, with another program as the guard of its freezes.
  init(
    _ directory: AgentDirectory, lock: FileLock, release: String, pace: AgentPace,
    guardedBy guardCommand: GuardedFreeze.Command, cancellation: Cancellation,
    tell: @escaping (AgentNote) -> Void
  ) {
    self.guardCommand = guardCommand
    (self.directory, self.lock, self.release) = (directory, lock, release)
    (self.pace, self.cancellation, self.tell) = (pace, cancellation, tell)
  }

  /// Works until it is cancelled. Blocks.
  ///
  /// - Throws: what only a person can mend here: `.missing`, `.damaged` or `.state` of the directory.
  public func run() throws(AgentError) {
    defer { lock.release() }
    defer { show(.stopped) }
    // Whatever else is wrong here: writers wait.
    thawLeftovers(try? directory.configuration())
    try recall()
    while !cancellation.isCancelled {
      do throws(AgentError) { try attend() } catch {
        if cancellation.isCancelled { break }
        if try route.follow(error, directory) { continue }
        if error.refusal == .epoch { try fence(because: error.message) }
        if error.refusal == .ended { try endFence() }
        let pause = try pause(after: error)
        complain(error, pause)
        _ = cancellation.wait(for: pause)
      }
    }
    note(.notice, "Ending")
  }

  /// Takes over what the last run knew.
  private func recall() throws(AgentError) {
    let configuration = try directory.configuration()
    route.place = directory.place()
    try recallFence(configuration)
    guard let old = directory.status() else { return }
    (status.lastPoint, status.lastContact) = (old.lastPoint, old.lastContact)
    status.lastApplicationPoint = old.lastApplicationPoint
    if let time = old.lastApplicationPoint?.time, case .absolute(let last)? = Instant(time) {
      lastApplication = last
    }
    guard let durable = old.durable, durable.machine == configuration.machine.description else {
      return
    }
    held = SequenceNumber(rawValue: durable.sequence)
  }

  /// Connects and stays in session until something else is to be done.
  private func attend() throws(AgentError) {
    let configuration = try directory.configuration()
    renewIfDue()
    let credentials = try credentials()
    hasNewCertificate = false
    let stop = route.next(configuration)
    status.processServer = stop.peer == .service ? nil : "\(stop.host), port \(stop.port)"
    let client = try onLink { () throws(TransportError) in
      try Client(credentials: credentials, to: stop.peer, rate: rate, now: { .now() })
    }
    // What the service said last stays shown until it says something else.
    if ![.refused, .unprotected, .fenced].contains(status.state) { show(.connecting) }
    let connection = try onLink { () throws(TransportError) in
      try client.connectPersistently(
        to: stop.host, port: stop.port, attempt: pace.attempt,
        backoff: &backoff, cancellation: cancellation,
        failed: { error, pause in
          complain(AgentError(error), pause)
          if !route.isDirect { return false }
          // With another configuration this attempt is of no use any more.
          return (try? directory.configuration()) == configuration
        })
    }
    defer { connection.close() }
    try cancellation.during({ connection.close() }) { () throws(AgentError) in
      let session = try ServiceSession(
        connection, hello: try hello(configuration), sign: credentials.signingKey.signGroup,
        through: stop.peer == .service ? nil : Route.judge(credentials.trust))
      route.arrived()
      try welcomed(in: session.welcome.epoch, configuration)
      defer {
        noteDurable(of: session)
        // It did some work, so the next attempt does not repeat one that was of no use.
        if session.durable > session.welcome.position.sequence { backoff.reset() }
      }
      try converse(session, configuration)
    }
  }

  private func hello(_ configuration: AgentConfiguration) throws(AgentError) -> Hello {
    var hello = Hello(
      release: release, hostName: MachineFacts.hostName, system: MachineFacts.system,
      addresses: MachineFacts.addresses, clock: .now(), held: held,
      disks: configuration.disks.map {
        Hello.Disk(configuration: $0, size: MachineFacts.size(of: $0))
      },
      findings: Preflight(in: directory, of: configuration).findings())
    hello.hardware = MachineFacts.hardware
    hello.epoch = try directory.epochNote(of: configuration.machine).epoch
    return hello
  }

  /// How long to wait before the next attempt.
  private func pause(after error: AgentError) throws(AgentError) -> Duration {
    switch error.code {
    case .missing, .damaged, .state, .locked, .unknown, .source: throw error
    case .link, .protocolBroken, .hook, .cancelled: return backoff.next()
    case .expired: return pace.rare
    case .refused:
      switch error.refusal {
      case .unknown, .ended: return pace.unknown
      case .unprotected: return pace.unprotected
      case .epoch, .clock, nil: return pace.rare
      case .moved: return backoff.next()
      case .busy, .full, .unavailable, .stopping, .protocolBroken: return backoff.next()
      }
    }
  }

  /// Tells of a failure, in the log only once while it stays the same.
  private func complain(_ error: AgentError, _ pause: Duration) {
    if error.message != lastTold {
      note(
        error.refusal == .unprotected ? .notice : .warning, error.message,
        ["code": error.refusal.map { "\($0)" } ?? error.code.rawValue, "pause": "\(pause)"])
    }
    lastTold = error.message
    if error.refusal == .unprotected {
      status.lastError = nil
      return show(.unprotected)
    }
    status.lastError = AgentCondition.Failure(time: now, message: error.message)
    show(error.code == .refused || error.code == .expired ? .refused : .connecting)
  }

  /// Remembers how much the service has said is durable.
  func noteDurable(of session: ServiceSession) {
    held = max(held, session.durable)
    status.durable = AgentCondition.Durable(
      machine: session.welcome.machine.description, sequence: held.rawValue)
  }

  /// Forgets what went wrong: it works again.
  func recovered() {
    guard !lastTold.isEmpty else { return }
    lastTold = ""
    backoff.reset()
  }

  func note(
    _ severity: AgentNote.Severity, _ message: String, _ fields: [String: String] = [:]
  ) { tell(AgentNote(severity: severity, message: message, fields: fields)) }

  var now: String { Timestamp.now().iso8601 }

  /// Writes the status file. Where that fails, the agent goes on: replication matters more.
  func show(_ state: AgentCondition.State) {
    if state == .stopped || state == .connecting { status.progress = nil }
    // Until the service takes it again, nothing else matters of a machine that was fenced.
    let isFenced = status.fenced != nil && state != .stopped
    (status.state, status.updated) = (isFenced ? .fenced : state, now)
    try? directory.write(status)
  }
}
