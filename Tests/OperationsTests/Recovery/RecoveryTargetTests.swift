import Catalog
import Compute
import FileIO
import ImageFormats
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Runs nothing, says that it does, and keeps what it was asked for.
final class PaperMachines: ComputeProvider {
  let plan = Mutex<MachinePlan?>(nil)
  var kind: ComputeKind { .qemu }

  func check(_ plan: MachinePlan?) -> [ComputeFinding] { [] }
  func start(_ plan: MachinePlan) { self.plan.withLock { $0 = plan } }
  func startAgain(in directory: String) {}
  func observe(in directory: String) -> MachineObservation? {
    plan.withLock { $0?.directory == directory } ? MachineObservation(.on) : nil
  }
  func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) -> MachineStop {
    plan.withLock { plan in
      defer { plan = nil }
      return plan == nil ? .wasOff : .forced
    }
  }
  func end(in directory: String) { plan.withLock { $0 = nil } }
  func connections(in directory: String) -> MachineConnections? { nil }
  func console(in directory: String, limit: Int) -> [UInt8] { [] }
}

/// Goal: what a recovered machine uses is kept for it, and what it could start by is known before. Method: a vault
/// in service with drills, failovers and partitioned disks.
@Suite struct RecoveryTargetTests {
  @Test("a network that a drill or a failover was asked to join stays as long as its disks do")
  func networks() throws {
    let site = try RecoverySite()
    let service = site.service
    var request = site.request()
    request.network = "restored"
    let unknown = try site.refusal {
      _ = try service.startTestFailover(RecoverySite.name, request, by: nil)
    }
    #expect(unknown.contains("There is no network 'restored'"), "\(unknown)")
    _ = try service.createNetwork(NewNetwork(name: "restored", kind: .isolated))
    func users() throws -> [String] { try service.network(named: "restored").users }
    func expectKept(by user: String) throws {
      #expect(try users() == [user])
      let refusal = try site.refusal { try service.deleteNetwork(named: "restored") }
      #expect(refusal.contains("used by \(user)"), "\(refusal)")
    }
    try site.end(try service.startTestFailover(RecoverySite.name, request, by: nil))
    try expectKept(by: "the drill of 'web01'")
    try site.end(try service.cleanUpTestFailover(RecoverySite.name, notes: nil, by: nil))
    #expect(try users().isEmpty)
    try site.end(try service.startFailover(RecoverySite.name, request, by: nil))
    try expectKept(by: "the failed-over machine 'web01'")
  }

  /// Has the machine join a bridge when it is failed over.
  private func setBridge(_ site: RecoverySite) throws {
    _ = try site.service.createNetwork(NewNetwork(name: "lan", kind: .bridge, bridge: "br0"))
    var adapter = TargetChanges.Adapter(number: 0)
    adapter.network = "lan"
    var changes = TargetChanges()
    changes.adapters = [adapter]
    _ = try site.service.changeTarget(of: RecoverySite.name, changes)
  }

  @Test("where no network is isolated a drill starts no machine unless it is said what that joins")
  func drillNetwork() throws {
    let site = try RecoverySite()
    let service = site.service
    site.provider = PaperMachines()
    try service.useForRecovery(site.parts)
    try setBridge(site)
    try service.deleteNetwork(named: "isolated")
    var request = site.request()
    request.boots = true
    let refused = try site.end(
      try service.startTestFailover(RecoverySite.name, request, by: nil))
    let message = try #require(refused.error?.message, "\(refused)")
    #expect(refused.state == .failed && message.contains("network create isolated --isolated"))
    #expect(try site.standing == RecoveryStanding(.protected))
    // Its disks alone need none; who starts a machine on them later is asked the same.
    #expect(try site.drill().state == .succeeded)
    let start = try site.end(
      try service.startMachine(RecoverySite.name, isTest: true, boots: true, by: nil))
    #expect(start.error?.message.contains("no isolated network") == true, "\(start)")
    try site.end(try service.cleanUpTestFailover(RecoverySite.name, notes: nil, by: nil))
    request.network = "lan"
    let meant = try site.end(try service.startTestFailover(RecoverySite.name, request, by: nil))
    #expect(meant.state == .succeeded, "\(meant)")
  }

  @Test("a failover joins the network that is said, and what is set for it again if that is said")
  func chosenNetwork() throws {
    let site = try RecoverySite()
    let (service, machines) = (site.service, PaperMachines())
    site.provider = machines
    try service.useForRecovery(site.parts)
    try setBridge(site)
    var request = site.request()
    (request.boots, request.network) = (true, "isolated")
    func joined() -> [MachinePlan.Network]? {
      machines.plan.withLock { $0?.adapters.map(\.network) }
    }
    let failover = try site.end(try service.startFailover(RecoverySite.name, request, by: nil))
    #expect(failover.state == .succeeded && joined() == [.isolated], "\(failover)")
    let check = RecoveryReport(json: failover.result)?.checks.first { $0.name == "network" }
    #expect(check?.found.contains("not what is set for them: 'lan'") == true, "\(failover)")
    for (word, network) in [
      (nil, MachinePlan.Network.isolated), ("default", .bridge("br0")), (nil, .bridge("br0")),
    ] {
      var another = site.request("p1", confirmed: true)
      another.network = word
      let change = try site.end(
        try service.changeRecoveryPoint(RecoverySite.name, another, by: nil))
      #expect(change.state == .succeeded && joined() == [network], "\(change)")
    }
  }

  @Test(
    "a disk's boot layout is that of the newest recovery point",
    .enabled(if: Available.programs("sgdisk")))
  func bootLayout() throws {
    let site = try RecoverySite()
    func disk() throws -> DiskOverview {
      let machine = try site.service.overview(of: RecoverySite.name)
      return try #require(try site.service.disks(of: machine).first)
    }
    #expect(try disk().bootLayout?.scheme == nil && disk().replication == .replicated)
    try Program.require(
      "sgdisk", "--set-alignment=1", "--new=1:64:1000", "--typecode=1:ef00",
      site.site.directory.file("a.img"))
    try site.released { try site.site.replicate(RecoverySite.name) }
    let layout = try #require(try disk().bootLayout)
    #expect(layout.scheme == .gpt && layout.systemPartition == 1 && layout.loader == .none)
    #expect(try site.failover().state == .succeeded)
    #expect(try disk().replication == .replicated)
    try site.end(
      try site.service.commitFailover(RecoverySite.name, completesMigration: false, by: nil))
    #expect(try disk().replication == .unprotected)
  }
}
