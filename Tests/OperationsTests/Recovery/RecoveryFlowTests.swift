import Bytes
import Capture
import Catalog
import Compute
import Dispatch
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// A vault with a machine of three recovery points, in service.
final class RecoverySite {
  let site: Site
  var service: VaultService
  let servers: StillServers
  /// What runs machines.
  var provider: any ComputeProvider = NoCompute()
  /// A vault for the service to be of while the other one has none.
  private let spare = try? Site()
  static let name = "web01"

  init(
    clock: @escaping @Sendable () -> Timestamp = { .now() }, on simulated: SimulatedDisk? = nil
  ) throws {
    site = try simulated.map { try Site(on: $0) } ?? Site()
    let disk = try site.disk("a.img")
    _ = try site.add(Self.name, [disk])
    for number in 0..<3 {
      let file = try File(disk, .writing)
      try file.write([UInt8](repeating: UInt8(number + 1), count: 4096), at: 8192)
      try site.replicate(Self.name, label: "p\(number)")
    }
    servers = StillServers(site.vault, in: site.directory.path)
    service = try VaultService(site.vault, clock: clock)
    try service.useForRecovery(parts)
  }

  var parts: RecoveryParts {
    let place = site.directory.path
    var parts = RecoveryParts(
      branches: VaultBranches(service.writable), servers: servers, provider: provider,
      directory: { "\(place)/\($0).vm" })
    parts.sourceLimits.contact = 0
    return parts
  }

  /// Ends the service, and begins another one; `without` the catalog where that is to be lost.
  func restart(without isLost: Bool = false) throws {
    let path = site.vault.path + "/" + Catalog.fileName
    try released {
      guard isLost else { return }
      for end in ["", "-wal", "-shm"] where FileSystem.system.exists(path + end) {
        try FileSystem.system.remove(path + end)
      }
    }
  }

  /// Does something while the vault has no service, and begins another one.
  func released(_ between: () throws -> Void) throws {
    service.close()
    // The lock goes with the last reference.
    if let spare { service = try VaultService(spare.vault) }
    try between()
    service = try VaultService(site.vault)
    try service.useForRecovery(parts)
  }

  @discardableResult
  func end(_ job: JobRecord) throws -> JobRecord { try ServiceTests.end(of: job, in: service) }

  func request(_ point: String = "latest", confirmed: Bool = false) -> RecoveryRequest {
    var request = RecoveryRequest(point: point)
    request.isConfirmed = confirmed
    return request
  }

  func drill(_ point: String = "latest") throws -> JobRecord {
    try end(try service.startTestFailover(Self.name, request(point), by: "tester"))
  }

  func failover(_ point: String = "latest") throws -> JobRecord {
    try end(try service.startFailover(Self.name, request(point), by: "tester"))
  }

  var standing: RecoveryStanding {
    get throws { try service.recovery(of: Self.name).standing }
  }

  var snapshot: MachineSnapshot {
    get throws { try site.vault.machine(named: Self.name).snapshot() }
  }

  var branches: [Identifier] { get throws { try site.vault.branchIdentifiers() } }

  func refusal(_ body: () throws -> Void) throws -> String {
    try #require(try site.failure(body)).message
  }
}

