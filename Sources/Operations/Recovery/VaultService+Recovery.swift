public import Bytes
public import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// How a machine stands in its recovery.
public struct RecoveryStatus: Sendable {
  /// Its state, and what may be done.
  public let standing: RecoveryStanding
  /// What is kept of its drill or failover; nil if there is none.
  public let record: RecoveryRecord?
  /// Its newest drill.
  public let lastDrill: DrillRecord?
  /// When it was last drilled with success.
  public let lastSuccess: Timestamp?
  /// The drill of this moment.
  public let drill: DrillRecord?
  /// Where its disks are, while they are served.
  public let directory: String?

  /// Seconds behind which another drill is due.
  public static let drillSeconds: Int64 = 180 * 86400

  /// Azure Site Recovery's word for how its drills stand: recommended, performed, or not applicable.
  public func testState(at now: Timestamp) -> String {
    guard standing.running == nil,
      standing.state == .protected || standing.state == .resynchronising
    else { return "Not applicable" }
    guard let lastSuccess, now.seconds - lastSuccess.seconds < Self.drillSeconds else {
      return "Test recommended"
    }
    return "Performed successfully"
  }
}

extension VaultService {
  /// Makes drills and failovers with these parts from now on, and goes on with those that an earlier process
  /// left unfinished.
  public func useForRecovery(_ parts: RecoveryParts) throws(OperationError) {
    try recovery.use(parts)
  }

  /// Makes drills and failovers with these parts, and leaves to a service that runs longer what an earlier
  /// process left unfinished.
  public func prepareRecovery(_ parts: RecoveryParts) {
    recovery.parts.withLock { $0 = parts }
  }

  /// What drills and failovers are usually made with.
  public var usualRecoveryParts: RecoveryParts {
    let servers = VaultDiskServers(vault)
    return RecoveryParts(
      branches: VaultBranches(writable), servers: servers, provider: servers.provider,
      guestFacts: [RunningProcess.program, "guest-facts"],
      directory: { servers.directory(of: $0) })
  }

  /// How a machine stands in its recovery.
  ///
  /// - Throws: `.unknown`.
  public func recovery(of name: String) throws(OperationError) -> RecoveryStatus {
    try recoveryStatus(of: try recovery.subject(named: name))
  }

  func recoveryStatus(
    of subject: RecoveryDesk.Subject
  ) throws(OperationError) -> RecoveryStatus {
    let (standing, record) = try recovery.standing(of: subject)
    let (drills, success) = try inCatalog { () throws(CatalogError) in
      (
        try catalog.drills(of: subject.id, limit: 1),
        try catalog.lastSuccessfulDrill(of: subject.id)?.ended
      )
    }
    let parts = recovery.parts.withLock { $0 }
    // A list of machines waits for none of their disk servers.
    let place = record?.branch.flatMap { try? parts?.servers.place(of: $0) } ?? nil
    return RecoveryStatus(
      standing: standing, record: record, lastDrill: drills.first, lastSuccess: success,
      drill: try record?.drill.flatMap { id throws(OperationError) in
        try inCatalog { () throws(CatalogError) in try catalog.drill(id) }
      },
      directory: place)
  }

  /// Begins a test failover.
  ///
  /// - Parameters:
  ///   - name: the machine.
  ///   - request: what is asked for.
  ///   - operator: who asks.
  /// - Returns: its job.
  /// - Throws: `.refused` with what to do instead, `.unknown`.
  public func startTestFailover(
    _ name: String, _ request: RecoveryRequest, by operator: String?
  ) throws(OperationError) -> JobRecord {
    let subject = try recovery.subject(named: name)
    let request = try checked(request)
    _ = try recovery.tools()
    if let objection = try recovery.standing(of: subject).standing.objection(to: .testFailover) {
      throw objection.error(for: name)
    }
    let branch = Identifier.random()
    var order = RecoveryDesk.Order(
      action: .testFailover, tasks: RecoveryRun.tasks(of: .testFailover, request),
      operator: `operator`)
    order.drill = NewDrill(name: Self.drillName(recovery.clock()), expires: request.expires)
    order.prepare = { record in
      record.request = request
      (record.branch, record.formerBranch, record.point) = (branch, nil, nil)
    }
    return try begun(try recovery.begin(order, on: subject))
  }

  private static func drillName(_ now: Timestamp) -> String {
    now.wholeSeconds.filter { $0 != "-" && $0 != ":" }
  }

  private func begun(_ job: JobRecord?) throws(OperationError) -> JobRecord {
    guard let job else { throw OperationError(.failed, "No job was begun.") }
    return job
  }

  /// Bytes that a budget has at least: what a guest writes when it mounts its file systems needs that much.
  private static let leastBudget: UInt64 = 4 << 20

  /// What is asked for, with no network where the usual one is.
  ///
  /// - Throws: `.unknown` if there is no such network; `.refused`.
  private func checked(_ request: RecoveryRequest) throws(OperationError) -> RecoveryRequest {
    var request = request
    if request.network == NewNetwork.usual { request.network = nil }
    if let network = request.network { _ = try self.network(named: network) }
    guard (1...200).contains(request.point.utf8.count) else {
      throw OperationError(.refused, "A recovery point is named by 1 to 200 bytes.")
    }
    guard request.budget ?? .max >= Self.leastBudget else {
      throw OperationError(
        .refused, "A budget for disks is at least \(Self.leastBudget >> 20) MiB.")
    }
    return request
  }

