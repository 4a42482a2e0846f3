import Bytes
import Capture
import Catalog
import Codecs
import Dispatch
import FileIO
import Identity
import Operations
import Replication
import ReplicationService
import Support
import Synchronization
import Testing
import Vault

@testable import Agent
@testable import Operations

/// A vault in service, and one enabled machine of one disk whose agent runs in this process too. Service
/// and agent can be ended and started anew; between the two is a link.
final class ProtectedSite {
  let directory: TemporaryDirectory
  let vault: Vault
  let link: FaultyLink
  let agent: AgentDirectory
  let machine = Identifier.random()
  let time = SimulatedTime()
  /// Where the disk is.
  let image: String
  private var open: VaultService?
  /// The service that runs.
  var service: VaultService {
    guard let open else { fatalError("no service runs") }
    return open
  }
  private var running: RunningLoop?
  private let capture: CaptureMode
  private let mount: LoopMount?

  static let name = "web01"

  init(_ capture: CaptureMode = .scan, size: UInt64 = 12 << 20, on mount: LoopMount? = nil) throws {
    (self.capture, self.mount) = (capture, mount)
    directory = try TemporaryDirectory("resynchronisation")
    image = mount?.file("disk.img") ?? directory.file("disk.img")
    try File(image, .creating(permissions: 0o600)).truncate(to: size)
    vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
    let time = time
    let service = try VaultService(vault, clock: { time.now })
    open = service
    agent = AgentDirectory(at: directory.file("state"))
    try agent.make()
    _ = try agent.identity().renew(
      from: try service.authority(), role: .agent(machine), validity: .seconds(86400), now: .now())
    link = try FaultyLink(to: try Self.listen(service))
    try agent.save(
      AgentConfiguration(
        host: "127.0.0.1", controlPort: 8443, replicationPort: link.port,
        vault: vault.description.id, vaultName: "site", machine: machine, name: Self.name,
        disks: [DiskConfiguration(number: 0, path: image, capture: capture, format: .raw)]))
    try enable()
  }

  deinit {
    endAgent()
    service.agentHost.stop()
    _ = service.close()
    link.close()
  }

  private static func listen(_ service: VaultService) throws -> Int {
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    return try service.agentHost.listen(
      settings, credentials: try service.credentials(names: ["127.0.0.1"]), release: "test")
  }

  /// Enables the machine's protection, and waits for that.
  func enable() throws {
    try service.catalog.set(
      AgentRecord(
        machine: machine, name: Self.name, hostName: "h", operatingSystem: "linux", version: "1",
        addresses: [],
        disks: [
          AgentRecord.Disk(
            number: 0, path: image, size: nil, capture: capture.name, format: "raw")
        ], enrolled: .now(), lastContact: nil))
    let job = try service.enable(Self.name, ProtectionOptions())
    let isDone = Program.poll(seconds: 20) {
      (try? service.jobs.job(job.id))?.state == .succeeded
    }
    try #require(isDone)
    // Shorter than a person may set it.
    var settings = try service.settings(of: Self.name)
    settings.cycleSeconds = 1
    try service.catalog.set(settings)
  }

  // MARK: - What is done to it

  func startAgent() throws { running = try RunningLoop(agent) }

  func endAgent() {
    running?.end()
    running = nil
  }

  /// Ends the agent between two cycles: one that is broken off may have reasons of its own for what is
  /// missing afterwards.
  func endAgentBetweenCycles() throws {
    endAgent()
    for _ in 0..<50 where agent.sourceNotes(of: machine).isCycling {
      let count = try points.count
      try startAgent()
      #expect(try hasPoints(count + 1))
      endAgent()
    }
    #expect(!agent.sourceNotes(of: machine).isCycling)
  }

  /// Ends the service, and starts another one on the same vault.
  func restartService() throws {
    service.agentHost.stop()
    #expect(service.close())
    // The lock goes with the value.
    open = nil
    let time = time
    open = try VaultService(vault, clock: { time.now })
    link.redirect(to: try Self.listen(service))
  }

  func write(_ bytes: [UInt8], at offset: UInt64) throws {
    let file = try File(image, .writing)
    try file.write(bytes, at: offset)
    try file.sync()
  }

  func setWindow(_ text: String) throws {
    var changes = MachineChanges()
    let window = try #require(ResynchronisationWindow(text))
    changes.resyncWindow = window
    _ = try service.change(Self.name, changes)
  }

  // MARK: - What is seen

  var points: [RecoveryPoint] {
    get throws { try vault.machine(named: Self.name).snapshot().points }
  }

  var record: ResynchronisationRecord? {
    try? service.resynchronisation(of: Self.name).record
  }

  var hasHealthError: Bool {
    (try? service.catalog.healthErrors())?.contains {
      $0.code == "resynchronisation-required" && $0.severity == .critical
    } == true
  }

  /// The newest job of resynchronisation.
  var job: JobRecord? {
    (try? service.jobs.jobs(limit: 100))?.first { $0.kind == "Resynchronise" }
  }

  func waits(_ condition: () throws -> Bool) rethrows -> Bool {
    try Program.poll(seconds: 60) { try condition() }
  }

  func hasPoints(_ count: Int) throws -> Bool { try waits { try points.count >= count } }

  /// A disk at a point.
  func content(at point: RecoveryPoint) throws -> [UInt8] {
    let reader = try vault.machine(named: Self.name).snapshot().disk(0, at: point)
    var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    return bytes
  }

  /// The disk as it is now.
  func source() throws -> [UInt8] {
    let file = try File(image, .reading)
    return try file.read(at: 0, count: Int(try file.status().size))
  }
}

/// A clock that stands still unless it is set.
final class SimulatedTime: Sendable {
  private let time = Mutex(Timestamp?.none)

  var now: Timestamp { time.withLock { $0 } ?? .now() }

  /// Sets it to so many minutes of a day.
  func set(minute: Int64) {
    time.withLock { $0 = Timestamp(seconds: 20_000 * 86400 + minute * 60) }
  }
}

/// An agent's loop on a thread of its own.
final class RunningLoop: Sendable {
  private let cancellation = Cancellation()
  private let isOver = Mutex(false)

  init(_ directory: AgentDirectory) throws {
    let lock = try directory.lock()
    var pace = AgentPace()
    (pace.attempt, pace.report, pace.look) = (.seconds(5), .milliseconds(20), .milliseconds(100))
    (pace.unknown, pace.rare) = (.milliseconds(200), .milliseconds(200))
    let chosen = pace
    DispatchQueue(label: "agent").async { [self] in
      let loop = AgentLoop(
        directory, lock: lock, release: "test", pace: chosen, cancellation: cancellation
      ) { _ in }
      #expect(throws: Never.self) { try loop.run() }
      isOver.withLock { $0 = true }
    }
  }

  /// Ends the loop and waits for that.
  func end() {
    cancellation.cancel()
    #expect(Program.poll(seconds: 10) { isOver.withLock { $0 } })
  }
}
