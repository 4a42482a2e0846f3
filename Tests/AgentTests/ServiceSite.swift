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

/// A vault in service with its own authority and listener, and the directory of one agent that is enrolled.
final class ServiceSite {
  let directory: TemporaryDirectory
  let service: VaultService
  let port: Int
  let agent: AgentDirectory

  init(_ purpose: String, settings: ListenerSettings = ListenerSettings()) throws {
    directory = try TemporaryDirectory(purpose)
    let vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
    service = try VaultService(vault)
    var settings = settings
    (settings.address, settings.port) = ("127.0.0.1", 0)
    port = try service.agentHost.listen(
      settings, credentials: try service.credentials(names: ["localhost"]), release: "test")
    agent = AgentDirectory(at: directory.file("agent"))
    try agent.make()
  }

  deinit {
    service.agentHost.stop()
    service.close()
  }

  func key(for machine: String? = nil) throws -> RegistrationKey {
    try service.makeKey(label: "", validSeconds: 60, uses: 1, machine: machine).key
  }

  /// Enrols, with a key for any machine unless another is given, and keeps what comes of it.
  @discardableResult
  func enrol(
    _ key: RegistrationKey? = nil, name: String? = nil, previous: Credentials? = nil
  ) throws -> Credentials {
    let files = try agent.identity()
    let request = try files.makeRequest(for: .agent(.random()))
    var enrolment = Enrolment(
      key: try key ?? self.key(), request: request, hostName: "web01", name: name,
      operatingSystem: .linux, version: "test", addresses: ["10.0.0.7"], clock: .now())
    enrolment.previous = try previous.map { try PreviousIdentity($0, for: request) }
    let result = try service.enrol(enrolment)
    let credentials = try files.store(
      certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
    try agent.save(
      AgentConfiguration(
        host: "127.0.0.1", controlPort: 8443, replicationPort: port,
        vault: service.vault.description.id, vaultName: "site", machine: result.machine,
        name: result.name))
    return credentials
  }

  /// Gives the agent another certificate, which was issued at `now` and is good for so long.
  @discardableResult
  func replaceCertificate(validSeconds: Int64, now: Timestamp = .now()) throws -> Credentials {
    let files = try agent.identity()
    let role = try files.load().identity.role
    let made = try files.renew(
      from: try service.authority(), role: role, validity: .seconds(validSeconds), now: now)
    try service.catalog.add(
      CertificateRecord(
        serial: made.issued.serial, role: "agent", subject: role.subject?.description ?? "",
        notBefore: made.issued.notBefore, notAfter: made.issued.notAfter))
    return made.credentials
  }

  /// Seconds that a certificate must be good for to be renewed so many seconds from now: each begins ten
  /// minutes before it is issued, and two thirds of its life are over then.
  static func life(renewedIn seconds: Int64) -> Int64 { (200 + seconds) * 3 / 2 }

  /// Adds a disk of 4 MiB to the agent's configuration, and has the machine protected.
  func protect() throws {
    let path = directory.file("disk0.img")
    try File(path, .creating(permissions: 0o600)).truncate(to: 4 << 20)
    let configuration = try agent.change {
      $0.disks = [DiskConfiguration(number: 0, path: path, capture: .scan, format: .raw)]
    }
    var record = try #require(try service.catalog.agent(of: configuration.machine))
    record.disks = [
      AgentRecord.Disk(number: 0, path: path, size: 4 << 20, capture: "scan", format: "raw")
    ]
    try service.catalog.set(record)
    let job = try service.enable(configuration.name, ProtectionOptions())
    let isDone = Program.poll(seconds: 20) { [service] in
      (try? service.jobs.job(job.id))?.state.isFinal == true
    }
    try #require(isDone)
  }

  /// Another machine, which is enrolled and no more.
  static func stranger(of site: ServiceSite) throws -> Credentials {
    let files = try IdentityFiles(in: site.directory.file("stranger"))
    let result = try site.service.enrol(
      Enrolment(
        key: try site.key(), request: try files.makeRequest(for: .agent(.random())),
        hostName: "web99", name: nil, operatingSystem: .linux, version: "test", addresses: [],
        clock: .now()))
    return try files.store(
      certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
  }

  /// A relay, which is enrolled and no more.
  static func relay(of site: ServiceSite) throws -> Credentials {
    let files = try IdentityFiles(in: site.directory.file("relay"))
    let result = try site.service.enrolRelay(
      Enrolment(
        key: try site.key(), request: try files.makeRequest(for: .relay(.random())),
        hostName: "relay01", name: nil, operatingSystem: .linux, version: "test", addresses: [],
        clock: .now()))
    return try files.store(
      certificatePEM: result.certificate.pem, authorityPEM: result.authority, now: .now())
  }

  func connect(_ credentials: Credentials, now: Timestamp? = nil) throws -> ClientConnection {
    try Client(credentials: credentials, now: { now ?? .now() }).connect(
      to: "127.0.0.1", port: port, within: .seconds(10))
  }

  static func hello(_ disks: [DiskConfiguration] = []) -> Hello {
    Hello(
      release: "test", hostName: "web01", system: "Linux", addresses: [], clock: .now(),
      held: .zero, disks: disks.map { Hello.Disk(configuration: $0, size: 4 << 20) })
  }
}