  /// Cleans a test failover up; what was written in it is gone. A drill that is being begun is stopped.
  ///
  /// - Throws: `.refused`, `.unknown`.
  public func cleanUpTestFailover(
    _ name: String, notes: String?, by operator: String?
  ) throws(OperationError) -> JobRecord {
    guard (notes ?? "").utf8.count <= 10_000 else {
      throw OperationError(.refused, "Notes have 10,000 bytes at the most.")
    }
    _ = try recovery.tools()
    let keep: @Sendable (inout RecoveryRecord) -> Void = { record in
      record.request = record.request ?? RecoveryRequest(point: "latest")
      record.request?.notes = notes
    }
    let subject = try recovery.subject(named: name)
    guard try recovery.standing(of: subject).standing.running == .testFailover else {
      return try begin(.cleanup, name, by: `operator`, keep)
    }
    let order = RecoveryDesk.Order(action: .cancel, operator: `operator`, prepare: keep)
    return try stopped(order, subject)
  }

  /// Decides that what runs is to stop.
  ///
  /// - Returns: its job, or the one that takes away what it has just made.
  func stopped(
    _ order: RecoveryDesk.Order, _ subject: RecoveryDesk.Subject
  ) throws(OperationError) -> JobRecord {
    let running = try recovery.standing(of: subject).record?.job
    if let job = try recovery.begin(order, on: subject) { return job }
    // A process without a service does itself what is left.
    try recovery.goOn(subject.id)
    guard let job = running else {
      throw OperationError(.refused, "It has just begun. Try again in a moment.")
    }
    jobs.stop(job)
    return try jobs.job(job)
  }

  /// Begins a failover.
  ///
  /// - Throws: `.refused` with what to do instead, `.unknown`.
  public func startFailover(
    _ name: String, _ request: RecoveryRequest, by operator: String?
  ) throws(OperationError) -> JobRecord {
    let request = try checked(request)
    _ = try recovery.tools()
    let branch = Identifier.random()
    return try begin(.failover, name, request, by: `operator`) { record in
      record.replaceDisks(by: branch)
      (record.point, record.drill) = (nil, nil)
      record.ask(for: request)
    }
  }

  /// Begins to take another recovery point for a machine that is failed over; what was written to its disks
  /// is gone then.
  ///
  /// - Throws: `.refused` with what would be lost unless that was confirmed; `.unknown`.
  public func changeRecoveryPoint(
    _ name: String, _ request: RecoveryRequest, by operator: String?
  ) throws(OperationError) -> JobRecord {
    var asked = try checked(request)
    let tools = try recovery.tools()
    let subject = try recovery.subject(named: name)
    let (standing, record) = try recovery.standing(of: subject)
    if let objection = standing.objection(to: .changePoint) { throw objection.error(for: name) }
    guard request.isConfirmed else {
      let served = try record?.branch.flatMap { id throws(OperationError) in
        try tools.servers.served(id)
      }
      let what = served.map { ": \(Self.use(of: $0, isFlat: standing.isFlat))" } ?? "."
      throw OperationError(
        .refused,
        "This discards the disks of '\(name)' as they are now\(what)"
          + (try perDiskWarning(subject, request)) + " If that is meant, add --yes.")
    }
    let branch = Identifier.random()
    let former = record?.request
    asked.boots = asked.boots || former?.boots == true
    if request.network == nil { asked.network = former?.network }
    asked.budget = asked.budget ?? former?.budget
    let new = asked
    return try besideNoPower(of: name) { () throws(OperationError) in
      try begin(.changePoint, name, new, by: `operator`) { record in
        record.replaceDisks(by: branch)
        record.ask(for: new)
      }
    }
  }

  /// What would be lost with disks, as the end of a sentence; what is not known is no nothing.
  private static func use(of served: ServedBranch, isFlat: Bool) -> String {
    guard served.isKnown else {
      return "how much was written to them is not known."
        + (served.trouble.map { " \($0)" } ?? "")
    }
    let bytes = served.writtenBytes
    return (isFlat ? "\(bytes) bytes are stored in them" : "\(bytes) bytes were written to them")
      + (served.openCount > 0 ? ", and they are in use." : ".")
  }

  /// Says that the point that is asked for is of several moments, if it is.
  private func perDiskWarning(
    _ subject: RecoveryDesk.Subject, _ request: RecoveryRequest
  ) throws(OperationError) -> String {
    guard let machine = subject.machine else { return "" }
    let now = recovery.clock()
    let point = try inVault { () throws(VaultError) in
      try machine.snapshot().resolve(PointSelector(request.point), now: now).point
    }
    guard point.consistency == .perDisk else { return "" }
    return " At \(point.id) each disk is of another moment."
  }

