import Bytes
import Catalog
import Compute
import Dispatch
import FileIO
import Support
import Testing
import Vault

@testable import Operations

/// Makes branches when it is let to.
private struct SlowBranches: RecoveryBranches {
  let branches: VaultBranches
  let begun = DispatchSemaphore(value: 0)
  let isFree = DispatchSemaphore(value: 0)

  func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError) {
    begun.signal()
    _ = isFree.wait(timeout: .now() + 30)
    try branches.make(pin, named: name, of: machine, budget: budget)
  }

  func remove(_ branch: Identifier) throws(OperationError) { try branches.remove(branch) }

  func all() throws(OperationError) -> [BranchDescription] { try branches.all() }
}

/// Goal: whatever goes wrong in a drill or a failover, it ends in a state that can be told, with a message that
/// says what to do. Method: each fault by itself, on a real vault.
@Suite struct RecoveryFaultTests {
  private func error(_ job: JobRecord) throws -> String {
    try #require(job.error?.message, "\(job)")
  }

  private func directory(_ site: RecoverySite) throws -> String {
    "\(site.site.vault.path)/machines/\(try site.snapshot.machine)"
  }

  @Test("a log whose newest records are lost is failed over from what is left if that is said")
  func cutShort() throws {
    let site = try RecoverySite()
    let (points, directory) = (try site.snapshot.points, try directory(site))
    let name = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max())
    let segment = try File("\(directory)/\(name)", .writing)
    while try site.snapshot.points.count == 3 {
      try segment.truncate(to: try segment.status().size - 64)
    }
    for job in [try site.drill(), try site.failover()] {
      #expect(try job.state == .failed && error(job).contains("cut short"), "\(job)")
      #expect(try site.standing == RecoveryStanding(.protected))
    }
    #expect(try error(site.failover()).contains("add --yes"))
    #expect(try site.snapshot.epoch == 0)
    let job = try site.end(
      try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
    #expect(job.state == .succeeded, "\(job)")
    let status = try site.service.recovery(of: "web01")
    #expect(status.record?.point?.id == points[1].id && status.standing.state == .failedOver)
    #expect(try site.snapshot.points.map(\.id) == points.dropLast().map(\.id))
  }

  /// Whether a block's worth of the disk can be read as it was at a point.
  private func isReadable(_ site: RecoverySite, _ point: RecoveryPoint) throws -> Bool {
    let disk = try site.snapshot.disk(0, at: point)
    var bytes = [UInt8](repeating: 0, count: 4096)
    return bytes.withUnsafeMutableBytes { (try? disk.read(into: $0, at: 8192)) != nil }
  }

  /// Changes a byte of the data that the newest point alone needs.
  private func spoilNewest(_ site: RecoverySite) throws {
    let (newest, directory) = (try #require(try site.snapshot.points.last), try directory(site))
    let name = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max())
    let segment = try File("\(directory)/\(name)", .writing)
    let size = try segment.status().size
    for offset in (0..<size).reversed() {
      let byte = try segment.read(at: offset, count: 1)
      try segment.write(byte.map { ~$0 }, at: offset)
      if (try? site.snapshot.points.count) == 3, try !isReadable(site, newest) { return }
      try segment.write(byte, at: offset)
    }
    Issue.record("no byte of '\(name)' is data of the newest point")
  }

  @Test(
    "where data of the newest point is damaged a failover takes the one before, if that is said")
  func newestDamaged() throws {
    let site = try RecoverySite()
    let points = try site.snapshot.points
    try spoilNewest(site)
    #expect(try isReadable(site, points[1]), "the point before is whole")
    for job in [try site.drill(), try site.failover()] {
      let message = try error(job)
      #expect(job.state == .failed && message.contains("--point \(points[1].id)"), "\(message)")
      #expect(message.contains("The newest good point is \(points[1].id)"), "\(message)")
      #expect(try site.standing == RecoveryStanding(.protected))
    }
    #expect(try site.snapshot.epoch == 0 && site.snapshot.pins.isEmpty)
    let job = try site.end(
      try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
    #expect(job.state == .succeeded, "\(job)")
    let status = try site.service.recovery(of: "web01")
    #expect(status.record?.point?.id == points[1].id && status.record?.point?.asked == "latest")
    let check = try #require(
      RecoveryReport(json: job.result)?.checks.first { $0.name.contains("integrity") })
    #expect(check.verdict == .warning && check.found.contains("used instead"), "\(check)")
    let change = try site.end(
      try site.service.changeRecoveryPoint("web01", site.request(confirmed: true), by: nil))
    #expect(change.state == .failed, "what is said there is that writes are discarded")
    #expect(try error(change).contains("choose it with --point \(points[1].id)"), "\(change)")
    #expect(try site.standing.state == .failedOver && site.branches.count == 1)
  }

