import Bytes
import Capture
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

/// Goal: nobody gets in who doesn't belong, and who does goes from a key to a recovery point. Method: a
/// vault in service with its own authority and listener, and an agent in this process.
@Suite(.serialized) struct EnrolmentTests {
  /// A vault in service, and what an agent of it needs.
  private final class Bench {
    let directory: TemporaryDirectory
    let service: VaultService
    let port: Int

    init() throws {
      directory = try TemporaryDirectory("enrolment")
      let vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
      service = try VaultService(vault)
      var settings = ListenerSettings()
      (settings.address, settings.port) = ("127.0.0.1", 0)
      port = try service.agentHost.listen(
        settings, credentials: try service.credentials(names: ["localhost"]), release: "test")
    }

    deinit {
      service.agentHost.stop()
      service.close()
    }

    func enrolment(_ key: RegistrationKey, _ files: IdentityFiles, ahead: Int64 = 0) throws
      -> Enrolment
    {
      Enrolment(
        key: key, request: try files.makeRequest(for: .agent(.random())),
        hostName: "web01.example.org", name: nil, operatingSystem: .linux, version: "test",
        addresses: ["10.0.0.7"], clock: Timestamp(seconds: Timestamp.now().seconds + ahead))
    }

    func makeKey() throws -> RegistrationKey {
      try service.makeKey(label: "", validSeconds: 60, uses: 1).key
    }

    /// Enrols; gives what the agent speaks with.
    func enrol() throws -> (machine: Identifier, credentials: Credentials) {
      let files = try IdentityFiles(in: directory.file("agent"))
      let result = try service.enrol(try enrolment(try makeKey(), files))
      #expect(result.name == "web01")
      let credentials = try files.store(
        certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
      return (result.machine, credentials)
    }

    func session(_ credentials: Credentials, _ disks: [DiskConfiguration], ahead: Int64 = 0) throws
      -> ServiceSession
    {
      let connection = try Client(credentials: credentials, now: { .now() }).connect(
        to: "127.0.0.1", port: port, within: .seconds(10))
      let key = credentials.signingKey
      let hello = Hello(
        release: "test", hostName: "web01", system: "Linux", addresses: ["10.0.0.7"],
        clock: Timestamp(seconds: Timestamp.now().seconds + ahead), held: .zero,
        disks: disks.map { Hello.Disk(configuration: $0, size: 4 << 20) })
      return try ServiceSession(connection, hello: hello, sign: { (try? key.sign($0)) ?? [] })
    }

    func isEnded(_ job: Int64) -> Bool {
      Program.poll(seconds: 20) { [service] in
        (try? service.jobs.job(job))?.state.isFinal == true
      }
    }
  }

  @Test("a key is good once, for clocks that agree and a name that is free")
  func keys() throws {
    let bench = try Bench()
    let files = try IdentityFiles(in: bench.directory.file("agent"))
    let key = try bench.makeKey()
    #expect(throws: OperationError.self) {
      try bench.service.enrol(try bench.enrolment(key, files, ahead: 360))
    }
    _ = try bench.service.enrol(try bench.enrolment(key, files))
    #expect(throws: OperationError.self) {
      try bench.service.enrol(try bench.enrolment(key, files))
    }
    #expect(throws: OperationError.self) {
      try bench.service.enrol(try bench.enrolment(try bench.makeKey(), files))
    }
    let stranger = RegistrationKey(for: try bench.service.authority().fingerprint)
    #expect(throws: OperationError.self) {
      var enrolment = try bench.enrolment(stranger, files)
      enrolment.name = "web02"
      _ = try bench.service.enrol(enrolment)
    }
    #expect(try bench.service.agents().map(\.name) == ["web01"])
  }

  @Test(
    "an enrolled machine waits until it is enabled, replicates, rests while paused, and is cut off")
  func life() throws {
    var random = SeededGenerator(for: "life of an agent")
    let bench = try Bench()
    let (machine, credentials) = try bench.enrol()
    let path = bench.directory.file("disk0.img")
    let image = try File(path, .creating(permissions: 0o600))
    try image.truncate(to: 4 << 20)
    try image.write(random.bytes(1 << 20), at: 1 << 20)
    let disks = [DiskConfiguration(number: 0, path: path, capture: .scan, format: .raw)]

    #expect { try bench.session(credentials, disks) } throws: {
      ($0 as? AgentError)?.refusal == .unprotected
    }
    #expect { try bench.session(credentials, disks, ahead: 400) } throws: {
      ($0 as? AgentError)?.refusal == .clock
    }
    #expect(throws: OperationError.self) {
      try bench.service.enable("nobody", ProtectionOptions())
    }
    var options = ProtectionOptions()
    options.cycleSeconds = 60
    #expect(bench.isEnded(try bench.service.enable("web01", options).id))
    #expect(throws: OperationError.self) { try bench.service.enable("web01", options) }

    let session = try bench.session(credentials, disks)
    #expect(session.assignment.state == .protected && session.assignment.interval == 60)
    let target = RemoteTarget(
      session,
      digests: DigestDirectory(
        path: bench.directory.file("digests"), vault: session.welcome.vault, machine: machine),
      disks: disks)
    let point = try CaptureCycle(
      machine: machine, disks: disks, options: CaptureOptions(), progress: { _ in },
      cancelled: { false }
    ).run(with: target).point
    #expect(
      try bench.service.vault.machine(named: "web01").snapshot().points.map(\.id) == [point.id])
    #expect(try bench.service.agentStatuses().map(\.isConnected) == [true])

    try bench.service.setPaused(true, machine: "web01")
    for _ in 0..<10 where session.assignment.state != .paused {
      try session.idle(for: .seconds(1))
    }
    #expect(session.assignment.state == .paused)
    let second = try bench.session(credentials, disks)
    #expect(second.assignment.state == .paused)
    // A newer session of the machine takes the place of an older one.
    let third = try bench.session(credentials, disks)
    #expect(throws: AgentError.self) { for _ in 0..<10 { try second.idle(for: .seconds(1)) } }

    try bench.service.revoke("web01")
    #expect(throws: AgentError.self) { for _ in 0..<10 { try third.idle(for: .seconds(1)) } }
    #expect(throws: AgentError.self) { try bench.session(credentials, disks) }
    #expect(try bench.service.agent(named: "web01").revoked != nil)
  }
}
