import Bytes
import Capture
import Codecs
import FileIO
import Identity
import Replication
import ReplicationService
import Support
import Synchronization
import Vault

@testable import Agent

/// A vault behind a real TLS listener, and one machine whose agent lives in this process too. Between the
/// two is a link that can be cut.
final class Site {
  let directory: TemporaryDirectory
  let vault: Vault
  let machine: Machine
  let disks: [DiskConfiguration]
  let host: SiteHost
  let listener: Listener
  let link: FaultyLink
  /// The agent's directory; enrolled, but with no configuration yet.
  let agent: AgentDirectory
  /// What the agent speaks with.
  let credentials: Credentials
  private let mount: LoopMount?
  private let vaultMount: LoopMount?

  /// Makes sparse files of these sizes for disks, on the mount if there is one; the vault lies on its own.
  init(
    sizes: [UInt64], capture: CaptureMode = .scan, on mount: LoopMount? = nil,
    vaultOn vaultMount: LoopMount? = nil
  ) throws {
    (self.mount, self.vaultMount) = (mount, vaultMount)
    let directory = try TemporaryDirectory("agent")
    self.directory = directory
    agent = AgentDirectory(at: directory.file("state"))
    let place = mount?.path ?? directory.path
    disks = try sizes.enumerated().map { number, size in
      let path = "\(place)/disk\(number).img"
      try File(path, .creating(permissions: 0o600)).truncate(to: size)
      return DiskConfiguration(
        number: DiskNumber(number), path: path, capture: capture, format: .raw)
    }
    let vault = try Vault.create(
      at: vaultMount?.file("vault") ?? directory.file("vault"), name: "site", codec: .zstd)
    self.vault = vault
    let lock = try vault.lock()
    machine = try vault.addMachine(
      MachineConfiguration(name: "web01", operatingSystem: .linux, disks: disks), lock: lock)
    let authority = try CertificateAuthority.create(
      in: directory.file("ca"), vault: vault.description.id, vaultName: "site", now: .now())
    func issue(_ role: Role, _ name: String) throws -> Credentials {
      try IdentityFiles(in: directory.file(name)).renew(
        from: authority, role: role, validity: .seconds(86400), now: .now()
      ).credentials
    }
    try agent.make()
    credentials = try issue(.agent(machine.id), "state/identity")
    let host = SiteHost(vault, machine, lock, disks)
    self.host = host
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    listener = try Listener(
      credentials: try issue(.service, "service"), settings: settings, now: { .now() },
      isRevoked: { _ in false }, report: { _ in },
      makeHandler: { AgentHandler(peer: $0, host: host, release: "test") })
    link = try FaultyLink(to: listener.port)
  }

  deinit {
    try? listener.stop(within: .seconds(5))
    link.close()
  }

  /// What the agent's directory is to say.
  var configuration: AgentConfiguration {
    AgentConfiguration(
      host: "127.0.0.1", controlPort: 8443, replicationPort: link.port,
      vault: vault.description.id, vaultName: "site", machine: machine.id, name: "web01",
      disks: disks)
  }

  /// Opens a session as an agent does that has just started.
  func session() throws -> ServiceSession {
    let client = try Client(credentials: credentials, now: { .now() })
    let connection = try client.connect(
      to: "127.0.0.1", port: link.port, within: .seconds(10))
    let key = credentials.signingKey
    let hello = Hello(
      release: "test", hostName: "web01", system: "Linux", addresses: [], clock: .now(),
      held: .zero, disks: [])
    return try ServiceSession(connection, hello: hello, sign: { (try? key.sign($0)) ?? [] })
  }

  func target(_ session: ServiceSession) -> RemoteTarget {
    RemoteTarget(
      session,
      digests: DigestDirectory(
        path: directory.file("digests"), vault: vault.description.id, machine: machine.id),
      disks: disks)
  }

