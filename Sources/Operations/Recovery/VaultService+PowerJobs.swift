internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// The work of starting and stopping recovered machines.
///
/// A clean-up and a discard take a machine down whatever is done here: a start or stop that finds itself
/// overtaken by one fails, and takes down what it brought up, so that nothing runs on disks that are gone. For
/// two jobs of one machine the second is refused, and so is a change of point beside one: where that is undone
/// the machine goes on, which a job that was overtaken by it could take for what is to be taken down.
extension VaultService {
  /// What is done to a machine's power; the raw values are the kinds of the jobs.
  enum PowerAction: String, CaseIterable {
    case start = "Start machine"
    case stop = "Stop machine"
  }

  func beginPower(
    _ action: PowerAction, _ name: String, _ isTest: Bool, _ operator: String?,
    _ work: @escaping @Sendable (Job, Recovered) throws(OperationError) -> Void
  ) throws(OperationError) -> JobRecord {
    let machine = try recovered(name, isTest: isTest)
    return try recovery.powerTurn.withLock { _ throws(OperationError) in
      if let running = machine.standing.running, !running.leavesDisks {
        throw OperationError(
          .refused,
          "\(running.name) of '\(name)' runs. 'tidemark jobs' tells how far it is; try again when it has "
            + "ended.")
      }
      try checkPower(of: name)
      // Nobody whose site is down waits for replications to end.
      return try jobs.start(action.rawValue, machine: name, isUrgent: true) {
        [self] job throws(OperationError) in
        try perform(action, on: machine, `operator`) { machine throws(OperationError) in
          try work(job, machine)
        }
      }
    }
  }

  /// Does the work of a job on the machine that was meant when it was asked for, and tells how it ended.
  private func perform(
    _ action: PowerAction, on asked: Recovered, _ operator: String?,
    _ work: (Recovered) throws(OperationError) -> Void
  ) throws(OperationError) {
    let (name, words) = (asked.name, `operator`.map { ", asked for by \($0)" } ?? "")
    do throws(OperationError) { try work(try same(as: asked)) } catch {
      note(
        .warning, "machine-\(action)-failed", machine: name,
        "\(action.rawValue) of '\(name)'\(words): \(error.message)")
      throw error
    }
    note(
      .info, "machine-\(action)", machine: name, "\(action.rawValue) of '\(name)'\(words): done.")
  }

  /// The machine as it is now, if its disks still are those that were meant.
  ///
  /// - Throws: `.refused` if they are others by now, or are being taken away.
  private func same(as asked: Recovered) throws(OperationError) -> Recovered {
    let now = try recovered(asked.name, isTest: asked.isTest)
    guard now.subject.id == asked.subject.id, now.record.leaves(asked.branch) else {
      throw Self.takenAway(asked.name)
    }
    do throws(OperationError) { _ = try now.parts.servers.served(now.branch) } catch {
      // Of a vault with the same identifiers; what else is wrong is told by who needs it.
      guard error.code != .refused else { throw error }
    }
    return now
  }

  private static func takenAway(_ name: String) -> OperationError {
    OperationError(
      .refused,
      "The disks that '\(name)' had when this was asked for are being taken away, or others have taken "
        + "their place. 'tidemark machine show \(name)' tells where it stands.")
  }

  /// Does something while nobody begins to start or stop a machine, and nobody is at that.
  ///
  /// - Throws: `.refused` if somebody is.
  func besideNoPower<Result>(
    of name: String, _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try recovery.powerTurn.withLock { _ throws(OperationError) in
      try checkPower(of: name)
      return try body()
    }
  }

  private func checkPower(of name: String) throws(OperationError) {
    guard let job = try powerJob(of: name) else { return }
    throw OperationError(
      .refused,
      "Job \(job.id), '\(job.kind)', of '\(name)' runs. 'tidemark jobs \(job.id)' tells how far it is; "
        + "try again when it has ended.")
  }

  /// The job that starts or stops a machine at this moment.
  private func powerJob(of name: String) throws(OperationError) -> JobRecord? {
    try inCatalog { () throws(CatalogError) in
      for action in PowerAction.allCases {
        let known = try catalog.unendedJobs(of: action.rawValue)
        if let job = known.first(where: { $0.machine == name }) { return job }
      }
      return nil
    }
  }

