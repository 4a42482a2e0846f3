import Bytes
import Catalog
import Compute
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

extension RecoverySite {
  var machine: Identifier { get throws { try snapshot.machine } }

  /// Leaves an action as a process leaves it that was killed before it had done anything.
  func leaveUnfinished(_ action: RecoveryAction) throws {
    let isDrill = action == .testFailover
    let state: RecoveryState = isDrill ? .testActive : .failoverInProgress
    var record = RecoveryRecord(
      machine: try machine, name: Self.name, state: state.rawValue, since: .now())
    (record.running, record.origin) = (action.rawValue, RecoveryState.protected.rawValue)
    (record.branch, record.request) = (.random(), request())
    record.request?.epoch = try snapshot.epoch
    let tasks = RecoveryRun.tasks(of: action, record.request).map(\.rawValue)
    try keep(
      record, NewJob(kind: action.name, tasks: tasks),
      isDrill ? NewDrill(name: "drill", expires: nil) : nil)
  }

  func keep(_ record: RecoveryRecord, _ job: NewJob? = nil, _ drill: NewDrill? = nil) throws {
    _ = try service.catalog.changeRecovery(of: record.machine, now: .now()) {
      _ -> RecoveryChange<OperationError> in .keep(record, job, drill)
    }
  }

  func record() throws -> RecoveryRecord {
    try #require(try service.catalog.recovery(of: try machine))
  }

  func removeBranches() throws {
    for branch in try branches { try VaultBranches(service.writable).remove(branch) }
  }

  /// Changes the log of the machine.
  func change(_ body: (MachineWriter) throws(VaultError) -> Void) throws {
    let machine = try site.vault.machine(named: Self.name)
    try service.recovery.writing(to: machine) { log throws(OperationError) in
      try inVault { () throws(VaultError) in try body(log) }
    }
  }

  func cancelFailover() throws -> JobRecord {
    try end(try service.cancelFailover(Self.name, isConfirmed: true, by: nil))
  }

  func commit() throws -> JobRecord {
    try end(try service.commitFailover(Self.name, completesMigration: false, by: nil))
  }
}

/// Runs nothing, and knows which machines run.
private final class NotedMachines: ComputeProvider {
  let running = Mutex<Set<String>>([])
  var kind: ComputeKind { .qemu }

  func check(_ plan: MachinePlan?) -> [ComputeFinding] { [] }
  func start(_ plan: MachinePlan) { startAgain(in: plan.directory) }
  func startAgain(in directory: String) { running.withLock { _ = $0.insert(directory) } }
  func observe(in directory: String) -> MachineObservation? { nil }
  func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) -> MachineStop {
    running.withLock { $0.remove(directory) == nil ? .wasOff : .forced }
  }
  func end(in directory: String) { running.withLock { _ = $0.remove(directory) } }
  func connections(in directory: String) -> MachineConnections? { nil }
  func console(in directory: String, limit: Int) -> [UInt8] { [] }
}

/// Serves disks, and can't end that.
private struct LastingServers: RecoveryDiskServers {
  let servers: StillServers

  func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try servers.serve(branch)
  }
  func served(_ branch: Identifier) throws(OperationError) -> ServedBranch? {
    try servers.served(branch)
  }
  func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try servers.serveFrozen(branch)
  }
  func freeze(_ branch: Identifier, within seconds: Double) {}
  func thaw(_ branch: Identifier) {}
  func end(_ branch: Identifier) throws(OperationError) {
    throw OperationError(.failed, "No disk server ends in this test.")
  }
}

/// Goal: what goes wrong around a drill or a failover loses no disks and no recovery points, and never fences
/// a source that is still replicated. Method: real vaults, in which pins, branches and records are lost or
/// held as crashes, races and repairs do it.
@Suite struct RecoveryUpsetTests {
  @Test(
    "a failover that is cancelled before it had a point ends replication, though no service runs and the catalog is lost"
  )
  func cancelledEarly() throws {
    let site = try RecoverySite()
    try site.leaveUnfinished(.failover)
    let job = try site.cancelFailover()
    #expect(job.state == .cancelled, "\(job)")
    #expect(try site.standing == RecoveryStanding(.replicationStopped))
    #expect(try site.record().job == nil)
    #expect(try site.snapshot.epoch == 1 && site.snapshot.pins.isEmpty)
    #expect(try site.snapshot.points.count == 3)
    #expect(try site.service.agentHost.sourceRefusal(of: site.machine) != nil)
    try site.restart(without: true)
    #expect(try site.standing == RecoveryStanding(.replicationStopped))
    #expect(try site.failover("p1").state == .succeeded)
  }

