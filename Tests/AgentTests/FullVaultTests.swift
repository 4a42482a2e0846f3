import Bytes
import Catalog
import Codecs
import FileIO
import Identity
import Operations
import Replication
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent

/// Goal: a full vault loses nothing, says so, and goes on by itself. Method: a vault in service on a small
/// file system, and agents in this process that have more to send than there is room.
@Suite(.serialized) struct FullVaultTests {
  /// An agent of a machine that enrolled, and its disk.
  private final class Sender {
    let name: String
    let directory: AgentDirectory
    let disk: DiskConfiguration
    private(set) var running: RunningAgent?

    init(_ name: String, _ site: TemporaryDirectory, _ service: VaultService, port: Int) throws {
      self.name = name
      let path = site.file("\(name).img")
      disk = DiskConfiguration(number: 0, path: path, capture: .scan, format: .raw)
      directory = AgentDirectory(at: site.file("\(name).agent"))
      try directory.make()
      let key = try service.makeKey(label: "", validSeconds: 60, uses: 1).key
      let files = try directory.identity()
      let result = try service.enrol(
        Enrolment(
          key: key, request: try files.makeRequest(for: .agent(.random())), hostName: name,
          name: nil, operatingSystem: .linux, version: "test", addresses: [], clock: .now()))
      _ = try files.store(
        certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
      try directory.save(
        AgentConfiguration(
          host: "127.0.0.1", controlPort: 8443, replicationPort: port,
          vault: service.vault.description.id, vaultName: "site", machine: result.machine,
          name: name, disks: [disk]))
    }

    func start() throws { running = try RunningAgent(directory) }
  }

  @Test("a full vault stops its agents with a critical error, and goes on when there is room")
  func full() throws {
    let mount = try LoopMount(.ext4, size: 192 << 20)
    let site = try TemporaryDirectory("full-vault")
    var random = SeededGenerator(for: "full vault")
    let service = try VaultService(
      try Vault.create(at: mount.file("vault"), name: "site", codec: .zstd))
    defer { service.close() }
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    let port = try service.agentHost.listen(
      settings, credentials: try service.credentials(names: ["localhost"]), release: "test")
    defer { service.agentHost.stop() }
    let senders = try ["web01", "web02"].map { try Sender($0, site, service, port: port) }
    for sender in senders {
      let image = try File(sender.disk.path, .creating(permissions: 0o600))
      try image.truncate(to: 24 << 20)
      try image.write(random.bytes(20 << 20), at: 2 << 20)
      try sender.start()
    }
    func overview(_ name: String) throws -> MachineOverview { try service.overview(of: name) }
    let areKnown = try Program.poll(seconds: 20) {
      try service.agents().allSatisfy { $0.disks.count == 1 && !$0.findings.isEmpty }
    }
    #expect(areKnown)
    // Room for about one of the two.
    let free = try service.vault.space().free
    let filler = try File(mount.file("filler"), .creating(permissions: 0o600))
    let zeros = [UInt8](repeating: 1, count: 1 << 20)
    for block in 0..<(free - (32 << 20)) >> 20 { try filler.write(zeros, at: block << 20) }
    for sender in senders { _ = try service.enable(sender.name, ProtectionOptions()) }

    func look() { service.monitor.look(at: .now(), load: HostLoad.now(at: mount.path)) }
    func hasError(_ code: HealthCode) -> Bool {
      look()
      return service.health.current.contains { $0.code == code.rawValue }
    }
    #expect(Program.poll(seconds: 30) { hasError(.vaultFull) })
    let refused = Program.poll(seconds: 30) {
      senders.contains { $0.directory.status()?.lastError?.message.contains("full") == true }
    }
    #expect(refused)
    #expect(try service.overallHealth(of: service.overviews(at: .now())) == .critical)
    let before = try service.events(after: 0, limit: 100).map(\.code)
    #expect(before.filter { $0 == "vault-full" }.count == 1)

    try filler.truncate(to: 0)
    let isDone = try Program.poll(seconds: 60) {
      look()
      return try senders.allSatisfy { try overview($0.name).summary?.points.isEmpty == false }
    }
    #expect(isDone)
    for sender in senders { #expect(sender.running?.end() == true) }
    #expect(!hasError(.vaultFull))
    let after = try service.events(after: 0, limit: 100).map(\.code)
    #expect(after.filter { $0 == "vault-full-ended" }.count == 1)
    for sender in senders {
      let snapshot = try service.vault.machine(named: sender.name).snapshot()
      let reader = try snapshot.disk(0, at: try #require(snapshot.points.last))
      var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
      try bytes.withUnsafeMutableBytes { try reader.read(into: $0, at: 0) }
      let image = try File(sender.disk.path, .reading)
      let source = try image.read(at: 0, count: bytes.count)
      #expect(bytes == source)
    }
    let jobs = try service.jobs.jobs(limit: 100)
    #expect(jobs.count { $0.kind == "Finalize protection" && $0.state == .succeeded } == 2)
  }
}