  /// Starts a machine; what it was stays as it is where that fails. That it runs is kept only once it does:
  /// behind the end of this process in between the machine is found again by what its directory says.
  func bringUp(_ machine: Recovered, boots: Bool) throws(OperationError) {
    let (parts, branch) = (machine.parts, machine.branch)
    let provider = boots ? parts.provider : machine.provider
    guard !boots || provider.kind != .none else {
      throw OperationError(.refused, "The compute provider is 'none', which runs no machine.")
    }
    if provider.kind != .none { try checkStart(of: machine, with: provider) }
    if try parts.servers.place(of: branch) == nil {
      // Whatever runs yet runs on disks that are gone.
      _ = try inCompute { () throws(ComputeError) in
        try provider.stop(in: machine.directory, within: .seconds(1), force: true)
      }
    }
    let wasStopped = machine.record.stopped == branch
    let served = try wasStopped ? parts.servers.serveFrozen(branch) : parts.servers.serve(branch)
    do throws(OperationError) {
      try parts.servers.thaw(branch)
      if provider.kind != .none {
        let plan = try machinePlan(of: machine, on: served.disks)
        try inCompute { () throws(ComputeError) in try provider.start(plan) }
      }
      try keepStarted(machine, boots: boots)
    } catch {
      guard try stillLeaves(machine) else {
        // Whoever takes the disks away may have looked before they were served, and the machine ran.
        try inCompute { () throws(ComputeError) in try provider.end(in: machine.directory) }
        try parts.servers.end(branch)
        throw Self.takenAway(machine.name)
      }
      if wasStopped { try? parts.servers.freeze(branch, within: Self.shortTime) }
      throw error
    }
  }

  /// Keeps that a machine runs.
  ///
  /// - Throws: `.refused` if its disks are being taken away.
  private func keepStarted(_ machine: Recovered, boots: Bool) throws(OperationError) {
    let branch = machine.branch
    let kept = try recovery.change(machine.subject.id) { record in
      guard record.leaves(branch) else { return }
      if record.stopped == branch { record.stopped = nil }
      guard boots else { return }
      record.request = record.request ?? RecoveryRequest(point: record.point?.id ?? "latest")
      record.request?.boots = true
    }
    guard kept.leaves(branch) else { throw Self.takenAway(machine.name) }
  }

  private func stillLeaves(_ machine: Recovered) throws(OperationError) -> Bool {
    try inCatalog { () throws(CatalogError) in
      try catalog.recovery(of: machine.subject.id)?.leaves(machine.branch) == true
    }
  }

  /// Refuses what can't be started, before anything is changed. One that runs needs nothing more.
  private func checkStart(
    of machine: Recovered, with provider: any ComputeProvider
  ) throws(OperationError) {
    let seen = try inCompute { () throws(ComputeError) in
      try provider.observe(in: machine.directory)
    }
    guard seen?.power != .on, seen?.power != .paused else { return }
    let disks = try inVault { () throws(VaultError) in try vault.branch(machine.branch) }.disks
    let plan = try machinePlan(of: machine, on: disks.map { ($0.number, "/disk\($0.number).raw") })
    let failures = provider.check(plan).filter { $0.verdict == .failed }.map { finding in
      [finding.found, finding.advice].compactMap { $0 }.joined(separator: " ")
    }
    guard failures.isEmpty else {
      throw OperationError(.refused, failures.joined(separator: " "))
    }
  }

  private func machinePlan(
    of machine: Recovered, on disks: [(number: DiskNumber, path: String)]
  ) throws(OperationError) -> MachinePlan {
    let paths = disks.map { (Int($0.number), $0.path) }
    return try machinePlan(
      of: machine.record, disks: Dictionary(paths) { first, _ in first }, in: machine.directory)
  }

