public import Bytes
internal import Catalog
internal import Dispatch
public import FileIO
internal import Replication
internal import Synchronization
internal import Vault

/// Looks every few seconds at how the machines and the service's host are, keeps the list of current
/// errors true, and the curves of the past.
///
/// One look at a time; a look blocks on the catalog. Time comes from the caller, so that a test can
/// make a day pass in a moment.
public final class HealthMonitor: Sendable {
  let vault: Vault
  let catalog: Catalog
  let agents: AgentHost
  let book: HealthBook
  let jobs: JobRunner
  let rules: HealthRules
  let started: Timestamp
  let state = Mutex(State())
  /// What looks at drills at the same time.
  let looks = Mutex<RecoveryDesk?>(nil)
  /// Signalled to end the looks that run.
  private let ending = Mutex<DispatchSemaphore?>(nil)

  struct State: Sendable {
    var host = HostLoadWindow()
    /// What the last look found of the host; nil before the first.
    var load: HostLoad?
    var copies: [Identifier: CopyPace] = [:]
    /// Machines whose points were read from the vault.
    var read: Set<Identifier> = []
    var lastSample: Timestamp?
    /// The sums at the last sample.
    var sampled: [Identifier: MachineActivity.Sums] = [:]
  }

  /// Seconds between two looks.
  static let interval = 5
  /// Seconds between two samples that are kept.
  static let sampleInterval: Int64 = 300
  /// Errors of machines that looks begin and end; those of others are left alone.
  private static let machineCodes: Set<HealthCode> = [
    .agentSilent, .agentRevoked, .noCrashPoint, .noApplicationPoint, .rpoExceeded, .copySlow,
    .copyStalled, .drillOverdue,
  ]

  init(
    _ vault: Vault, _ catalog: Catalog, _ agents: AgentHost, _ book: HealthBook, _ jobs: JobRunner,
    rules: HealthRules = HealthRules(), started: Timestamp
  ) {
    (self.vault, self.catalog, self.agents) = (vault, catalog, agents)
    (self.book, self.jobs, self.rules, self.started) = (book, jobs, rules, started)
  }

  /// Looks every few seconds from now on, until `stop`, on a thread of its own.
  public func start() {
    let ending = DispatchSemaphore(value: 0)
    stop()
    self.ending.withLock { $0 = ending }
    DispatchQueue(label: "tidemark.health").async { [self] in
      repeat {
        look(at: .now(), load: HostLoad.now(at: vault.path))
      } while ending.wait(timeout: .now() + .seconds(Self.interval)) == .timedOut
    }
  }

  /// Looks no more; a look that is under way ends by itself.
  public func stop() {
    let ending = ending.withLock { ending in
      defer { ending = nil }
      return ending
    }
    ending?.signal()
  }

  /// Looks once: what is found wrong is current from then on, and what is not is over.
  public func look(at now: Timestamp, load: HostLoad) {
    book.flush()
    lookAtHost(load, now)
    lookAtRelays(now)
    looks.withLock { $0 }?.look(at: now)
    guard let machines = try? protectedMachines() else { return }
    for (agent, settings, machine) in machines {
      agents.keepBandwidth(settings)
      look(at: agent, settings, machine, now)
    }
    forgetOthers(than: machines.map(\.agent), now)
    followFinalizing(machines.map(\.agent), now)
    sample(machines.map { ($0.agent, $0.machine) }, now)
  }

  private typealias Protected = (agent: AgentRecord, settings: MachineSettings, machine: Machine)

  private func protectedMachines() throws(OperationError) -> [Protected] {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    return try inCatalog { () throws(CatalogError) in
      var found: [Protected] = []
      // Nobody waits for what a machine writes that was failed over.
      let ended = try catalog.recoveries().filter(\.isFenced).map(\.machine)
      for agent in try catalog.agents() where !ended.contains(agent.machine) {
        guard let machine = machines.first(where: { $0.id == agent.machine }) else { continue }
        found.append((agent, try catalog.settings(of: agent.machine), machine))
      }
      return found
    }
  }