  @Test(
    "the source of disks that their log does not name any more stays fenced without a catalog, and that of a cancelled failover does not"
  )
  func unnamedDisks() throws {
    let site = try RecoverySite()
    #expect(try site.failover().state == .succeeded)
    let branch = try #require(try site.branches.first)
    try site.change { log throws(VaultError) in try log.release(branch) }
    try site.restart(without: true)
    #expect(try site.standing.state == .replicationStopped && site.branches == [branch])
    let refusal = try #require(try site.service.agentHost.sourceRefusal(of: site.machine))
    #expect("\(refusal)".contains("must not serve anybody: fence it"), "\(refusal)")

    let other = try RecoverySite()
    try other.leaveUnfinished(.failover)
    #expect(try other.cancelFailover().state == .cancelled)
    let lifted = try #require(try other.service.agentHost.sourceRefusal(of: other.machine))
    #expect("\(lifted)".contains("was cancelled"), "\(lifted)")
  }

  @Test(
    "a machine that was stopped for another point in vain runs again, and one that was off does not",
    arguments: [true, false])
  func startedAgain(isOn: Bool) throws {
    let site = try RecoverySite()
    let machines = NotedMachines()
    site.provider = machines
    try site.service.useForRecovery(site.parts)
    var request = site.request()
    request.boots = true
    let failover = try site.end(try site.service.startFailover("web01", request, by: nil))
    #expect(failover.state == .succeeded, "\(failover)")
    let directory = site.parts.directory(try #require(try site.branches.first))
    #expect(machines.running.withLock { $0 } == [directory])
    if !isOn { machines.end(in: directory) }
    var parts = site.parts
    parts.servers = LastingServers(servers: site.servers)
    try site.service.useForRecovery(parts)
    let change = try site.end(
      try site.service.changeRecoveryPoint("web01", site.request("p0", confirmed: true), by: nil))
    #expect(change.error?.message.contains("No disk server ends") == true, "\(change)")
    #expect(try site.standing.state == .failedOver && site.snapshot.epoch == 1)
    #expect(machines.running.withLock { $0 } == (isOn ? [directory] : []))
  }

  @Test("a source is refused for good only once that can't be taken back")
  func fencedLate() throws {
    let site = try RecoverySite()
    let machine = try site.machine
    let (writable, agents) = (site.service.writable, site.service.agentHost)
    #expect(writable.begin(machine))
    let job = try site.service.startFailover("web01", site.request(), by: nil)
    #expect(
      try Program.poll(seconds: 10) {
        try site.service.jobs.job(job.id).tasks.contains {
          $0.name == RecoveryTask.endReplication.rawValue && $0.state == .inProgress
        }
      })
    #expect(try agents.sourceRefusal(of: machine) == nil)
    writable.end(machine)
    #expect(try site.end(job).state == .succeeded)
    #expect(try agents.sourceRefusal(of: machine) != nil)
  }

