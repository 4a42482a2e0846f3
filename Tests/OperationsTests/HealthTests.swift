import Bytes
import Catalog
import Codecs
import Dispatch
import FileIO
import Replication
import Support
import Testing
import Vault

@testable import Operations

/// Goal: what is wrong is told while it lasts, once when it begins and once when it ends. Method: a vault
/// in service, agents' words put into its book, and a clock that jumps.
@Suite struct HealthTests {
  /// Ahead of the clock, so that machines are enabled before it, however long a busy machine lets a test wait.
  static let start = Timestamp(seconds: Timestamp.now().seconds + 600)

  static func later(minutes: Int64) -> Timestamp {
    Timestamp(seconds: start.seconds + minutes * 60)
  }

  static let calm = HostLoad(freeBytes: 90 << 30, totalBytes: 100 << 30)

  /// A vault in service with machines that have enrolled.
  final class Bench {
    let directory: TemporaryDirectory
    let service: VaultService
    let monitor: HealthMonitor

    init(_ names: String..., disks: [Int] = [0]) throws {
      directory = try TemporaryDirectory("health")
      let vault = try Vault.create(at: directory.file("vault"), name: "site", codec: .zstd)
      service = try VaultService(vault)
      monitor = HealthMonitor(
        service.vault, service.catalog, service.agentHost, service.health, service.jobs,
        started: HealthTests.start)
      for name in names { try enrol(name, disks: disks) }
    }

    deinit { _ = service.close() }

    func enrol(_ name: String, disks: [Int], size: UInt64 = 1 << 30) throws {
      try service.catalog.set(
        AgentRecord(
          machine: .random(), name: name, hostName: name, operatingSystem: "linux", version: "1",
          addresses: ["10.0.0.7", "203.0.113.9"],
          disks: disks.map {
            AgentRecord.Disk(
              number: $0, path: "/dev/vd\($0)", size: size, capture: "scan", format: "raw")
          }, enrolled: HealthTests.start, lastContact: HealthTests.start))
    }

    func enable(_ name: String, _ options: ProtectionOptions = ProtectionOptions()) throws {
      let job = try service.enable(name, options)
      let ended = try ServiceTests.end(of: job, in: service)
      try #require(ended.state == .succeeded, "\(ended)")
    }

    /// What is heard of a machine's agent.
    func hear(_ name: String, at now: Timestamp, _ report: Report? = nil, point: Bool = false)
      throws
    {
      let machine = try service.agent(named: name).machine
      service.agentHost.activity.change(machine) { activity in
        activity.contact = now
        if let report { activity.take(report) }
        if point { activity.newestPoint = now }
      }
    }

    func codes() -> [String] { service.health.current.map(\.code) }

    func events() throws -> [String] {
      try service.events(after: 0, limit: 100).reversed().map(\.code).filter { code in
        HealthCode.allCases.contains { code.hasPrefix($0.rawValue) }
      }
    }
  }

  @Test("a silent agent, an old point and a missed one are told when due, and end by themselves")
  func silence() throws {
    let bench = try Bench("web01")
    try bench.enable("web01")
    try bench.hear("web01", at: Self.later(minutes: 1), Report(activity: .waiting), point: true)
    for minute in 1...10 {
      bench.monitor.look(at: Self.later(minutes: Int64(minute)), load: Self.calm)
    }
    #expect(bench.codes().isEmpty)
    bench.monitor.look(at: Self.later(minutes: 16), load: Self.calm)
    #expect(bench.codes() == ["agent-silent"])
    bench.monitor.look(at: Self.later(minutes: 17), load: Self.calm)
    #expect(Set(bench.codes()) == ["agent-silent", "rpo-exceeded"])
    bench.monitor.look(at: Self.later(minutes: 61), load: Self.calm)
    #expect(Set(bench.codes()) == ["agent-silent", "rpo-exceeded", "no-crash-point"])
    let overview = try bench.service.overview(of: "web01")
    #expect(overview.health == .critical && overview.errors.count == 3)
    for error in overview.errors { #expect(!error.advice.isEmpty) }
    let since = bench.service.health.current.first { $0.code == "agent-silent" }?.since
    #expect(since == Self.later(minutes: 16))
    try bench.hear("web01", at: Self.later(minutes: 62), point: true)
    bench.monitor.look(at: Self.later(minutes: 62), load: Self.calm)
    #expect(bench.codes().isEmpty)
    let events = try bench.events()
    #expect(
      events.sorted() == [
        "agent-silent", "agent-silent-ended", "no-crash-point", "no-crash-point-ended",
        "rpo-exceeded", "rpo-exceeded-ended",
      ])
  }