  private func look(
    at agent: AgentRecord, _ settings: MachineSettings, _ machine: Machine, _ now: Timestamp
  ) {
    readPoints(of: machine)
    let activity = agents.activity.activity(of: agent.machine)
    // While the service itself was away, nobody could be heard.
    let contact = max(agent.lastContact ?? agent.enrolled, activity.contact ?? started, started)
    let first = settings.enabled ?? contact
    let pace = state.withLock { state in
      let rest = activity.report.map { $0.total - min($0.total, $0.examined) } ?? 0
      if activity.newestPoint != nil || settings.isPaused {
        state.copies[agent.machine] = nil
      } else {
        state.copies[agent.machine, default: CopyPace()].add(
          done: activity.sums.examined, rest: rest, at: now.seconds, window: rules.copyWindow)
      }
      return state.copies[agent.machine] ?? CopyPace()
    }
    let condition = HealthRules.Condition(
      settings: settings, contact: max(contact, first), newestPoint: activity.newestPoint,
      newestApplicationPoint: activity.newestApplicationPoint, copy: pace,
      isRevoked: agent.revoked != nil)
    var findings = rules.findings(of: condition, at: now)
    if activity.newestPoint != nil,
      let finding = looks.withLock({ $0 })?.drillFinding(
        of: agent.machine, protectedSince: first, at: now)
    {
      findings.append(finding)
    }
    book.update(agent.name, Self.machineCodes, to: findings, at: now)
  }

  /// What the agent's own sessions make is told of; what was there before is read once.
  private func readPoints(of machine: Machine) {
    guard !state.withLock({ $0.read.contains(machine.id) }),
      let points = try? machine.snapshot().points
    else { return }
    agents.activity.change(machine.id) { activity in for point in points { activity.note(point) } }
    state.withLock { _ = $0.read.insert(machine.id) }
  }

  /// Ends the errors of machines that are not protected any more.
  private func forgetOthers(than known: [AgentRecord], _ now: Timestamp) {
    book.keep(
      Self.machineCodes.union([.cycleFailed, .applicationPointFailed]), of: known.map(\.name),
      at: now)
    let ids = Set(known.map(\.machine))
    state.withLock { state in
      state.read.formIntersection(ids)
      state.copies = state.copies.filter { ids.contains($0.key) }
      state.sampled = state.sampled.filter { ids.contains($0.key) }
    }
  }

  // MARK: - Samples

  private func sample(_ machines: [(agent: AgentRecord, machine: Machine)], _ now: Timestamp) {
    let last = state.withLock { state in
      // A clock that was set back begins a new while.
      if let last = state.lastSample, last <= now, now.seconds - last.seconds < Self.sampleInterval
      {
        return Timestamp?.none
      }
      defer { state.lastSample = now }
      return state.lastSample ?? now
    }
    guard let last else { return }
    let samples = machines.map {
      sample($0.agent.machine, now, seconds: now.seconds - last.seconds)
    }
    try? catalog.add(samples)
  }

  private func sample(
    _ machine: Identifier, _ now: Timestamp, seconds: Int64
  ) -> HealthSample {
    let activity = agents.activity.activity(of: machine)
    let before = state.withLock { state in
      state.sampled.updateValue(activity.sums, forKey: machine) ?? activity.sums
    }
    return HealthSample(
      machine, now, seconds: max(0, seconds), from: before, to: activity.sums,
      newest: activity.newestPoint)
  }

  /// What happened since the last sample that was kept: the youngest stretch of the curves.
  func present(_ machine: Identifier, at now: Timestamp) -> HealthSample {
    let activity = agents.activity.activity(of: machine)
    let (before, last) = state.withLock { ($0.sampled[machine], $0.lastSample) }
    return HealthSample(
      machine, now, seconds: max(0, now.seconds - (last ?? started).seconds),
      from: before ?? MachineActivity.Sums(), to: activity.sums, newest: activity.newestPoint)
  }
}

extension HealthSample {
  fileprivate init(
    _ machine: Identifier, _ now: Timestamp, seconds: Int64, from before: MachineActivity.Sums,
    to after: MachineActivity.Sums, newest: Timestamp?
  ) {
    self.init(machine: machine, time: now, seconds: seconds)
    func gain(_ value: (MachineActivity.Sums) -> UInt64) -> Int64 {
      Int64(clamping: value(after) &- min(value(after), value(before)))
    }
    rpoSeconds = newest.map { max(0, now.seconds - $0.seconds) }
    churn = after.changed.keys.sorted().map { disk in
      Churn(disk: Int(disk), bytes: gain { $0.changed[disk] ?? 0 })
    }
    (uploaded, reading) = (gain(\.uploaded), gain(\.reading))
    (compressing, sending, storing) = (gain(\.compressing), gain(\.sending), gain(\.storing))
  }
}