  @Test("an epoch that is in the log and did not come to the MANIFEST is not told to be undone")
  func raisedHalf() throws {
    let disk = SimulatedDisk(seed: 1)
    let site = try RecoverySite(on: disk)
    let (machine, writable) = (try site.machine, site.service.writable)
    #expect(writable.begin(machine))
    let job = try site.service.startFailover("web01", site.request(), by: nil)
    #expect(
      try Program.poll(seconds: 10) {
        try site.service.jobs.job(job.id).tasks.contains {
          $0.name == RecoveryTask.endReplication.rawValue && $0.state == .inProgress
        }
      })
    disk.failWrites(of: "/MANIFEST")
    writable.end(machine)
    #expect(try site.end(job).state == .failed)
    #expect(try site.standing.state == .failoverFailed)
    #expect(try site.snapshot.epoch == 1 && site.snapshot.pins.isEmpty)
    let told = try #require(try site.service.agentHost.sourceRefusal(of: machine))
    #expect("\(told)".contains("half-way"), "\(told)")
    #expect(try site.failover().state == .succeeded)
  }

  @Test("a commit that is in the log and did not come to the MANIFEST leaves the disks it was of")
  func committedHalf() throws {
    for isTold in [true, false] {
      let disk = SimulatedDisk(seed: 2)
      let site = try RecoverySite(on: disk)
      #expect(try site.failover("p1").state == .succeeded)
      let branch = try #require(try site.branches.first)
      disk.failWrites(of: "/MANIFEST")
      if isTold {
        let commit = try site.commit()
        #expect(commit.state == .succeeded, "\(commit)")
      } else {
        // By one that could not look into the log behind that.
        #expect(throws: OperationError.self) {
          try site.change { log throws(VaultError) in try log.commit(failover: branch) }
        }
        #expect(try site.snapshot.points.count == 3)
        let job = try site.end(
          try site.service.changeRecoveryPoint(
            "web01", site.request("p0", confirmed: true), by: nil))
        #expect(job.state == .failed, "\(job)")
      }
      #expect(try site.standing.state == .committed && site.branches == [branch])
      #expect(try site.snapshot.points.isEmpty)
      #expect(try site.record().branch == branch && site.record().formerBranch == nil)
    }
  }

  @Test("what no job works at any more is gone on with while the service runs")
  func forgotten() throws {
    let site = try RecoverySite()
    try site.leaveUnfinished(.failover)
    let now = Timestamp.now()
    site.service.recovery.look(at: now)
    #expect(try site.standing.running == .failover, "it may just have begun")
    site.service.recovery.look(at: Timestamp(seconds: now.seconds + 3600))
    #expect(try Program.poll(seconds: 60) { try site.standing.state == .failedOver })
    #expect(try site.record().running == nil)
  }

  @Test("no recovery point is deleted for disks that are not there, which can be made again")
  func withoutDisks() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    try site.removeBranches()
    let commit = try site.commit()
    #expect(commit.error?.message.contains("recovery points are kept") == true, "\(commit)")
    let refused = try site.refusal { _ = try site.service.disable("web01") }
    #expect(refused.contains("recovery points are kept"), "\(refused)")
    #expect(try site.snapshot.points.count == 3 && site.standing.state == .failedOver)
    #expect(try site.standing.running == nil)
    try site.restart(without: true)
    #expect(try site.standing.state == .failoverFailed)
    #expect(try site.service.events(after: 0, limit: 50).contains { $0.code == "disks-missing" })
    #expect(try site.failover("p1").state == .succeeded)
    #expect(try site.snapshot.pins.map(\.branch) == site.branches)
    #expect(try site.commit().state == .succeeded)
  }

  @Test("a drill whose disks are gone is over at the next start")
  func emptyDrill() throws {
    for isLost in [false, true] {
      let site = try RecoverySite()
      #expect(try site.drill().state == .succeeded)
      try site.removeBranches()
      try site.restart(without: isLost)
      #expect(try site.standing == RecoveryStanding(.protected))
      #expect(try site.snapshot.pins.isEmpty)
      #expect(try site.service.catalog.unendedDrills().isEmpty)
    }
  }

  @Test("disks that a commit made the only copy are removed by a discard alone")
  func committed() throws {
    let site = try RecoverySite()
    #expect(try site.failover().state == .succeeded)
    #expect(try site.commit().state == .succeeded)
    var record = try site.record()
    record.state = RecoveryState.failoverFailed.rawValue
    try site.keep(record)
    let job = try site.cancelFailover()
    #expect(job.error?.message.contains("the only copy") == true, "\(job)")
    #expect(try site.standing.state == .committed && site.branches.count == 1)
    #expect(try site.snapshot.pins.map(\.isCommitted) == [true])
  }

  @Test("another point that can't be had leaves the failover as it was, on its own disks")
  func noOtherPoint() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    let (branches, before) = (try site.branches, try site.record())
    var request = site.request("2001-01-01T00:00:00Z", confirmed: true)
    (request.network, request.budget, request.boots) = ("isolated", 64 << 20, true)
    let job = try site.end(try site.service.changeRecoveryPoint("web01", request, by: nil))
    #expect(job.state == .failed, "\(job)")
    #expect(try site.standing.state == .failedOver && site.branches == branches)
    #expect(try site.record().branch == before.branch)
    #expect(try site.record().request == before.request, "nothing joins what was asked for in vain")
  }

  @Test("branches that another one took the place of go; what may be the only copy stays")
  func orphans() throws {
    let site = try RecoverySite()
    #expect(try site.failover("p1").state == .succeeded)
    let kept = try site.branches
    let machine = try site.site.vault.machine(named: "web01")
    let cut = try #require(try site.snapshot.points.first).sequence
    let pin = BranchPin(branch: .random(), cut: cut, purpose: .drill)
    try site.change { log throws(VaultError) in try log.pin(pin) }
    try VaultBranches(site.service.writable).make(pin, named: "left", of: machine, budget: nil)
    try site.change { log throws(VaultError) in try log.release(pin.branch) }
    #expect(try site.branches.count == 2)
    try site.restart()
    #expect(try site.branches == kept)

    try site.change { log throws(VaultError) in for branch in kept { try log.release(branch) } }
    try site.restart()
    #expect(try site.branches == kept && site.standing.state == .failedOver)
    let events = try site.service.events(after: 0, limit: 50)
    #expect(events.contains { $0.code == "disks-without-pin" && $0.severity == .critical })
  }

  @Test("a drill that is being begun is stopped by its clean-up, whenever that comes")
  func cleanedUpEarly() throws {
    let site = try RecoverySite()
    try site.leaveUnfinished(.testFailover)
    let job = try site.end(
      try site.service.cleanUpTestFailover("web01", notes: "Not today.", by: "other"))
    #expect(job.state == .cancelled, "\(job)")
    let drill = try #require(try site.service.recovery(of: "web01").lastDrill)
    #expect(drill.outcome == .cancelled && drill.notes == "Not today.")
    #expect(drill.endedBy == "other")
    for _ in 0..<5 {
      _ = try site.service.startTestFailover("web01", site.request(), by: nil)
      try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
      #expect(try Program.poll(seconds: 10) { try site.standing.running == nil })
      #expect(try site.standing == RecoveryStanding(.protected))
      #expect(try site.snapshot.pins.isEmpty && site.branches.isEmpty)
    }
    #expect(try site.service.catalog.unendedDrills().isEmpty)
  }

  @Test(
    "a failover that is undone behind the shutdown of its source says that it is down",
    arguments: [false, true])
  func sourceLeftDown(isCancelled: Bool) throws {
    let site = try RecoverySite()
    try site.leaveUnfinished(.failover)
    var record = try site.record()
    record.request?.point = "2001-01-01T00:00:00Z"
    try site.keep(record)
    let number = try #require(record.job)
    var known = try #require(try site.service.catalog.job(number))
    known.tasks[0].state = .succeeded
    var report = RecoveryReport()
    report.isSourceStopped = true
    known.result = report.json
    try site.service.catalog.update(known)
    if isCancelled { _ = try site.cancelFailover() } else { try site.restart() }
    let job = try site.end(known)
    #expect(job.state == (isCancelled ? .cancelled : .failed), "\(job)")
    #expect(job.error?.message.contains("was shut down for this") == true, "\(job)")
    #expect(
      try site.service.events(after: 0, limit: 50).contains { $0.code == "source-left-down" })
    #expect(try site.standing.state == (isCancelled ? .replicationStopped : .protected))
  }

  @Test("nothing is begun of a machine whose protection is being ended")
  func disabling() throws {
    let site = try RecoverySite()
    let subject = try site.service.recovery.subject(named: "web01")
    try site.service.recovery.alone(.disable, on: subject) { () throws(OperationError) in
      let refusal = #expect(throws: OperationError.self) {
        _ = try site.service.startTestFailover("web01", site.request(), by: nil)
      }
      #expect(refusal?.message.contains("Disable protection runs") == true)
    }
    #expect(try site.service.catalog.recovery(of: subject.id) == nil)
    try site.leaveUnfinished(.disable)
    try site.restart()
    #expect(try site.standing.running == nil)
  }
}
