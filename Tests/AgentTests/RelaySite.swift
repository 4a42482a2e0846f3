import Bytes
import Capture
import Catalog
import Codecs
import Dispatch
import FileIO
import Identity
import Operations
import Replication
import Support
import Synchronization
import Testing
import Vault

@testable import Agent
@testable import ReplicationService

/// A vault in service with its own authority, relays, and one protected machine whose agent lives in this
/// process too; with links between them that can be made to fail.
final class RelaySite {
  let directory: TemporaryDirectory
  let service: VaultService
  let port: Int
  /// From agents to the service itself.
  let link: FaultyLink
  let disk: String
  let agent: AgentDirectory
  let machine: Identifier
  let credentials: Credentials

  init(size: UInt64 = 16 << 20) throws {
    let directory = try TemporaryDirectory("relay")
    self.directory = directory
    let vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
    service = try VaultService(vault)
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    port = try service.agentHost.listen(
      settings, credentials: try service.credentials(names: ["localhost"]), release: "test")
    link = try FaultyLink(to: port)
    disk = directory.file("disk.img")
    try File(disk, .creating(permissions: 0o600)).truncate(to: size)
    agent = AgentDirectory(at: directory.file("agent"))
    try agent.make()
    let files = try agent.identity()
    let result = try service.enrol(
      try Self.enrolment(service, files, .agent(.random()), "web01"))
    machine = result.machine
    credentials = try files.store(
      certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
    let disks = [
      DiskConfiguration(number: 0, path: disk, capture: .scan, format: .raw)
    ]
    try agent.save(
      AgentConfiguration(
        host: "127.0.0.1", controlPort: 8443, replicationPort: link.port,
        vault: vault.description.id, vaultName: "site", machine: machine, name: "web01",
        disks: disks))
    var record = try service.agent(named: "web01")
    record.disks = [
      AgentRecord.Disk(number: 0, path: disk, size: size, capture: "scan", format: "raw")
    ]
    try service.catalog.set(record)
  }

  deinit {
    service.agentHost.stop()
    service.close()
  }

  private static func enrolment(
    _ service: VaultService, _ files: IdentityFiles, _ role: Role, _ name: String
  ) throws -> Enrolment {
    Enrolment(
      key: try service.makeKey(label: "", validSeconds: 60, uses: 1).key,
      request: try files.makeRequest(for: role), hostName: name, name: nil,
      operatingSystem: .linux, version: "test", addresses: ["127.0.0.1"], clock: .now())
  }

  /// Protects the machine, with a cycle every ten seconds, or only when one is asked for.
  func protect(every seconds: Int = 10, through relay: String? = nil) throws {
    var options = ProtectionOptions()
    (options.cycleSeconds, options.processServer) = (seconds, relay)
    let job = try service.enable("web01", options)
    let isDone = Program.poll(seconds: 20) { [service] in
      (try? service.jobs.job(job.id))?.state == .succeeded
    }
    try #require(isDone)
  }

  /// Has the machine's agent send to another process server.
  func send(to server: String) throws {
    var changes = MachineChanges()
    changes.processServer = server
    _ = try service.change("web01", changes)
  }

  /// Enrols a relay; gives what it speaks with.
  @discardableResult
  func enrolRelay(_ name: String) throws -> Credentials {
    let files = try IdentityFiles(in: directory.file(name))
    let result = try service.enrolRelay(
      try Self.enrolment(service, files, .relay(.random()), name))
    return try files.store(
      certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
  }

  func write(_ bytes: [UInt8], at offset: UInt64) throws {
    let file = try File(disk, .writing)
    try file.write(bytes, at: offset)
    try file.sync()
  }

  var points: [RecoveryPoint] {
    get throws {
      try service.vault.machines().first { $0.id == machine }?.snapshot().points ?? []
    }
  }

  func hasPoints(_ count: Int, seconds: Double = 30) -> Bool {
    Program.poll(seconds: seconds) { (try? points.count >= count) ?? false }
  }

  /// Waits until the newest point shows the disk as it is now.
  func becomesEqual(seconds: Double = 40) -> Bool {
    Program.poll(seconds: seconds) { (try? isEqual()) ?? false }
  }

  private func isEqual() throws -> Bool {
    guard let machine = try service.vault.machines().first(where: { $0.id == machine }),
      case let snapshot = try machine.snapshot(), let point = snapshot.points.last
    else { return false }
    let reader = try snapshot.disk(0, at: point)
    var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
    try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
    let file = try File(disk, .reading)
    return bytes == (try file.read(at: 0, count: Int(try file.status().size)))
  }

  /// Whether the vault is sound.
  func isSound() throws -> Bool {
    try VerifyVault(machine: nil).run(
      in: service.vault, progress: { _, _, _ in }, cancelled: { false }
    ).allSatisfy { $0.isIntact }
  }
}

/// A relay on threads of its own, between two links.
final class RunningRelay {
  let relay: Relay
  /// From agents to the relay.
  let front: FaultyLink
  /// From the relay to the service.
  let back: FaultyLink
  let notes: Notes
  private let cancellation = Cancellation()
  private let isOver: Flag

  final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
  }

  final class Notes: Sendable {
    private let value = Mutex<[RelayNote]>([])
    var all: [RelayNote] { value.withLock { $0 } }
    func add(_ note: RelayNote) { value.withLock { $0.append(note) } }
  }

  /// Starts; agents reach it by `front`, which is made anew unless it is given.
  init(
    _ site: RelaySite, _ credentials: Credentials, limit: UInt64 = 64 << 20,
    front: FaultyLink? = nil, port: Int = 0
  ) throws {
    back = try FaultyLink(to: site.port)
    let link = try front ?? FaultyLink(to: 1)
    self.front = link
    var listener = ListenerSettings()
    (listener.address, listener.port) = ("127.0.0.1", port)
    var settings = RelaySettings(
      host: "127.0.0.1", port: back.port, listener: listener, addresses: ["127.0.0.1"],
      cache: site.directory.file("cache"), cacheLimit: limit)
    (settings.pause, settings.heartbeat) = (.milliseconds(200), .seconds(1))
    (settings.attempt, settings.statusInterval) = (.seconds(5), .milliseconds(300))
    settings.advertised = link.port
    let notes = Notes()
    self.notes = notes
    let files = try IdentityFiles(in: site.directory.file("relay01"))
    let relay = try Relay(identity: files, settings: settings, release: "test") {
      notes.add($0)
    }
    self.relay = relay
    link.redirect(to: relay.port)
    let (cancellation, isOver) = (cancellation, Flag())
    self.isOver = isOver
    DispatchQueue(label: "test.relay").async {
      relay.run(until: cancellation)
      isOver.set()
    }
    let name = credentials.identity.role
    let isKnown = Program.poll(seconds: 20) {
      (try? site.service.catalog.servers())?.contains {
        .relay($0.id) == name && $0.port == link.port
      } ?? false
    }
    try #require(isKnown)
  }

  deinit { cancellation.cancel() }

  /// Ends it; whether that was soon.
  func end() -> Bool {
    cancellation.cancel()
    return Program.poll(seconds: 30) { isOver.isSet }
  }
}
