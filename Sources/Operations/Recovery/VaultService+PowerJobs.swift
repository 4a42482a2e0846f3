internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Synchronization

/// The work of starting and stopping recovered machines.
///
/// A clean-up, a change of point and a discard take a machine down whatever is done here: a start that finds
/// itself overtaken by one takes down what it brought up, so that nothing runs on disks that are gone. For two
/// jobs of one machine the second is refused.
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
      if let running = machine.standing.running {
        throw OperationError(
          .refused,
          "\(running.name) of '\(name)' runs. 'tidemark jobs' tells how far it is; try again when it has "
            + "ended.")
      }
      if let job = try powerJob(of: name) {
        throw OperationError(
          .refused,
          "Job \(job.id), '\(job.kind)', of '\(name)' runs. 'tidemark jobs \(job.id)' tells how far it is; "
            + "try again when it has ended.")
      }
      let words = `operator`.map { ", asked for by \($0)" } ?? ""
      return try jobs.start(action.rawValue, machine: name) { [self] job throws(OperationError) in
        do throws(OperationError) { try work(job, machine) } catch {
          note(
            .warning, "machine-\(action)-failed", machine: name,
            "\(action.rawValue) of '\(name)'\(words): \(error.message)")
          throw error
        }
        note(
          .info, "machine-\(action)", machine: name,
          "\(action.rawValue) of '\(name)'\(words): done.")
      }
    }
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

  func bringUp(_ machine: Recovered, boots: Bool) throws(OperationError) {
    let (parts, branch) = (machine.parts, machine.branch)
    let record = try recovery.change(machine.subject.id) { record in
      if record.stopped == branch { record.stopped = nil }
      guard boots else { return }
      record.request = record.request ?? RecoveryRequest(point: record.point?.id ?? "latest")
      record.request?.boots = true
    }
    let provider = parts.provider(of: record)
    let served = try parts.servers.serve(branch)
    try parts.servers.thaw(branch)
    guard provider.kind != .none else { return }
    let paths = served.disks.map { (Int($0.number), $0.path) }
    let plan = try machinePlan(
      of: record, disks: Dictionary(paths) { first, _ in first }, in: machine.directory)
    try inCompute { () throws(ComputeError) in try provider.start(plan) }
    let now = try inCatalog { () throws(CatalogError) in
      try catalog.recovery(of: machine.subject.id)
    }
    guard let now, now.leaves(branch) else {
      try inCompute { () throws(ComputeError) in
        try provider.end(in: machine.directory)
      }
      throw OperationError(
        .failed, "'\(machine.name)' was not started: its disks are being taken away.")
    }
  }

  func bringDown(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job
  ) throws(OperationError) {
    guard machine.provider.kind == .none else {
      let how = try halt(machine, request, job)
      return note(
        .info, "machine-stopped", machine: machine.name, "'\(machine.name)' \(how.words).")
    }
    try freeze(machine, request, job)
    let branch = machine.branch
    try recovery.change(machine.subject.id) { $0.stopped = branch }
  }

  private func halt(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job
  ) throws(OperationError) -> MachineStop {
    let name = machine.name
    return try inCompute { () throws(ComputeError) in
      do throws(ComputeError) {
        return try machine.provider.stop(
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

  /// Has the disks refuse writes once nobody has them open; with `force` whoever has loses them.
  private func freeze(
    _ machine: Recovered, _ request: MachineStopRequest, _ job: Job
  ) throws(OperationError) {
    let (servers, branch) = (machine.parts.servers, machine.branch)
    _ = try servers.serveFrozen(branch)
    let deadline = ContinuousClock.now + .seconds(request.seconds)
    while true {
      let left = (deadline - ContinuousClock.now) / .seconds(1)
      do throws(OperationError) {
        return try servers.freeze(branch, within: min(0.5, max(0, left)))
      } catch {
        guard error.code == .locked else { throw error }
        guard !job.isCancelled else {
          throw OperationError(.cancelled, "The disks of '\(machine.name)' stay as they are.")
        }
        if ContinuousClock.now >= deadline {
          guard request.force else {
            throw OperationError(
              .locked,
              "\(error.message) Close it, or add --force, which takes the disks from who has them open."
            )
          }
          break
        }
      }
    }
    try servers.end(branch)
    _ = try servers.serveFrozen(branch)
  }
}

extension RecoveryRecord {
  /// Whether nothing takes the disks away that this branch is.
  fileprivate func leaves(_ branch: Identifier) -> Bool {
    let runs = running.flatMap(RecoveryAction.init)
    return self.branch == branch && [nil, .commit, .completeMigration].contains(runs)
  }
}

extension MachineStop {
  fileprivate var words: String {
    switch self {
    case .wasOff: "was off"
    case .clean: "powered itself down"
    case .forced: "did not power itself down, and was cut off from power"
    }
  }
}