  /// Stops a machine, and then has its disks refuse writes, whatever ran it: nobody changes what is copied
  /// behind that, and QEMU's own hold on them is gone for sure.
  func bringDown(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job
  ) throws(OperationError) {
    let deadline = ContinuousClock.now + .seconds(request.seconds)
    var halted = ""
    if machine.provider.kind != .none {
      let how = try halt(machine, request, job)
      if let json = MachineStopReport(stop: how.rawValue).json { try job.publish(json) }
      halted = "'\(machine.name)' \(how.words). "
      note(
        how == .died ? .warning : .info, "machine-stopped", machine: machine.name,
        "'\(machine.name)' \(how.words).")
    }
    do throws(OperationError) {
      // The kernel tells a little later that who ended has closed them.
      try freeze(machine, request, job, until: max(deadline, .now + .seconds(Self.shortTime)))
    } catch { throw OperationError(error.code, halted + error.message) }
    let branch = machine.branch
    let kept = try recovery.change(machine.subject.id) { record in
      if record.leaves(branch) { record.stopped = branch }
    }
    guard kept.leaves(branch) else {
      try machine.parts.servers.end(branch)
      throw Self.takenAway(machine.name)
    }
  }

  /// Seconds that disks are waited for which nobody should have open.
  private static let shortTime = 10.0

  private func halt(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job
  ) throws(OperationError) -> MachineStop {
    let name = machine.name
    let provider = machine.provider
    return try inCompute { () throws(ComputeError) in
      do throws(ComputeError) {
        return try provider.stop(
          in: machine.directory, within: .seconds(request.seconds), force: request.force,
          isCancelled: { job.isCancelled })
      } catch {
        guard error.code == .timeout else { throw error }
        let test = machine.isTest ? " --test" : ""
        throw ComputeError(
          .timeout,
          "\(error.message) ('tidemark machine connect \(name)\(test)', 'tidemark machine stop "
            + "\(name)\(test) --force')")
      }
    }
  }

  /// Has the disks refuse writes once nobody has them open; with `force` whoever has loses them. Where it
  /// fails they can be written to as before.
  private func freeze(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job,
    until deadline: ContinuousClock.Instant
  ) throws(OperationError) {
    let (servers, branch) = (machine.parts.servers, machine.branch)
    let before = try servers.serveFrozen(branch)
    let isFrozen = before.isKnown ? before.isFrozen : machine.record.stopped == branch
    while true {
      let left = (deadline - ContinuousClock.now) / .seconds(1)
      do throws(OperationError) {
        return try servers.freeze(branch, within: min(0.5, max(0, left)))
      } catch {
        guard error.code == .locked else {
          // It may have begun to refuse writes, and failed or stuck behind that.
          if !isFrozen { try? servers.thaw(branch) }
          throw error
        }
        guard !job.isCancelled else {
          throw OperationError(.cancelled, "The disks of '\(machine.name)' stay as they are.")
        }
        guard ContinuousClock.now >= deadline else { continue }
        guard request.force else {
          throw OperationError(
            .locked,
            "\(error.message) Close it, or add --force, which takes the disks from who has them open."
          )
        }
        break
      }
    }
    if let warning = (try? servers.served(branch))?.endWarning {
      note(.warning, "disks-taken", machine: machine.name, "'\(machine.name)': \(warning)")
    }
    try servers.end(branch)
    _ = try servers.serveFrozen(branch)
  }
}

extension RecoveryRecord {
  /// Whether a job runs that its disks and its machine are left to. A copy to plain files is none: it goes on for
  /// hours beside whoever uses the disks.
  var isOccupied: Bool {
    guard let running else { return false }
    return running != RecoveryAction.flatten.rawValue
  }

  /// Whether nothing takes the disks away that this branch is.
  func leaves(_ branch: Identifier) -> Bool {
    let runs = running.flatMap(RecoveryAction.init)
    return self.branch == branch && runs?.leavesDisks != false
  }
}

extension RecoveryAction {
  /// Whether the disks stay what they are, so that a machine may be started and stopped beside it.
  var leavesDisks: Bool { [.commit, .completeMigration, .flatten].contains(self) }
}

extension MachineStop {
  fileprivate var words: String {
    switch self {
    case .wasOff: "was off"
    case .clean: "powered itself down"
    case .forced: "did not power itself down, and was cut off from power"
    case .died: "ended without powering itself down"
    }
  }
}