  /// Begins to make a failover final: all recovery points are deleted.
  ///
  /// - Throws: `.refused`, `.unknown`.
  public func commitFailover(
    _ name: String, completesMigration: Bool, by operator: String?
  ) throws(OperationError) -> JobRecord {
    try begin(completesMigration ? .completeMigration : .commit, name, by: `operator`) { _ in }
  }

  /// Begins to copy the disks of a failover to plain files, while they are used.
  ///
  /// - Throws: `.refused`, also if they are that already; `.unknown`.
  public func flattenFailover(
    _ name: String, by operator: String?
  ) throws(OperationError) -> JobRecord {
    _ = try recovery.tools()
    let subject = try recovery.subject(named: name)
    let standing = try recovery.standing(of: subject).standing
    if let objection = standing.objection(to: .flatten) { throw objection.error(for: name) }
    return try begin(.flatten, name, by: `operator`) { _ in }
  }

  /// Begins to cancel a failover; the machine is not replicated any more then.
  ///
  /// - Returns: the job that does it: that of the failover, if it runs.
  /// - Throws: `.refused`, also unless that is confirmed; `.unknown`.
  public func cancelFailover(
    _ name: String, isConfirmed: Bool, by operator: String?
  ) throws(OperationError) -> JobRecord {
    _ = try recovery.tools()
    let subject = try recovery.subject(named: name)
    let standing = try recovery.standing(of: subject).standing
    if let objection = standing.objection(to: .cancel) { throw objection.error(for: name) }
    if standing.state == .replicationStopped {
      return try removeUnnamedDisks(of: subject, isConfirmed: isConfirmed, by: `operator`)
    }
    guard [.failoverInProgress, .failoverFailed].contains(standing.state) else {
      throw OperationError(
        .refused,
        "There is no failover of '\(name)' to cancel; "
          + "'\(RecoveryAction.cancel.command(in: standing.state).replacing("NAME", with: name))' stops what "
          + "runs.")
    }
    guard isConfirmed else {
      throw OperationError(
        .refused,
        "Cancelling stops the failover and removes the disks it has made, if any, with all that was written "
          + "to them; and '\(name)' will not be replicated again until its protection is disabled and "
          + "enabled anew, which copies everything. If that is meant, add --yes.")
    }
    let order = RecoveryDesk.Order(
      action: .cancel, tasks: RecoveryRun.tasks(of: .cancel, nil), operator: `operator`)
    return try stopped(order, subject)
  }

  /// Begins to remove the disks of a failover that nothing names any more.
  private func removeUnnamedDisks(
    of subject: RecoveryDesk.Subject, isConfirmed: Bool, by operator: String?
  ) throws(OperationError) -> JobRecord {
    _ = try recovery.tools()
    let record = try recovery.standing(of: subject).record
    let disks = try recovery.unnamedDisks(of: subject.id, record)
    guard isConfirmed else {
      throw OperationError(
        .refused,
        "The vault holds disks that '\(subject.name)' was failed over to, and its log does not name them any "
          + "more: \(recovery.words(ofUnnamed: disks)). This removes them with all that was written to them, "
          + "which may be the only copy. \(RecoveryDesk.unnamedAdvice) If removing them is meant, add --yes."
      )
    }
    return try begin(.cancel, subject.name, by: `operator`) { _ in }
  }

  /// Begins to remove the disks that a failover left, and what they are made of.
  ///
  /// - Throws: `.refused`, `.unknown`.
  public func discardFailedOver(
    _ name: String, by operator: String?
  ) throws(OperationError) -> JobRecord {
    _ = try recovery.tools()
    return try begin(.discard, name, by: `operator`) { _ in }
  }

  private func begin(
    _ action: RecoveryAction, _ name: String, _ request: RecoveryRequest? = nil,
    by operator: String?, _ prepare: @escaping @Sendable (inout RecoveryRecord) -> Void
  ) throws(OperationError) -> JobRecord {
    // A job that can't begin would leave its record as if it ran.
    _ = try recovery.tools()
    let subject = try recovery.subject(named: name)
    let order = RecoveryDesk.Order(
      action: action, tasks: RecoveryRun.tasks(of: action, request), operator: `operator`,
      prepare: prepare)
    return try begun(try recovery.begin(order, on: subject))
  }

  /// Drills, of one machine or of all, the newest first.
  ///
  /// - Throws: `.unknown`.
  public func drills(
    of name: String?, limit: Int
  ) throws(OperationError) -> [(drill: DrillRecord, machine: String)] {
    let names = try machineNames()
    let subject = try name.map { name throws(OperationError) in
      try recovery.subject(named: name)
    }
    return try inCatalog { () throws(CatalogError) in
      try catalog.drills(of: subject?.id, limit: limit)
    }.map { ($0, names[$0.machine] ?? $0.machine.description) }
  }

  private func machineNames() throws(OperationError) -> [Identifier: String] {
    var names: [Identifier: String] = [:]
    for machine in try inVault({ () throws(VaultError) in try vault.machines() }) {
      names[machine.id] = machine.name
    }
    for agent in try agents() { names[agent.machine] = agent.name }
    return names
  }
}