/// Goal: drills and failovers end in the state they tell of, with exactly the pins and branches of it.
/// Method: real vaults, logs and branches; only the processes that serve disks are stood in for.
@Suite struct RecoveryFlowTests {
  @Test("a drill leaves points and segments as they are, and is a success once it is cleaned up")
  func drill() throws {
    let site = try RecoverySite()
    let (before, files) = (try site.snapshot.points, try Self.segments(site))
    let job = try site.drill()
    #expect(job.state == .succeeded, "\(job)")
    #expect(job.operator == "tester")
    #expect(
      job.tasks.map(\.name) == [
        "Prerequisites check", "Process what was received", "Create disks",
        "Compare what runs with what was asked",
      ])
    #expect(try site.standing.state == .testActive)
    #expect(try site.snapshot.pins.map(\.purpose) == [.drill])
    let status = try site.service.recovery(of: RecoverySite.name)
    #expect(status.drill?.outcome == .active && status.lastSuccess == nil)
    let report = try #require(RecoveryReport(json: status.drill?.report))
    #expect(report.checks.contains { $0.name == "recovery point" && $0.verdict == .ok })
    #expect(report.comparisons.map(\.isSame) == [true])
    let refusal = try site.refusal { _ = try site.failover() }
    #expect(refusal.contains("tidemark test-failover cleanup web01"), "\(refusal)")
    for action in [{ try site.service.remove("web01") }, { try site.service.disable("web01") }] {
      #expect(try site.refusal { _ = try action() }.contains("test failover"))
    }
    let cleanup = try site.end(
      try site.service.cleanUpTestFailover("web01", notes: "All well.", by: "other"))
    #expect(cleanup.state == .succeeded, "\(cleanup)")
    #expect(try site.standing.state == .protected)
    #expect(try site.snapshot.pins.isEmpty && site.branches.isEmpty)
    let ended = try #require(try site.service.recovery(of: "web01").lastDrill)
    #expect(ended.outcome == .succeeded && ended.notes == "All well." && ended.endedBy == "other")
    #expect(
      try site.service.recovery(of: "web01").testState(at: .now()) == "Performed successfully")
    #expect(try site.snapshot.points == before)
    #expect(try Self.segments(site) == files)
  }

  private static func segments(_ site: RecoverySite) throws -> [String: [UInt8]] {
    let directory = "\(site.site.vault.path)/machines/\(try site.snapshot.machine)"
    var found: [String: [UInt8]] = [:]
    for name in try FileSystem.system.list(directory) where name.hasSuffix(".seg") {
      // What opening a log for writing may add to it is a sync, behind everything that is there.
      let bytes = try FileSystem.system.readFile("\(directory)/\(name)", limit: 1 << 26)
      found[name] = Array(bytes.prefix(1 << 16))
    }
    return found
  }

  @Test("of many who ask at once one is let through, and the others are told what runs")
  func race() throws {
    let site = try RecoverySite()
    let begun = Mutex<[Int64]>([])
    let refused = Mutex<[String]>([])
    let service = site.service
    DispatchQueue.concurrentPerform(iterations: 16) { number in
      do throws(OperationError) {
        let request = RecoveryRequest(point: "latest")
        let job =
          number % 2 == 0
          ? try service.startTestFailover("web01", request, by: nil)
          : try service.startFailover("web01", request, by: nil)
        begun.withLock { $0.append(job.id) }
      } catch { refused.withLock { $0.append(error.message) } }
    }
    let ids = begun.withLock { $0 }
    #expect(ids.count == 1 && refused.withLock { $0.count } == 15)
    for id in ids { try site.end(try service.jobs.job(id)) }
    #expect(try site.snapshot.pins.count == 1 && site.branches.count == 1)
    let drills = try site.service.catalog.drills(limit: 20).count
    #expect(try drills == (site.standing.state == .testActive ? 1 : 0))
  }

  @Test(
    "failover, another point, commit, end of protection and discard, each with what belongs to it")
  func failover() throws {
    let site = try RecoverySite()
    let job = try site.failover("p2")
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.standing.state == .failedOver)
    #expect(try site.snapshot.epoch == 1 && site.snapshot.points.count == 3)
    let first = try #require(try site.branches.first)
    // What is told of it where no service runs.
    let summary = try MachineSummary.named("web01", in: site.site.vault)
    #expect(summary.recovery?.state == .failedOver && summary.branch == first)
    #expect(try summary.recoveredFrom?.id == site.snapshot.points.last?.id)
    let stopped = try site.refusal {
      try site.service.replicate(
        "web01", .init(), progress: { _ in }, cancelled: { false }, made: { _ in })
    }
    #expect(stopped.contains("fence"), "\(stopped)")
    let unconfirmed = try site.refusal {
      _ = try site.service.changeRecoveryPoint("web01", site.request("p1"), by: nil)
    }
    #expect(unconfirmed.contains("4096 bytes"), "\(unconfirmed)")
    let changed = try site.end(
      try site.service.changeRecoveryPoint("web01", site.request("p1", confirmed: true), by: nil))
    #expect(changed.state == .succeeded, "\(changed)")
    #expect(try site.snapshot.epoch == 2)
    #expect(try site.branches.count == 1 && !site.branches.contains(first))
    #expect(try site.service.recovery(of: "web01").record?.point?.asked == "p1")
    #expect(
      try site.end(try site.service.commitFailover("web01", completesMigration: false, by: nil))
        .state == .succeeded)
    #expect(try site.standing.state == .committed)
    #expect(try site.snapshot.points.isEmpty && site.snapshot.pins.map(\.isCommitted) == [true])
    let again = try site.refusal {
      _ = try site.service.changeRecoveryPoint(
        "web01", site.request("p1", confirmed: true), by: nil)
    }
    #expect(again.contains("deleted its recovery points"), "\(again)")
    #expect(try site.refusal { _ = try site.service.remove("web01") }.contains("failed over"))
    #expect(try site.service.disable("web01").first?.contains("discard web01") == true)
    #expect(try site.standing.keepsDisks && site.branches.count == 1)
    #expect(try site.end(try site.service.discardFailedOver("web01", by: nil)).state == .succeeded)
    #expect(try site.branches.isEmpty && site.site.vault.machines().isEmpty)
  }

  @Test(
    "a failover that fails half-way is tried again, or cancelled, after which old points still serve"
  )
  func halfWay() throws {
    let site = try RecoverySite()
    site.servers.state.withLock { $0.isBroken = true }
    #expect(try site.failover().state == .failed)
    #expect(try site.standing.state == .failoverFailed)
    #expect(try site.standing.allowed == [.failover, .cancel])
    site.servers.state.withLock { $0.isBroken = false }
    #expect(try site.failover("p0").state == .succeeded)
    #expect(try site.standing.state == .failedOver && site.branches.count == 1)
    #expect(try site.snapshot.pins.count == 1)

    let other = try RecoverySite()
    other.servers.state.withLock { $0.isBroken = true }
    _ = try other.failover()
    other.servers.state.withLock { $0.isBroken = false }
    let unconfirmed = try other.refusal {
      _ = try other.service.cancelFailover("web01", isConfirmed: false, by: nil)
    }
    #expect(unconfirmed.contains("not be replicated again"))
    #expect(
      try other.end(try other.service.cancelFailover("web01", isConfirmed: true, by: nil)).state
        == .succeeded)
    #expect(try other.standing.state == .replicationStopped)
    #expect(try other.snapshot.pins.isEmpty && other.branches.isEmpty)
    #expect(try other.snapshot.points.count == 3)
    #expect(try other.failover("p1").state == .succeeded)
  }

  @Test(
    "what can't be begun leaves the machine protected, and names each thing that stands in the way")
  func refused() throws {
    let site = try RecoverySite()
    let job = try site.failover("nothing-of-that-name")
    #expect(job.state == .failed && job.error?.message.contains("recovery point") == true)
    #expect(job.tasks.first?.state == .failed && job.tasks.first?.error != nil)
    #expect(try site.standing == RecoveryStanding(.protected))
    #expect(try site.snapshot.epoch == 0)
    var request = site.request()
    request.boots = true
    let boot = try site.end(try site.service.startTestFailover("web01", request, by: nil))
    #expect(boot.error?.message.contains("'none'") == true)
    #expect(try site.service.drills(of: "web01", limit: 5).map(\.drill.outcome) == [.failed])
    request.network = "none-such"
    #expect(
      try site.site.failure { _ = try site.service.startFailover("web01", request, by: nil) }?.code
        == .unknown)
  }

  @Test("while the service begins every action is refused, with what to do, and changes nothing")
  func beginning() throws {
    let site = try RecoverySite()
    _ = try site.failover("p1")
    let before = try site.standing
    site.service.recovery.parts.withLock { $0 = nil }
    let (service, name) = (site.service, RecoverySite.name)
    let actions: [() throws -> Void] = [
      { _ = try service.changeRecoveryPoint(name, site.request("p0", confirmed: true), by: nil) },
      { _ = try service.commitFailover(name, completesMigration: false, by: nil) },
      { _ = try service.cancelFailover(name, isConfirmed: true, by: nil) },
      { _ = try service.flattenFailover(name, by: nil) },
      { _ = try service.startTestFailover(name, site.request(), by: nil) },
      { _ = try service.startFailover(name, site.request(), by: nil) },
      { _ = try service.power(of: name, isTest: false) },
    ]
    for action in actions {
      let refusal = try site.refusal(action)
      #expect(refusal.contains("The service is beginning"), "\(refusal)")
    }
    #expect(try site.standing == before && site.snapshot.pins.map(\.isCommitted) == [false])
  }

  @Test("a lost catalog loses no drill, no failed-over disk and no commit")
  func lostCatalog() throws {
    let site = try RecoverySite()
    _ = try site.drill()
    try site.restart(without: true)
    #expect(try site.standing.state == .testActive)
    #expect(
      try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil)).state
        == .succeeded)
    #expect(try site.branches.isEmpty)
    _ = try site.failover()
    let branch = try site.branches
    try site.restart(without: true)
    #expect(try site.standing.state == .failedOver && site.branches == branch)
    #expect(try site.service.agentHost.sourceRefusal(of: site.snapshot.machine) != nil)
    _ = try site.end(try site.service.commitFailover("web01", completesMigration: true, by: nil))
    #expect(try site.standing.keepsDisks && site.branches == branch)
    try site.restart()
    #expect(try site.standing.keepsDisks)
  }

  @Test("a drill whose time is over is cleaned up by itself")
  func expiry() throws {
    let site = try RecoverySite()
    var request = site.request()
    request.expires = Timestamp(seconds: Timestamp.now().seconds + 3600)
    _ = try site.end(try site.service.startTestFailover("web01", request, by: nil))
    site.service.recovery.look(at: .now())
    #expect(try site.standing.state == .testActive)
    site.service.recovery.look(at: Timestamp(seconds: Timestamp.now().seconds + 3601))
    #expect(try Program.poll(seconds: 10) { try site.standing.state == .protected })
    let drill = try #require(try site.service.recovery(of: "web01").lastDrill)
    #expect(drill.outcome == .succeeded && drill.endedBy == nil && drill.notes != nil)
  }
}
