import Bytes
import Catalog
import FileIO
import Support
import Testing

/// Goal: what the catalog was given is there after a restart, and nothing else is. Method: a real
/// file, closed and opened again.
@Suite struct CatalogTests {
  static let now = Timestamp(seconds: 1_795_170_600)

  static func later(_ seconds: Int64) -> Timestamp { Timestamp(seconds: now.seconds + seconds) }

  /// Fills one catalog, and gives the same file opened anew.
  static func reopened(
    _ directory: TemporaryDirectory, _ fill: (Catalog) throws -> Void
  ) throws -> Catalog {
    let catalog = try Catalog(in: directory.path)
    try fill(catalog)
    try catalog.close()
    return try Catalog(in: directory.path)
  }

  @Test("the file can be read and written by its owner alone, also the log beside it")
  func permissions() throws {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Catalog(in: directory.path)
    try catalog.addEvent(.info, "test", "something happened", now: Self.now)
    let names = try FileSystem.system.list(directory.path)
    #expect(names.contains(Catalog.fileName))
    for name in names {
      #expect(try FileSystem.system.status(directory.file(name)).permissions == 0o600, "\(name)")
    }
    try catalog.close()
  }

  @Test("a recovery that is kept as it was takes no room")
  func unchangedRecovery() throws {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Catalog(in: directory.path)
    var record = RecoveryRecord(
      machine: .random(), name: "web01", state: "failedOver", since: Self.now)
    record.replaced = [.random(), .random()]
    func keep(_ record: RecoveryRecord) throws -> UInt64 {
      _ = try catalog.changeRecovery(of: record.machine, now: Self.now) {
        _ -> RecoveryChange<CatalogError> in .keep(record)
      }
      return try FileSystem.system.status(directory.file(Catalog.fileName + "-wal")).size
    }
    let before = try keep(record)
    #expect(try keep(record) == before)
    #expect(try catalog.recovery(of: record.machine) == record)
    record.replaced = nil
    _ = try keep(record)
    #expect(try catalog.recovery(of: record.machine) == record)
    try catalog.close()
  }

  @Test("everything that was kept reads the same after the file was opened anew")
  func roundTrip() throws {
    let directory = try TemporaryDirectory("catalog")
    let machine = Identifier.random()
    let certificate = CertificateRecord(
      serial: "0a1b", role: "agent", subject: machine.description, notBefore: Self.now,
      notAfter: Self.later(90))
    let agent = AgentRecord(
      machine: machine, name: "web01", hostName: "web01.example", operatingSystem: "linux",
      version: "0.1.0", addresses: ["10.0.0.1", "fe80::1"],
      disks: [
        AgentRecord.Disk(
          number: 0, path: "/dev/vda", size: 1 << 40, capture: "scan", format: "raw")
      ],
      enrolled: Self.now)
    let server = ServerRecord(
      id: .random(), name: "relay1", version: "0.1.0", addresses: ["10.0.0.2"],
      port: 9443, enrolled: Self.now, lastContact: Self.later(1))
    var settings = MachineSettings(machine: machine)
    settings.isPaused = true
    settings.processServer = "relay1"
    let catalog = try Self.reopened(directory) { catalog in
      try catalog.add(certificate)
      try catalog.set(agent)
      try catalog.set(server)
      try catalog.set(settings)
      try catalog.noteContact(with: machine, at: Self.later(5))
    }
    #expect(try catalog.certificates() == [certificate])
    var heard = agent
    heard.lastContact = Self.later(5)
    #expect(try catalog.agents() == [heard])
    #expect(try catalog.servers() == [server])
    #expect(try catalog.settings(of: machine) == settings)
    #expect(try catalog.settings(of: .random()).cycleSeconds == 300)
    #expect(try catalog.revokeCertificates(of: machine.description, at: Self.now) == ["0a1b"])
    #expect(try catalog.revokeCertificates(of: machine.description, at: Self.now).isEmpty)
    #expect(try catalog.certificate(serial: "0a1b")?.revoked == Self.now)
    try catalog.revokeAgent(of: machine, at: Self.now)
    #expect(try catalog.agent(of: machine)?.revoked == Self.now)
    #expect(try !catalog.change(heard))
    #expect(try catalog.removeAgent(of: machine))
    #expect(try !catalog.removeAgent(of: machine))
    #expect(try catalog.removeServer(server.id))
    try catalog.close()
  }

  @Test("certificates that expired long ago are forgotten, but for the newest of each holder")
  func oldCertificates() throws {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Catalog(in: directory.path)
    func add(_ serial: String, _ subject: String, until end: Timestamp) throws {
      try catalog.add(
        CertificateRecord(
          serial: serial, role: "agent", subject: subject, notBefore: Self.now, notAfter: end))
    }
    try add("01", "a", until: Self.later(10))
    try add("02", "a", until: Self.later(20))
    try add("03", "a", until: Self.later(30))
    try add("04", "b", until: Self.later(10))
    try catalog.forgetCertificates(expiredBefore: Self.later(10))
    #expect(try catalog.certificates().count == 4)
    try catalog.forgetCertificates(expiredBefore: Self.later(21))
    #expect(try catalog.certificates().map(\.serial) == ["03", "04"])
    try catalog.forgetCertificates(expiredBefore: Self.later(100))
    #expect(try catalog.certificates().map(\.serial) == ["03", "04"])
    try catalog.close()
  }

