internal import Bytes
internal import Catalog
internal import Compute
internal import Dispatch
internal import FileIO
internal import Synchronization
internal import Vault

/// From disks to a machine that runs, and back to what was asked for.
extension RecoveryRun {
  /// Bytes of a console that a report keeps at the most.
  private static let consoleLimit = 4096

  /// What the machine is to be, as its properties and networks say, with its disks at these places.
  func machinePlan(disks: [Int: String]) throws(OperationError) -> MachinePlan {
    try desk.service().machinePlan(
      of: try record, disks: disks, in: parts.directory(try record.branch ?? machine))
  }

  private func machinePlan(on served: ServedBranch) throws(OperationError) -> MachinePlan {
    try machinePlan(
      disks: Dictionary(served.disks.map { (Int($0.number), $0.path) }) { first, _ in first })
  }

  /// The disks, which are served again if that ended with this host behind the step that began it.
  private var served: ServedBranch {
    get throws(OperationError) {
      guard let branch = try record.branch else {
        throw OperationError(.failed, "It is not known what the disks of '\(name)' are.")
      }
      if let served = try parts.servers.served(branch) { return served }
      return try parts.servers.serve(branch)
    }
  }

  /// Powers the machine up.
  func boot() throws(OperationError) {
    let plan = try machinePlan(on: try served)
    try inCompute { () throws(ComputeError) in try parts.provider.start(plan) }
    hasBooted.withLock { $0 = true }
  }

  /// Powers the machine up again that an earlier process of the service had, and that went down with this host;
  /// one that goes down by itself stays down, for that is to be told of.
  private func bootAgain() throws(OperationError) {
    let directory = parts.directory(try record.branch ?? machine)
    guard !hasBooted.withLock({ $0 }),
      let seen = (try? parts.provider.observe(in: directory)) ?? nil, seen.power == .died
    else { return }
    desk.note(
      .warning, "machine-started-again", name,
      (["'\(name)' was powered on, and does not run. It is started again."] + seen.notes)
        .joined(separator: " "))
    try boot()
  }

  /// Takes the power of what runs on a branch, and ends what serves it, so that both can be started again.
  func halt(_ branch: Identifier?) throws(OperationError) {
    guard let branch else { return }
    try checkOwner(of: branch)
    let directory = parts.directory(branch)
    let how = try inCompute { () throws(ComputeError) in
      try parts.provider.stop(in: directory, within: .zero, force: true)
    }
    if how == .clean || how == .forced { try desk.change(machine) { $0.request?.restarts = true } }
    try parts.servers.end(branch)
  }

  /// Lets a machine go on that was halted, as far as it can.
  func goOn(_ branch: Identifier) {
    do throws(OperationError) {
      let record = try record
      guard record.stopped != branch else {
        _ = try parts.servers.serveFrozen(branch)
        return
      }
      _ = try parts.servers.serve(branch)
      guard record.request?.restarts == true else { return }
      try inCompute { () throws(ComputeError) in
        try parts.provider.startAgain(in: parts.directory(branch))
      }
    } catch {
      desk.note(
        .critical, "machine-not-restarted", name,
        "The machine of '\(name)' could not be started again behind the failure: \(error.message) 'tidemark "
          + "machine start \(name)' tries it once more.")
    }
  }

  /// Compares what runs with what was asked for, and keeps both. What is not as it was asked is told of; in a
  /// drill it is a failure that a disk is not, or that the machine does not run.
  func compare() throws(OperationError) {
    let served = try served
    var found = try compareDisks(served)
    var failures = found.filter { $0.isSame == false }
      .map { "\($0.name) is \($0.found), and \($0.asked) was asked for." }
    if try record.request?.boots == true {
      try bootAgain()
      let plan = try machinePlan(on: served)
      let seen = try observe(plan)
      found += MachineComparison(plan, seen).all()
      try keepConsole(in: plan.directory)
      if let objection = MachineComparison.objection(seen) { failures.append(objection) }
    }
    let comparisons = found
    try report { $0.comparisons = comparisons }
    guard failures.isEmpty || action != .testFailover else {
      throw OperationError(.failed, failures.joined(separator: " ") + lastWords())
    }
    for comparison in comparisons where comparison.isSame == false {
      desk.note(
        .warning, "\(action.code)-warning", name,
        "\(comparison.name) is \(comparison.found), and \(comparison.asked) was asked for.")
    }
  }

  /// Looks at the machine until all was seen of its addresses that can be, for a limited time.
  private func observe(_ plan: MachinePlan) throws(OperationError) -> MachineObservation? {
    let deadline = ContinuousClock.now + parts.addressTime
    while true {
      try check()
      do throws(ComputeError) {
        guard let seen = try parts.provider.observe(in: plan.directory) else { return nil }
        let isAwaited = seen.power == .on && seen.adapters.contains { $0.address == .notSeen }
        guard isAwaited, ContinuousClock.now < deadline else { return seen }
      } catch {
        // A host that is busy booting it may let it wait for an answer.
        guard error.code == .unresponsive, ContinuousClock.now < deadline else {
          throw OperationError(.failed, error.message)
        }
      }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(500))
    }
  }

  private func compareDisks(
    _ served: ServedBranch
  ) throws(OperationError) -> [RecoveryReport.Comparison] {
    let (machine, record) = (try log, try record)
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    let point = snapshot.points.first { $0.sequence.rawValue == record.point?.cut }
    // Opening a file whose server hangs may never end, and can't be called off.
    let isAnswering = served.trouble == nil
    return (point?.disks ?? []).map { disk in
      let (title, asked) = ("disk \(disk.number)", "\(disk.size) bytes")
      guard isAnswering else { return RecoveryReport.Comparison(title, asked: asked, found: nil) }
      let path = served.disks.first { $0.number == disk.number }?.path
      let size = path.flatMap { try? File($0, .reading).status().size }
      return RecoveryReport.Comparison(
        title, asked: asked, found: size.map { "\($0) bytes" } ?? "not there")
    }
  }

  /// Keeps the end of what the machine of a branch wrote to its console; nothing if none ran.
  func keepConsole(of branch: Identifier) throws(OperationError) {
    try keepConsole(in: parts.directory(branch))
  }

  private func keepConsole(in directory: String) throws(OperationError) {
    let bytes = try? parts.provider.console(in: directory, limit: Self.consoleLimit)
    guard let bytes, !bytes.isEmpty else { return }
    let text = GuestText.readable(String(decoding: bytes, as: UTF8.self))
    try report { $0.console = text }
  }

  private func lastWords() -> String {
    let console = RecoveryReport(json: job.record.result)?.console ?? ""
    let lines = console.split(separator: "\n").suffix(3).joined(separator: " / ")
    return lines.isEmpty ? "" : " The last on its console: \(lines)"
  }
}

/// Runs `body` and turns a failure to run a machine into that of the operation.
func inCompute<Result>(
  _ body: () throws(ComputeError) -> Result
) throws(OperationError) -> Result {
  do { return try body() } catch {
    let code: OperationError.Code =
      switch error.code {
      case .cancelled: .cancelled
      case .missing, .plan, .unsupported: .refused
      case .failed, .timeout, .unresponsive: .failed
      }
    throw OperationError(code, error.message)
  }
}