  @Test("a point with damaged data is used where it is named and that is said, but by no drill")
  func namedDamaged() throws {
    let site = try RecoverySite()
    let newest = try #require(try site.snapshot.points.last)
    try spoilNewest(site)
    #expect(try site.drill(newest.id).state == .failed)
    #expect(try error(site.failover(newest.id)).contains("add --yes to use this one"))
    let instant = site.request(newest.time.iso8601, confirmed: true)
    let unnamed = try error(site.end(try site.service.startFailover("web01", instant, by: nil)))
    #expect(unnamed.contains("'--point \(newest.id) --yes' uses this one"), "\(unnamed)")
    #expect(try site.snapshot.epoch == 0)
    #expect(try site.drill("p1").state == .succeeded)
    _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    let request = site.request(newest.id, confirmed: true)
    let job = try site.end(try site.service.startFailover("web01", request, by: nil))
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.service.recovery(of: "web01").record?.point?.id == newest.id)
  }

  @Test("a point whose disks are of different moments is failed over to only if that is said")
  func perDisk() throws {
    let site = try RecoverySite()
    try site.change { log throws(VaultError) in
      _ = try log.mark(
        NewPoint(
          consistency: .perDisk, cycle: 99, disks: [PointDisk(number: 0, size: 1 << 20)],
          time: .now()))
    }
    let newest = try #require(try site.snapshot.points.last)
    try #require(newest.consistency == .perDisk)
    #expect(try site.drill().state == .succeeded, "a drill is warned")
    let drill = try #require(try site.service.recovery(of: "web01").drill)
    let warned = RecoveryReport(json: drill.report)?.checks.filter { $0.verdict == .warning }
    #expect(warned?.contains { $0.found.contains("each disk is of another moment") } == true)
    _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    let refused = try error(site.failover())
    #expect(refused.contains("each disk is of another moment"), "\(refused)")
    #expect(refused.contains("add --yes"), "\(refused)")
    #expect(try site.standing == RecoveryStanding(.protected) && site.snapshot.epoch == 0)
    let job = try site.end(
      try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.service.recovery(of: "web01").record?.point?.isPerDisk == true)
    let unconfirmed = try site.refusal {
      _ = try site.service.changeRecoveryPoint("web01", site.request(newest.id), by: nil)
    }
    #expect(unconfirmed.contains("each disk is of another moment"), "\(unconfirmed)")
  }

  @Test("a damaged log is left as it is while anything else stands in the way of a failover")
  func cutShortAndRefused() throws {
    let site = try RecoverySite()
    let directory = try directory(site)
    let name = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max())
    let newest = try #require(try site.snapshot.points.last)
    let segment = try File("\(directory)/\(name)", .writing)
    while try site.snapshot.points.count == 3 {
      try segment.truncate(to: try segment.status().size - 64)
    }
    let manifest = try FileSystem.system.readFile(directory + "/MANIFEST", limit: 1 << 24)
    site.provider = QemuCompute(program: "/nowhere/qemu")
    try site.service.useForRecovery(site.parts)
    var request = site.request(confirmed: true)
    request.boots = true
    // Where QEMU is missing, and where the point is what was lost.
    for request in [request, site.request(newest.id, confirmed: true)] {
      let job = try site.end(try site.service.startFailover("web01", request, by: nil))
      #expect(try job.state == .failed && error(job).contains("once nothing else"), "\(job)")
    }
    #expect(try site.standing == RecoveryStanding(.protected))
    #expect(try FileSystem.system.readFile(directory + "/MANIFEST", limit: 1 << 24) == manifest)
    let events = try site.service.events(after: 0, limit: 50)
    #expect(!events.contains { $0.code == "log-made-anew" })
  }

  @Test(
    "damage that only a writer of the log hears of is found before a failover begins, and mended")
  func unknownSegment() throws {
    let site = try RecoverySite()
    let (points, directory) = (try site.snapshot.points.map(\.id), try directory(site))
    let name = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max())
    let bytes = try FileSystem.system.readFile("\(directory)/\(name)", limit: 1 << 26)
    try File(directory + "/95.seg", .creating(permissions: 0o600)).write(bytes, at: 0)
    #expect(try site.snapshot.shortfall == nil)
    #expect(try error(site.failover()).contains("add --yes"))
    #expect(try site.standing == RecoveryStanding(.protected))
    #expect(try site.snapshot.epoch == 0)
    let job = try site.end(
      try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.standing.state == .failedOver && site.snapshot.points.map(\.id) == points)
    let events = try site.service.events(after: 0, limit: 50)
    #expect(events.contains { $0.code == "log-made-anew" })
  }

  @Test(
    "disks of a failover whose machine has lost its MANIFEST stay, and it is committed once mended")
  func lostManifest() throws {
    let site = try RecoverySite()
    _ = try site.failover()
    let (branches, path) = (try site.branches, try directory(site) + "/MANIFEST")
    try FileSystem.system.remove(path)
    let job = try site.end(
      try site.service.commitFailover("web01", completesMigration: false, by: nil))
    #expect(try job.state == .failed && error(job).contains("MANIFEST"), "\(job)")
    try site.restart()
    #expect(try site.standing.state == .failedOver && site.branches == branches)
    try site.released { _ = try RebuildVault(directory: site.site.vault.path).run() }
    #expect(try site.standing.state == .failedOver && site.branches == branches)
    let again = try site.end(
      try site.service.commitFailover("web01", completesMigration: false, by: nil))
    #expect(try again.state == .succeeded && site.snapshot.points.isEmpty, "\(again)")
    #expect(try site.branches == branches)
  }

  @Test("a budget for which the vault has no room is warned of, and nothing is refused for it")
  func budgetAndRoom() throws {
    let site = try RecoverySite()
    func check(_ budget: UInt64) throws -> RecoveryReport.Check? {
      var request = site.request()
      request.budget = budget
      let job = try site.end(try site.service.startTestFailover("web01", request, by: nil))
      #expect(job.state == .succeeded, "\(job)")
      _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
      return RecoveryReport(json: job.result)?.checks.first { $0.name == "room for writes" }
    }
    let large = try check(1 << 60)
    #expect(large?.verdict == .warning && large?.found.contains("1099511627776 MiB") == true)
    #expect(try check(8 << 20)?.verdict == .ok)
  }

  @Test("a drill whose log is damaged meanwhile is cleaned up, and keeps no failover out")
  func damagedDrill() throws {
    for isLost in [false, true] {
      let site = try RecoverySite()
      #expect(try site.drill().state == .succeeded)
      let directory = try directory(site)
      if isLost {
        try FileSystem.system.remove(directory + "/MANIFEST")
      } else {
        let name = try #require(
          try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max())
        let bytes = try FileSystem.system.readFile("\(directory)/\(name)", limit: 1 << 26)
        try File(directory + "/95.seg", .creating(permissions: 0o600)).write(bytes, at: 0)
      }
      let job = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
      #expect(try job.state == .succeeded && site.branches.isEmpty, "\(job)")
      let events = try site.service.events(after: 0, limit: 50)
      #expect(events.contains { $0.code == "drill-pin-left" })
      guard !isLost else { continue }
      #expect(try site.standing == RecoveryStanding(.protected))
      try site.restart()
      #expect(try site.standing == RecoveryStanding(.protected))
      let failover = try site.end(
        try site.service.startFailover("web01", site.request(confirmed: true), by: nil))
      #expect(failover.state == .succeeded, "\(failover)")
      #expect(try site.snapshot.pins.map(\.branch) == site.branches)
    }
  }

  @Test("an agent that can't be reached is told of, and the failover goes on")
  func unreachable() throws {
    let site = try RecoverySite()
    var request = site.request()
    request.stopsSource = true
    let job = try site.end(try site.service.startFailover("web01", request, by: nil))
    #expect(job.state == .succeeded, "\(job)")
    let report = try #require(RecoveryReport(json: job.result))
    #expect(report.sourceShutdown?.contains("not connected") == true, "\(report)")
    #expect(report.sourceShutdown?.contains("goes on serving") == true)
    #expect(report.isSourceStopped == nil)
  }

  @Test(
    "without QEMU nothing is begun; where it dies at once a drill is undone, a failover tried again"
  )
  func brokenProvider() throws {
    let site = try RecoverySite()
    var request = site.request()
    request.boots = true
    site.provider = QemuCompute(program: "/nowhere/qemu")
    try site.service.useForRecovery(site.parts)
    let missing = try site.end(try site.service.startFailover("web01", request, by: nil))
    #expect(try missing.state == .failed && error(missing).contains("qemu"), "\(missing)")
    #expect(try site.standing == RecoveryStanding(.protected) && site.snapshot.epoch == 0)

    let program = site.site.directory.file("qemu")
    let text =
      "#!/bin/sh\n[ \"$1\" = --version ] && echo QEMU emulator version 7.2.0 && exit\n"
      + "echo the machine is broken >&2; exit 1\n"
    try File(program, .creating(permissions: 0o700)).write(Array(text.utf8), at: 0)
    site.provider = QemuCompute(program: program)
    try site.service.useForRecovery(site.parts)
    let drill = try site.end(try site.service.startTestFailover("web01", request, by: nil))
    #expect(try error(drill).contains("the machine is broken"), "\(drill)")
    #expect(try site.standing.state == .protected)
    #expect(try site.branches.isEmpty && site.snapshot.pins.isEmpty)
    let failover = try site.end(try site.service.startFailover("web01", request, by: nil))
    #expect(try error(failover).contains("the machine is broken"), "\(failover)")
    #expect(try site.standing.state == .failoverFailed)
    #expect(try site.failover().state == .succeeded)
    #expect(try site.standing.state == .failedOver && site.branches.count == 1)
  }

  @Test("a failover that runs is cancelled on request, and nothing of it is left but its epoch")
  func cancel() throws {
    let site = try RecoverySite()
    var parts = site.parts
    let branches = SlowBranches(branches: VaultBranches(site.service.writable))
    parts.branches = branches
    try site.service.useForRecovery(parts)
    let job = try site.service.startFailover("web01", site.request(), by: "tester")
    #expect(branches.begun.wait(timeout: .now() + 20) == .success)
    #expect(try site.standing.state == .failoverInProgress)
    let refusal = try site.refusal { _ = try site.service.jobs.cancel(job.id) }
    #expect(refusal.contains("failover cancel web01 --yes"), "\(refusal)")
    let unconfirmed = try site.refusal {
      _ = try site.service.cancelFailover("web01", isConfirmed: false, by: nil)
    }
    #expect(unconfirmed.contains("not be replicated again"))
    let stopped = try site.service.cancelFailover("web01", isConfirmed: true, by: nil)
    #expect(stopped.id == job.id)
    branches.isFree.signal()
    #expect(try site.end(job).state == .cancelled)
    #expect(try site.standing.state == .replicationStopped)
    #expect(try site.snapshot.pins.isEmpty && site.branches.isEmpty && site.snapshot.epoch == 1)
  }

  @Test("a budget that is nearly used up is a warning, and one that is used up an error")
  func budget() throws {
    let (budget, mebibyte) = (UInt64(100) << 20, UInt64(1) << 20)
    #expect(RecoveryDesk.finding(written: 79 * mebibyte, of: budget) == nil)
    #expect(RecoveryDesk.finding(written: 80 * mebibyte, of: budget)?.severity == .warning)
    let over = try #require(RecoveryDesk.finding(written: 99 * mebibyte, of: budget))
    #expect(over.severity == .critical && over.message.contains("writes fail"))
  }
}