  @Test("a registration key is used as often as it says and no more, nor after it expired")
  func registrationKeys() throws {
    let directory = try TemporaryDirectory("catalog")
    let key = RegistrationKeyRecord(
      id: .random(), digest: "aa", label: "web", created: Self.now, expires: Self.later(60),
      usesLeft: 2)
    let catalog = try Self.reopened(directory) { try $0.add(key) }
    #expect(try catalog.useRegistrationKey(digest: "ab", now: Self.now) == nil)
    #expect(try catalog.useRegistrationKey(digest: "aa", now: Self.later(60)) == nil)
    #expect(try catalog.useRegistrationKey(digest: "aa", now: Self.now)?.usesLeft == 1)
    #expect(try catalog.useRegistrationKey(digest: "aa", now: Self.now)?.usesLeft == 0)
    #expect(try catalog.useRegistrationKey(digest: "aa", now: Self.now) == nil)
    #expect(try catalog.registrationKeys().map(\.usesLeft) == [0])
    #expect(try catalog.removeRegistrationKey(key.id))
    #expect(try catalog.registrationKeys().isEmpty)
    try catalog.close()
  }

  @Test("tokens have a name each, and a revoked one is gone")
  func tokens() throws {
    let directory = try TemporaryDirectory("catalog")
    let token = TokenRecord(
      id: "0011", name: "monitor", role: .reader, digest: "aa", created: Self.now, expires: nil)
    let catalog = try Self.reopened(directory) { try $0.add(token) }
    #expect(try catalog.tokens() == [token])
    #expect(try catalog.token("0011") == token)
    var other = token
    other.id = "0012"
    let failure = #expect(throws: CatalogError.self) { try catalog.add(other) }
    #expect(failure?.code == .alreadyExists)
    #expect(try catalog.removeToken(named: "monitor"))
    #expect(try catalog.token("0011") == nil)
    #expect(try !catalog.removeToken(named: "monitor"))
    #expect(AccessRole.reader < .operator && AccessRole.operator < .administrator)
    try catalog.close()
  }

  @Test("a job that had not ended is found, and ended as failed")
  func jobs() throws {
    let directory = try TemporaryDirectory("catalog")
    var running: JobRecord?
    let catalog = try Self.reopened(directory) { catalog in
      var done = try catalog.addJob(kind: "Replicate", machine: "a", tasks: [], now: Self.now)
      (done.state, done.ended) = (.succeeded, Self.later(1))
      done.result = "{}"
      try catalog.update(done)
      var job = try catalog.addJob(kind: "Replicate", machine: "b", tasks: ["x"], now: Self.now)
      job.state = .inProgress
      job.tasks[0].state = .inProgress
      job.progress = JobProgress(step: "disk 0", done: 1, total: 2, changed: 1)
      try catalog.update(job)
      running = job
    }
    #expect(try catalog.job(2) == running)
    let failure = JobFailure(code: "failed", message: "the service ended")
    let ended = try catalog.failUnendedJobs(failure, now: Self.later(9))
    #expect(ended.map(\.id) == [2])
    #expect(ended.first?.tasks.first?.state == .failed)
    #expect(try catalog.jobs(limit: 10).map(\.state) == [.failed, .succeeded])
    #expect(try catalog.jobs(limit: 1).map(\.id) == [2])
    #expect(try catalog.jobs(after: 2, limit: 10).isEmpty)
    #expect(try catalog.job(2)?.error == failure)
    #expect(try catalog.failUnendedJobs(failure, now: Self.now).isEmpty)
    let next = try catalog.addJob(kind: "Replicate", machine: nil, tasks: [], now: Self.now)
    #expect(next.id == 3)
    try catalog.close()
  }

  @Test("events are counted for good, and a health error keeps since when it is there")
  func events() throws {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Self.reopened(directory) { catalog in
      for number in 1...5 {
        try catalog.addEvent(.info, "test", machine: "m", "event \(number)", now: Self.now)
      }
    }
    #expect(try catalog.events(limit: 2).map(\.message) == ["event 5", "event 4"])
    #expect(try catalog.events(after: 4, limit: 10).map(\.id) == [5])
    var error = HealthErrorRecord(
      subject: "m", code: "rpo", severity: .warning, message: "old", since: Self.now)
    try catalog.set(error)
    (error.message, error.since) = ("older", Self.later(60))
    try catalog.set(error)
    error.since = Self.now
    #expect(try catalog.healthErrors() == [error])
    #expect(try catalog.clearHealthError(subject: "m", code: "rpo"))
    #expect(try catalog.healthErrors().isEmpty)
    try catalog.close()
  }

  @Test("a catalog that was closed is an error to its users, and never a crash")
  func closed() throws {
    let directory = try TemporaryDirectory("catalog")
    let catalog = try Catalog(in: directory.path)
    try catalog.close()
    try catalog.close()
    #expect(throws: CatalogError.self) { try catalog.jobs(limit: 1) }
    #expect(throws: CatalogError.self) {
      try catalog.addEvent(.info, "test", "too late", now: Self.now)
    }
  }
}