  @Test("the threshold of each machine counts, and a paused one is left alone")
  func thresholds() throws {
    let bench = try Bench("fast", "slow", "idle")
    var options = ProtectionOptions()
    (options.cycleSeconds, options.rpoSeconds) = (60, 120)
    try bench.enable("fast", options)
    (options.cycleSeconds, options.rpoSeconds) = (7200, nil)
    try bench.enable("slow", options)
    try bench.enable("idle")
    try bench.service.setPaused(true, machine: "idle")
    for name in ["fast", "slow", "idle"] {
      try bench.hear(name, at: Self.later(minutes: 0), point: true)
    }
    for minute in stride(from: 5, through: 90, by: 5) {
      for name in ["fast", "slow"] { try bench.hear(name, at: Self.later(minutes: Int64(minute))) }
      bench.monitor.look(at: Self.later(minutes: Int64(minute)), load: Self.calm)
    }
    let errors = bench.service.health.current
    #expect(
      Set(errors.map { "\($0.subject) \($0.code)" }) == [
        "fast rpo-exceeded", "fast no-crash-point",
      ])
    // What is not protected any more has no errors, and a machine is as good as new after it.
    _ = try bench.service.disable("fast")
    #expect(bench.codes().isEmpty)
  }

  @Test("a first replication that is too slow is a warning, one that stands still is critical")
  func copies() throws {
    let bench = try Bench("web01")
    try bench.enable("web01")
    func copy(_ minutes: ClosedRange<Int64>, from: UInt64, by step: UInt64) throws {
      for minute in minutes {
        let done = from + UInt64(minute - minutes.lowerBound) * step
        try bench.hear(
          "web01", at: Self.later(minutes: minute),
          Report(activity: .copying, examined: done, total: 8 << 40))
        bench.monitor.look(at: Self.later(minutes: minute), load: Self.calm)
      }
    }
    try copy(0...20, from: 0, by: 4 << 30)
    #expect(bench.codes().isEmpty)
    try copy(21...60, from: 80 << 30, by: 1 << 20)
    #expect(bench.codes() == ["first-replication-slow"])
    try copy(61...80, from: 81 << 30, by: 0)
    #expect(bench.codes() == ["first-replication-stalled"])
    try bench.hear("web01", at: Self.later(minutes: 81), point: true)
    bench.monitor.look(at: Self.later(minutes: 81), load: Self.calm)
    #expect(bench.codes().isEmpty)
    #expect(try bench.events().count == 4)
  }

  @Test("a host that is short of something, and a vault that is full, are told")
  func host() throws {
    let bench = try Bench()
    func look(_ minute: Int64, busy: UInt64, memory: Int, free: UInt64) {
      bench.monitor.look(
        at: Self.later(minutes: minute),
        load: HostLoad(
          processor: HostLoad.ProcessorTime(busy: busy, total: UInt64(minute) * 100),
          memoryPercent: memory, freeBytes: free << 30, totalBytes: 100 << 30))
    }
    for minute in 0...20 { look(Int64(minute), busy: UInt64(minute) * 85, memory: 97, free: 50) }
    #expect(Set(bench.codes()) == ["host-processor", "host-memory"])
    let severities = bench.service.health.current.map { "\($0.code) \($0.severity.rawValue)" }
    #expect(severities.sorted() == ["host-memory critical", "host-processor warning"])
    for minute in 21...60 { look(Int64(minute), busy: 1700, memory: 10, free: 28) }
    #expect(bench.codes() == ["host-space"])
    look(61, busy: 1700, memory: 10, free: 2)
    #expect(Set(bench.codes()) == ["host-space", "vault-full"])
    look(62, busy: 1700, memory: 10, free: 90)
    #expect(bench.codes().isEmpty)
  }

  @Test("a machine that was revoked is critical, its RPO still counts, and it can be disabled")
  func revoked() throws {
    let bench = try Bench("web01", "web02")
    try bench.enable("web01")
    try bench.hear("web01", at: Self.later(minutes: 1), point: true)
    bench.monitor.look(at: Self.later(minutes: 1), load: Self.calm)
    try bench.service.revoke("web01")
    #expect(bench.codes() == ["agent-revoked"])
    bench.monitor.look(at: Self.later(minutes: 30), load: Self.calm)
    #expect(Set(bench.codes()) == ["agent-revoked", "rpo-exceeded"])
    try bench.service.setPaused(true, machine: "web01")
    bench.monitor.look(at: Self.later(minutes: 31), load: Self.calm)
    #expect(bench.codes() == ["agent-revoked"])
    #expect(try bench.service.overview(of: "web01").health == .critical)
    _ = try bench.service.disable("web01")
    #expect(bench.codes().isEmpty)
    #expect(throws: OperationError.self) { try bench.service.agent(named: "web01") }
    // One without recovery points is forgotten at once, and one without an agent can be disabled too.
    try bench.service.revoke("web02")
    #expect(try bench.service.agents().isEmpty && bench.codes().isEmpty)
    try bench.enrol("web03", disks: [0])
    try bench.enable("web03")
    let machine = try bench.service.agent(named: "web03").machine
    _ = try bench.service.catalog.removeAgent(of: machine)
    _ = try bench.service.disable("web03")
    #expect(try bench.service.overviews(at: .now()).isEmpty)
    #expect { try bench.service.disable("web03") } throws: {
      ($0 as? OperationError)?.code == .unknown
    }
  }

  @Test("a relay that is busy, full, slow or silent is a current error of its own, until it is not")
  func relays() throws {
    let bench = try Bench("relay01")
    try bench.enable("relay01")
    let relay = ServerRecord(
      id: .random(), name: "relay01", version: "1", addresses: [], port: 9443,
      enrolled: Self.start)
    try bench.service.catalog.set(relay)
    func tell(_ minute: Int64, busy: UInt32, free: UInt64, pending: UInt32) throws {
      let now = Self.later(minutes: minute)
      let load = ServerLoad(
        processor: busy, memory: 0, cacheFree: free, cacheSize: 100, pendingSeconds: pending,
        machines: 0)
      try bench.service.agentHost.relays.note(
        RelayStatus(release: "1", clock: now, addresses: ["10.0.0.9"], port: 9443, load: load),
        from: relay.id, at: now)
      try bench.hear("relay01", at: now, point: true)
      bench.monitor.look(at: now, load: Self.calm)
    }
    try tell(1, busy: 970, free: 29, pending: 60 * 46)
    let errors = bench.service.health.current
    #expect(
      errors.map { "\($0.subject) \($0.code) \($0.severity.rawValue)" }.sorted() == [
        "relay01 host-processor critical", "relay01 server-cache warning",
        "relay01 server-pending critical",
      ])
    #expect(
      errors.first { $0.code == "host-processor" }?.message
        == "The processors were 97 % busy over the last 15 minutes; the limit is 95 %.")
    // The machine of the same name has nothing to do with it; all together has.
    let overviews = try bench.service.overviews(at: .now())
    #expect(overviews.first?.errors.isEmpty == true)
    #expect(bench.service.overallHealth(of: overviews) == .critical)
    #expect(throws: OperationError.self) { try bench.service.checkServer("relay01") }
    // A limit that is reached is not passed.
    try tell(2, busy: 800, free: 30, pending: 60 * 30)
    #expect(bench.codes().isEmpty)
    for minute in [17, 18] as [Int64] {
      try bench.hear("relay01", at: Self.later(minutes: minute), point: true)
      bench.monitor.look(at: Self.later(minutes: minute), load: Self.calm)
      #expect(bench.codes() == (minute == 17 ? [] : ["server-silent"]))
    }
    let began = try bench.service.events(after: 0, limit: 1).first
    #expect(began?.code == "server-silent" && began?.machine == nil)
    #expect(began?.message.hasPrefix("Process server 'relay01': Nothing was heard of it") == true)
    try tell(19, busy: 960, free: 90, pending: 0)
    #expect(bench.codes() == ["host-processor"])
    try bench.service.removeServer("relay01")
    #expect(bench.codes().isEmpty)
  }

  @Test("errors are ordered by severity, then by how many machines they impact")
  func groups() {
    func error(_ subject: String, _ code: String, _ severity: Severity) -> HealthErrorRecord {
      HealthErrorRecord(
        subject: subject, code: code, severity: severity, message: "m", since: Self.start)
    }
    let groups = ErrorGroup.groups(of: [
      error("a", "rpo-exceeded", .warning), error("b", "rpo-exceeded", .warning),
      error("a", "cycle-failed", .warning), error("b", "agent-silent", .critical),
      error("c", "no-crash-point", .critical), error("b", "no-crash-point", .critical),
    ])
    #expect(
      groups.map { "\($0.code) \($0.count)" } == [
        "no-crash-point 2", "agent-silent 1", "rpo-exceeded 2", "cycle-failed 1",
      ])
    #expect(groups.first?.errors.map(\.subject) == ["b", "c"])
  }

  @Test("curves are kept: RPO, churn by disk, what was sent, where the time went; and are bounded")
  func samples() throws {
    let bench = try Bench("web01", disks: [0, 1])
    try bench.enable("web01")
    let machine = try bench.service.agent(named: "web01").machine
    bench.monitor.look(at: Self.later(minutes: 0), load: Self.calm)
    for minute in stride(from: 5, through: 30, by: 5) {
      // Two cycles in the five minutes, each told of twice.
      for _ in 0..<2 {
        for part in 1...2 as ClosedRange<UInt64> {
          let disks = [
            Report.Disk(number: 0, examined: 100 * part, changed: 10 * part),
            Report.Disk(number: 1, examined: 50 * part, changed: 3 * part),
          ]
          try bench.hear(
            "web01", at: Self.later(minutes: Int64(minute)),
            Report(
              activity: .cycling, examined: 150 * part, total: 300, reading: 1000 * part,
              compressing: 500 * part, sending: 4000 * part, disks: disks))
        }
        try bench.hear(
          "web01", at: Self.later(minutes: Int64(minute)), Report(activity: .waiting), point: true)
      }
      bench.service.agentHost.activity.change(machine) { $0.sums.uploaded += 700 }
      bench.monitor.look(at: Self.later(minutes: Int64(minute) + 1), load: Self.calm)
    }
    let samples = try bench.service.history(of: "web01", since: Self.later(minutes: 0)).samples
    #expect(samples.count == 7)
    for sample in samples.dropFirst() {
      #expect(sample.churn.map(\.bytes) == [40, 12] && sample.uploaded == 700)
      #expect(sample.reading == 4000 && sample.compressing == 2000 && sample.sending == 16000)
      #expect(sample.rpoSeconds == 60)
    }
    bench.monitor.look(at: Self.later(minutes: 8 * 24 * 60), load: Self.calm)
    #expect(try bench.service.catalog.samples(of: machine, since: Self.start).count == 1)
  }

  private func job(_ service: VaultService, _ machine: String) throws -> JobRecord {
    let jobs = try service.jobs.jobs(limit: 100)
    return try #require(
      jobs.first { $0.kind == "Finalize protection" && $0.machine == machine })
  }

  /// Enables two machines, one of which is in the middle of its first replication.
  private func start(_ bench: Bench) throws -> JobRecord {
    try bench.enable("web01")
    try bench.enable("web02")
    try bench.hear(
      "web01", at: Self.later(minutes: 1), Report(activity: .copying, examined: 30, total: 100))
    bench.monitor.look(at: Self.later(minutes: 1), load: Self.calm)
    let running = try job(bench.service, "web01")
    #expect(running.state == .inProgress && running.progress?.done == 30)
    #expect(running.tasks.map(\.state) == [.succeeded, .inProgress, .notStarted])
    #expect(try job(bench.service, "web02").tasks.map(\.state).allSatisfy { $0 == .notStarted })
    return running
  }

  @Test("the job that finalizes protection follows the first replication, also over a restart")
  func finalizing() throws {
    var first: Bench? = try Bench("web01", "web02")
    let directory = try #require(first?.directory)
    let before = try start(try #require(first))
    first = nil

    let again = try VaultService(try Vault(opening: directory.file("vault")))
    #expect(try job(again, "web01").state == .inProgress)
    let machine = try again.agent(named: "web01").machine
    again.agentHost.activity.change(machine) { $0.newestPoint = Self.later(minutes: 2) }
    again.monitor.look(at: Self.later(minutes: 2), load: Self.calm)
    let done = try job(again, "web01")
    #expect(done.state == .succeeded && done.id == before.id)
    #expect(done.tasks.map(\.state) == [.succeeded, .succeeded, .succeeded])
    _ = try again.disable("web02")
    again.monitor.look(at: Self.later(minutes: 3), load: Self.calm)
    #expect(try job(again, "web02").state == .cancelled)
    #expect(try again.overview(of: "web01").state == .initialReplication)
    _ = again.close()
  }

  @Test("what can't be kept while the disk is full is current all the same, and kept later")
  func fullCatalog() throws {
    let mount = try LoopMount(.ext4, size: 32 << 20)
    let catalog = try Catalog(in: mount.path)
    let book = HealthBook(catalog)
    var free = try FileSystem.system.space(at: mount.path).free
    let filler = try File(mount.file("filler"), .creating(permissions: 0o600))
    let zeros = [UInt8](repeating: 1, count: 4096)
    var end: UInt64 = 0
    while free > 0 {
      do { try filler.write(zeros, at: end) } catch { break }
      end += 4096
      free = try FileSystem.system.space(at: mount.path).free
    }
    func error(_ number: Int) -> HealthErrorRecord {
      HealthErrorRecord(
        subject: "m\(number)", code: "agent-silent", severity: .critical,
        message: String(repeating: "x", count: 6000), since: Self.start)
    }
    for number in 0..<300 { book.raise(error(number)) }
    #expect(book.current.count == 300)
    #expect(try catalog.healthErrors().count < 300)
    try filler.truncate(to: 0)
    book.flush()
    #expect(try catalog.healthErrors().count == 300)
    #expect(try catalog.events(limit: 1000).count == 300)
    try catalog.close()
  }
}
