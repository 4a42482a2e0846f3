import Bytes
import Catalog
import Compute
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Runs nothing, knows which machines run, and tells of those that do no more without having been stopped.
private final class LostMachines: ComputeProvider {
  private struct State {
    var running: Set<String> = []
    var poweredOn: Set<String> = []
    /// Those that the end of the host would have started again.
    var wanted: Set<String> = []
    var isElsewhere = false
  }

  private let state = Mutex(State())
  var kind: ComputeKind { .qemu }
  var running: Set<String> { state.withLock { $0.running } }

  var wanted: Set<String> { state.withLock { $0.wanted } }

  /// What the beginning of a stop does.
  func beginStop() { state.withLock { $0.wanted = [] } }

  /// What the end of the host does.
  func endHost() { state.withLock { $0.running = [] } }

  /// What a copy of the vault on another host does.
  func moveHost() { state.withLock { $0.isElsewhere = true } }

  func check(_ plan: MachinePlan?) -> [ComputeFinding] { [] }
  func start(_ plan: MachinePlan) { startAgain(in: plan.directory) }
  func startAgain(in directory: String) {
    state.withLock { state in
      state.running.insert(directory)
      state.poweredOn.insert(directory)
      state.wanted.insert(directory)
    }
  }
  func observe(in directory: String) -> MachineObservation? {
    state.withLock { state -> MachineObservation? in
      guard state.poweredOn.contains(directory) else { return nil }
      if state.isElsewhere {
        var seen = MachineObservation(.off)
        seen.notes = ["It was on on another host."]
        return seen
      }
      return MachineObservation(state.running.contains(directory) ? .on : .died)
    }
  }
  func stop(
    in directory: String, within limit: Duration, force: Bool, isCancelled: @Sendable () -> Bool
  ) -> MachineStop {
    state.withLock { state in
      let wasOn = state.poweredOn.remove(directory) != nil
      guard state.running.remove(directory) == nil else { return .forced }
      return wasOn ? .died : .wasOff
    }
  }
  func end(in directory: String) {
    _ = stop(in: directory, within: .zero, force: true, isCancelled: { false })
  }
  func connections(in directory: String) -> MachineConnections? { nil }
  func console(in directory: String, limit: Int) -> [UInt8] { [] }
}

/// Goal: the end of the host leaves no machine down for the job that ran just then. Method: real vaults, in which
/// jobs are left as that leaves them, while nothing serves disks and nothing runs any more.
@Suite struct HostRestartTests {
  private func site(_ machines: LostMachines) throws -> RecoverySite {
    let site = try RecoverySite()
    site.provider = machines
    try site.service.useForRecovery(site.parts)
    return site
  }

  private func booting(_ site: RecoverySite, _ point: String = "latest") -> RecoveryRequest {
    var request = site.request(point)
    request.boots = true
    return request
  }

  /// Ends the host while an action runs whose first `done` tasks are over, and gives what runs in the end.
  private func endHost(
    _ site: RecoverySite, _ machines: LostMachines, during action: RecoveryAction, done: Int
  ) throws -> JobRecord {
    var record = try site.record()
    if action == .failover {
      record.state = RecoveryState.failoverInProgress.rawValue
      record.origin = RecoveryState.protected.rawValue
    }
    record.running = action.rawValue
    let tasks = RecoveryRun.tasks(of: action, record.request).map(\.rawValue)
    try site.keep(record, NewJob(kind: action.name, tasks: tasks))
    let id = try #require(try site.record().job)
    var job = try #require(try site.service.catalog.job(id))
    for index in 0..<done { job.tasks[index].state = .succeeded }
    try site.service.catalog.update(job)
    machines.endHost()
    site.servers.state.withLock { $0.served = [] }
    try site.restart()
    return try site.end(job)
  }

  @Test(
    "a machine runs again behind the end of its host, whether its commit or a copy of its disks was under way",
    arguments: [RecoveryAction.commit, .flatten])
  func beside(_ action: RecoveryAction) throws {
    let machines = LostMachines()
    let site = try site(machines)
    let failover = try site.end(
      try site.service.startFailover("web01", booting(site), by: nil))
    #expect(failover.state == .succeeded, "\(failover)")
    let directory = site.parts.directory(try #require(try site.branches.first))
    #expect(machines.running == [directory])
    let job = try endHost(site, machines, during: action, done: 0)
    #expect(job.state == .succeeded, "\(job)")
    #expect(Program.poll(seconds: 60) { machines.running == [directory] })
    let branch = try #require(try site.branches.first)
    #expect(try site.servers.served(branch) != nil)
  }

  @Test("what starts a machine that stays off is told as it is for a drill, and for a failover")
  func advice() throws {
    let machines = LostMachines()
    let site = try site(machines)
    let drill = try site.end(
      try site.service.startTestFailover("web01", booting(site), by: nil))
    #expect(drill.state == .succeeded, "\(drill)")
    machines.moveHost()
    try site.restart()
    func advice() throws -> String {
      let events = try site.service.events(after: 0, limit: 50)
      return try #require(events.first { $0.code == "machine-not-started" }?.message)
    }
    #expect(try advice().contains("'tidemark machine start web01 --test' starts it"))
    try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    #expect(try site.failover().state == .succeeded)
    machines.startAgain(in: site.parts.directory(try #require(try site.branches.first)))
    try site.restart()
    #expect(try advice().contains("'tidemark machine start web01' starts it"))
  }

  @Test(
    "a failover goes on behind the end of its host with disks that are served and a machine that runs",
    arguments: [1, 2])
  func within(left: Int) throws {
    let machines = LostMachines()
    let site = try site(machines)
    let failover = try site.end(
      try site.service.startFailover("web01", booting(site), by: nil))
    #expect(failover.state == .succeeded, "\(failover)")
    let directory = site.parts.directory(try #require(try site.branches.first))
    if left == 2 { machines.end(in: directory) }
    let tasks = RecoveryRun.tasks(of: .failover, booting(site)).count
    let job = try endHost(site, machines, during: .failover, done: tasks - left)
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.standing.state == .failedOver)
    #expect(machines.running == [directory])
    let report = try #require(RecoveryReport(json: job.result))
    #expect(report.comparisons.contains { $0.name == "power" && $0.isSame == true }, "\(report)")
  }

  @Test("a machine whose stop ended with the service, and not with its host, is to run again")
  func stopCutShort() throws {
    let machines = LostMachines()
    let site = try site(machines)
    let failover = try site.end(
      try site.service.startFailover("web01", booting(site), by: nil))
    #expect(failover.state == .succeeded, "\(failover)")
    machines.beginStop()
    try site.restart()
    let directory = site.parts.directory(try #require(try site.branches.first))
    #expect(machines.running == [directory] && machines.wanted == [directory])
  }
}