  /// Runs a cycle in a session of its own.
  func cycle(
    progress: @escaping (CaptureProgress) -> Void = { _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws -> CaptureResult {
    try CaptureCycle(
      machine: machine.id, disks: disks, options: CaptureOptions(), progress: progress,
      cancelled: cancelled
    ).run(with: target(try session()))
  }

  func write(_ bytes: [UInt8], at offset: UInt64, disk: Int = 0) throws {
    let file = try File(disks[disk].path, .writing)
    try file.write(bytes, at: offset)
    try file.sync()
  }

  /// Bytes of the files of the machine's log.
  func logSize() throws -> UInt64 {
    let place = "\(vault.path)/machines/\(machine.id)"
    return try FileSystem.system.list(place).reduce(0) {
      try $0 + FileSystem.system.status("\(place)/\($1)").size
    }
  }

  /// Whether a disk at a point is what its file is now.
  func isSame(_ disk: Int = 0, at point: RecoveryPoint) throws -> Bool {
    let snapshot = try machine.snapshot()
    guard let known = snapshot.points.first(where: { $0.id == point.id }), known == point
    else { return false }
    let reader = try snapshot.disk(DiskNumber(disk), at: known)
    var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    let file = try File(disks[disk].path, .reading)
    return bytes == (try file.read(at: 0, count: Int(try file.status().size)))
  }
}

/// Lets the one agent in, one session at a time.
final class SiteHost: ReplicationHost {
  private let vault: Vault
  private let machine: Machine
  private let lock: VaultLock
  private let disks: [DiskConfiguration]
  private let state = Mutex(State())

  struct State: Sendable {
    var current: Connection?
    var isOpen = false
    var assignment: Assignment.State = .protected
    var interval: UInt32 = 3600
    var applicationInterval: UInt32 = 3600
    var refusal: Refusal.Code?
    var hellos: [Hello] = []
    var reports: [Report] = []
    var reasons: [String] = []
    var bytes = 0
    var points: [String] = []
    var doubts: [Doubt] = []
  }

  init(_ vault: Vault, _ machine: Machine, _ lock: VaultLock, _ disks: [DiskConfiguration]) {
    (self.vault, self.machine, self.lock, self.disks) = (vault, machine, lock, disks)
  }

  var notes: State { state.withLock { $0 } }

  /// What agents are told to do from now on.
  func assign(_ new: Assignment.State) { state.withLock { $0.assignment = new } }

  /// How long agents are to wait between two cycles, from the next session on.
  func setInterval(_ seconds: UInt32) { state.withLock { $0.interval = seconds } }

  /// How long it is to be from one app-consistent point to the next, from the next session on.
  func setApplicationInterval(_ seconds: UInt32) {
    state.withLock { $0.applicationInterval = seconds }
  }

  /// Lets nobody in any more, for this reason, and ends the open session; nil lets agents in again.
  func refuse(_ code: Refusal.Code?) {
    state.withLock { $0.refusal = code }
    if code != nil { state.withLock { $0.current }?.close() }
  }

  /// Tells the agent in session what to do from now on.
  func order(_ new: Assignment.State, now: Bool = false) throws {
    assign(new)
    let order = Order(assignment: assignment, isNow: now)
    try state.withLock { $0.current }?.send(order.frame(), within: .seconds(5))
  }

  private var assignment: Assignment {
    let now = notes
    return Assignment(
      state: now.assignment, interval: now.interval,
      applicationInterval: now.applicationInterval, disks: disks.map(\.number))
  }

  func admit(
    _ peer: PeerIdentity, _ hello: Hello, on connection: Connection
  ) throws(Rejection) -> OpenLog {
    if let code = notes.refusal { throw Rejection(code, "The site lets nobody in.") }
    state.withLock { $0.current }?.close()
    let isFree = Program.poll(seconds: 10) { state.withLock { !$0.isOpen } }
    guard isFree else { throw Rejection(.busy, "Another session is open.") }
    do throws(VaultError) {
      let log = try MachineWriter(machine: machine, in: vault, lock: lock)
      state.withLock { ($0.isOpen, $0.current) = (true, connection) }
      state.withLock { $0.hellos.append(hello) }
      return OpenLog(
        log: log, vault: vault.description.id, epoch: 0, assignment: assignment)
    } catch { throw Rejection(.unavailable, error.message) }
  }

  func isAlive(_ machine: Identifier, clock: Timestamp) {}
  func reported(_ report: Report, by machine: Identifier) {
    state.withLock { $0.reports.append(report) }
  }
  func doubted(_ doubt: Doubt, by machine: Identifier) {
    state.withLock { $0.doubts.append(doubt) }
  }
  func stored(_ bytes: Int, point: RecoveryPoint?, of machine: Identifier) {
    state.withLock {
      $0.bytes += bytes
      if let point { $0.points.append(point.id) }
    }
  }
  func ended(_ machine: Identifier, reason: String?) {
    state.withLock {
      $0.isOpen = false
      if let reason { $0.reasons.append(reason) }
    }
  }
}
