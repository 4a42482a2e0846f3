import Bytes
import Catalog
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Removes no branch until it is let to.
private final class StuckBranches: RecoveryBranches {
  let branches: VaultBranches
  let isStuck = Mutex(true)

  init(_ branches: VaultBranches) { self.branches = branches }

  func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError) {
    try branches.make(pin, named: name, of: machine, budget: budget)
  }

  func remove(_ branch: Identifier) throws(OperationError) {
    guard !isStuck.withLock({ $0 }) else {
      throw OperationError(.failed, "No branch is removed in this test.")
    }
    try branches.remove(branch)
  }

  func all() throws(OperationError) -> [BranchDescription] { try branches.all() }
}

/// What health tells of drills that are due, or did not end. The times are given, not waited for.
@Suite struct DrillNoticeTests {
  @Test("a drill that is not cleaned up when its time is over is told of until it is")
  func expired() throws {
    let site = try RecoverySite()
    var parts = site.parts
    let branches = StuckBranches(VaultBranches(site.service.writable))
    parts.branches = branches
    try site.service.useForRecovery(parts)
    let expires = Timestamp.now().seconds + 3600
    func look(_ seconds: Int64) {
      site.service.recovery.look(at: Timestamp(seconds: expires + seconds))
    }
    func isTold() -> Bool { site.service.health.current.contains { $0.code == "drill-expired" } }
    var request = site.request()
    request.expires = Timestamp(seconds: expires)
    #expect(
      try site.end(try site.service.startTestFailover("web01", request, by: nil)).state
        == .succeeded)
    look(-1)
    #expect(try site.standing.failed == nil && site.standing.running == nil && !isTold())
    look(1)
    #expect(try Program.poll(seconds: 60) { try site.standing.failed == .cleanup })
    look(100)
    #expect(isTold())
    let error = try #require(site.service.health.current.first { $0.code == "drill-expired" })
    #expect(error.message.contains("No branch is removed"), "\(error)")
    branches.isStuck.withLock { $0 = false }
    look(600)
    #expect(try Program.poll(seconds: 60) { try site.standing == RecoveryStanding(.protected) })
    #expect(Program.poll(seconds: 60) { !isTold() })
  }

  @Test("a machine that was not drilled for half a year is told of, and one in a drill is not")
  func overdue() throws {
    let site = try RecoverySite()
    let (machine, now) = (try site.machine, Timestamp.now())
    func finding(_ days: Int64) -> HealthFinding? {
      site.service.recovery.drillFinding(
        of: machine, protectedSince: now, at: Timestamp(seconds: now.seconds + days * 86400))
    }
    #expect(finding(179) == nil)
    let never = try #require(finding(180))
    #expect(never.code == .drillOverdue && never.message.contains("never drilled"), "\(never)")
    #expect(try site.drill().state == .succeeded)
    #expect(finding(180) == nil, "it is drilled at this moment")
    _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    #expect(finding(179) == nil)
    let again = try #require(finding(181))
    #expect(again.message.contains("last drilled"), "\(again)")
  }
}
