import Bytes
import Catalog
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Compute
@testable import Operations

/// A machine that died with its host, until it is started again.
private final class DeadMachine: ComputeProvider {
  let isStarted = Atomic(false)
  var kind: ComputeKind { .qemu }

  func check(_ plan: MachinePlan?) -> [ComputeFinding] { [] }
  func start(_ plan: MachinePlan) { isStarted.store(true, ordering: .relaxed) }
  func startAgain(in directory: String) { isStarted.store(true, ordering: .relaxed) }
  func observe(in directory: String) -> MachineObservation? {
    isStarted.load(ordering: .relaxed) ? nil : MachineObservation(.died)
  }
  func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) -> MachineStop { .wasOff }
  func end(in directory: String) {}
  func connections(in directory: String) -> MachineConnections? { nil }
  func console(in directory: String, limit: Int) -> [UInt8] { [] }
}

/// Copying failed-over disks to plain files, as an operator sees it.
@Suite struct RecoveryFlattenTests {
  @Test(
    "the disks of a failover become plain files, before and behind its commit, and go on from there"
  )
  func becomesFiles() throws {
    for isCommitted in [false, true] {
      let site = try RecoverySite()
      let early = try site.refusal { _ = try site.service.flattenFailover("web01", by: nil) }
      #expect(early.contains("no failed-over disks"), "\(early)")
      #expect(try site.failover("p1").state == .succeeded)
      if isCommitted { try commit(site) }
      let job = try site.end(try site.service.flattenFailover("web01", by: "ada"))
      #expect(job.state == .succeeded, "\(job)")
      #expect(job.tasks.map(\.state) == [.succeeded, .succeeded])
      #expect(try site.standing.state == (isCommitted ? .committed : .failedOver))
      #expect(try site.snapshot.pins.map(\.isFlat) == [true])
      #expect(try site.site.vault.branches().map(\.isFlat) == [true])
      let again = try site.refusal { _ = try site.service.flattenFailover("web01", by: nil) }
      #expect(again.contains("plain files already"), "\(again)")
      let standing = try site.service.recovery(of: "web01").standing
      #expect(standing.isFlat && !standing.allowed.contains(.flatten), "\(standing)")
      if !isCommitted { try commit(site) }
      #expect(try site.snapshot.pins.map(\.isFlat) == [true])
      #expect(
        try FailedOverDisks("web01", in: site.site.vault, isLive: false).cut.disks.isEmpty == false)
      _ = try site.service.disable("web01")
      #expect(
        try site.end(try site.service.discardFailedOver("web01", by: nil)).state == .succeeded)
      #expect(try site.branches.isEmpty)
    }
  }

  private func commit(_ site: RecoverySite) throws {
    let job = try site.end(
      try site.service.commitFailover("web01", completesMigration: false, by: nil))
    #expect(job.state == .succeeded, "\(job)")
  }

  @Test("a copy can be given up, and stands in the way of a commit and of no machine meanwhile")
  func cancelled() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    site.servers.state.withLock { $0.isCopyHanging = true }
    let job = try site.service.flattenFailover("web01", by: nil)
    let isRunning = try Program.poll(seconds: 60) {
      try site.service.jobs.job(job.id).progress != nil
    }
    #expect(isRunning)
    let refused = try site.refusal {
      _ = try site.service.commitFailover("web01", completesMigration: false, by: nil)
    }
    #expect(refused.contains("flatten web01 --cancel"), "\(refused)")
    let stop = try site.end(
      try site.service.stopMachine("web01", isTest: false, MachineStopRequest(), by: nil))
    #expect(stop.state == .succeeded, "\(stop)")
    let branch = try #require(try site.branches.first)
    site.servers.lose(branch)
    let isFrozenAgain = Program.poll(seconds: 60) {
      site.servers.state.withLock { $0.served.contains(branch) && $0.frozen.contains(branch) }
    }
    #expect(isFrozenAgain)
    site.servers.lose(branch)
    _ = try site.service.jobs.cancel(job.id)
    #expect(try site.end(job).state == .cancelled)
    #expect(try site.standing.state == .failedOver && site.standing.running == nil)
    #expect(try !site.site.vault.branches()[0].isFlat)
    #expect(site.servers.state.withLock { $0.copying.isEmpty })
    site.servers.state.withLock { $0.isCopyHanging = false }
    #expect(try site.end(try site.service.flattenFailover("web01", by: nil)).state == .succeeded)
  }

  @Test("disks that became plain files when no job waited any more hold nothing of the log back")
  func late() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    var record = try site.record()
    record.failed = RecoveryAction.flatten.rawValue
    try site.keep(record)
    let branch = try site.site.vault.openBranch(try #require(record.branch))
    try branch.flatten(FlattenControl())
    try branch.close()
    #expect(try site.snapshot.pins.map(\.isFlat) == [false])
    site.service.recovery.look(at: .now())
    #expect(try site.snapshot.pins.map(\.isFlat) == [true])
  }

  @Test("a machine that died with its host runs again while its disks are still being copied")
  func startedAgain() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    let branch = try #require(try site.branches.first)
    site.servers.state.withLock { $0.isCopyHanging = true }
    let job = try site.service.flattenFailover("web01", by: nil)
    #expect(
      try Program.poll(seconds: 60) { try site.service.jobs.job(job.id).progress != nil })
    let machine = DeadMachine()
    site.provider = machine
    try site.restart()
    #expect(try site.standing.running == .flatten)
    #expect(
      try site.service.events(after: 0, limit: 50).contains { $0.code == "machine-started-again" })
    #expect(Program.poll(seconds: 60) { machine.isStarted.load(ordering: .relaxed) })
    site.servers.state.withLock { $0.isCopyHanging = false }
    site.servers.cancelFlatten(branch)
    #expect(try site.end(job).state == .succeeded)
  }

  @Test("a machine that is failed over to another point leaves the plain files of the first behind")
  func changePoint() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p2").state == .succeeded)
    #expect(try site.end(try site.service.flattenFailover("web01", by: nil)).state == .succeeded)
    let first = try #require(try site.branches.first)
    let asked = try site.refusal {
      _ = try site.service.changeRecoveryPoint("web01", site.request("p1"), by: nil)
    }
    #expect(asked.contains("4096 bytes are stored in them. If"), "what they hold: \(asked)")
    let changed = try site.end(
      try site.service.changeRecoveryPoint("web01", site.request("p1", confirmed: true), by: nil))
    #expect(changed.state == .succeeded, "\(changed)")
    #expect(try site.branches.count == 1 && !site.branches.contains(first))
    #expect(try site.snapshot.pins.map(\.isFlat) == [false])
  }
}
