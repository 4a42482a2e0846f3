internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO
internal import Synchronization
internal import Vault

/// Where drills, failovers and their ends are decided about and done.
///
/// A decision is one transaction of the catalog, which also holds the job that it begins; so of two who ask
/// for the same the second is told what the first one began, and a crash leaves both or neither. What the
/// vault's MANIFESTs say of pins and epochs is the truth: the catalog follows it whenever a service begins.
/// Safe from any thread.
final class RecoveryDesk: Sendable {
  let vault: Vault
  let writable: WritableVault
  let catalog: Catalog
  let agents: AgentHost
  let jobs: JobRunner
  let health: HealthBook
  let clock: @Sendable () -> Timestamp
  /// What drills and failovers are made with; nil where a process can't make any.
  let parts = Mutex<RecoveryParts?>(nil)
  /// Held while it is looked whether a machine is being started or stopped, and one that is not begins to be.
  let powerTurn = Mutex(())
  private let owner = Mutex(Owner())

  /// The service that this belongs to, and that belongs to nobody here.
  private struct Owner {
    weak var service: VaultService?
  }

  init(
    _ writable: WritableVault, _ catalog: Catalog, _ agents: AgentHost, _ jobs: JobRunner,
    _ health: HealthBook, clock: @escaping @Sendable () -> Timestamp
  ) {
    (vault, self.writable, self.catalog) = (writable.vault, writable, catalog)
    (self.agents, self.jobs, self.health, self.clock) = (agents, jobs, health, clock)
  }

  /// Belongs to a service from now on.
  func belong(to service: VaultService) { owner.withLock { $0.service = service } }

  /// The service that this belongs to.
  func service() throws(OperationError) -> VaultService {
    guard let service = owner.withLock({ $0.service }) else {
      throw OperationError(.refused, "The service is ending.")
    }
    return service
  }

  /// A machine, protected or not.
  struct Subject: Sendable {
    let id: Identifier
    let name: String
    /// What the vault holds of it.
    let machine: Machine?
  }

  /// The machine of that name.
  ///
  /// - Throws: `.unknown`.
  func subject(named name: String) throws(OperationError) -> Subject {
    let machines = try inVault { () throws(VaultError) in try vault.machines() }
    let agents = try inCatalog { () throws(CatalogError) in try catalog.agents() }
    if let agent = agents.first(where: { $0.name == name }) {
      return Subject(
        id: agent.machine, name: name, machine: machines.first { $0.id == agent.machine })
    }
    let records = try inCatalog { () throws(CatalogError) in try catalog.recoveries() }
    if let record = records.first(where: { $0.name == name }) {
      // Its MANIFEST may be lost, and with it what it is called.
      return Subject(
        id: record.machine, name: name, machine: machines.first { $0.id == record.machine })
    }
    guard let machine = machines.first(where: { $0.name == name }) else {
      // In the vault's own words.
      _ = try inVault { () throws(VaultError) in try vault.machine(named: name) }
      throw OperationError(.unknown, "There is no machine '\(name)'.")
    }
    return Subject(id: machine.id, name: name, machine: machine)
  }

  /// Where a machine stands, and what is kept of that.
  func standing(
    of subject: Subject
  ) throws(OperationError) -> (standing: RecoveryStanding, record: RecoveryRecord?) {
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: subject.id) }
    let base = try standingByProtection(of: subject)
    var standing = record.flatMap { RecoveryStanding($0, isPaused: base.isPaused) } ?? base
    if let branch = record?.branch, let pins = (try? subject.machine?.snapshot())?.pins {
      standing.isFlat = pins.contains { $0.branch == branch && $0.isFlat }
    }
    standing.hasUnnamedDisks = try hasUnnamedDisks(of: subject.id, record)
    return (standing, record)
  }

  /// Where a machine stands of which no drill or failover is known.
  private func standingByProtection(of subject: Subject) throws(OperationError) -> RecoveryStanding
  {
    guard let machine = subject.machine else { return RecoveryStanding(.unprotected) }
    let (settings, doubt) = try inCatalog { () throws(CatalogError) in
      (
        try catalog.settings(of: subject.id), try catalog.resynchronisation(of: subject.id)
      )
    }
    // One whose MANIFEST can't be read is protected, and everything that needs it says what is wrong.
    let points = (try? machine.snapshot())?.points
    let state: RecoveryState =
      doubt != nil ? .resynchronising : points?.isEmpty == true ? .enabling : .protected
    var standing = RecoveryStanding(state, isPaused: settings.isPaused)
    standing.awaitsResynchronisation = doubt?.state == .required
    return standing
  }

  /// Why an action is refused on a machine now.
  ///
  /// - Throws: `.refused`, or `.unknown`.
  func check(_ action: RecoveryAction, on name: String) throws(OperationError) {
    let subject = try subject(named: name)
    if let objection = try standing(of: subject).standing.objection(to: action) {
      throw objection.error(for: name)
    }
  }

  /// What is asked for: an action, and what its record and its job begin with.
  struct Order: Sendable {
    let action: RecoveryAction
    var tasks: [RecoveryTask] = []
    var `operator`: String?
    /// The drill that begins with it.
    var drill: NewDrill?
    /// Changes the record that is kept, behind the change of its state.
    var prepare: @Sendable (inout RecoveryRecord) -> Void = { _ in }
  }

  /// Decides about what is asked for, and begins its job.
  ///
  /// - Throws: `.refused` with what to do instead.
  func begin(_ order: Order, on subject: Subject) throws(OperationError) -> JobRecord? {
    try jobs.checkRoom(isUrgent: true)
    let epoch = subject.machine.flatMap { try? $0.snapshot().epoch }
    let base = try standingByProtection(of: subject)
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: subject.id) }
    let hasUnnamedDisks = try hasUnnamedDisks(of: subject.id, record)
    let now = clock()
    let decided = try inCatalog { () throws(CatalogError) in
      try catalog.changeRecovery(of: subject.id, now: now) {
        known -> RecoveryChange<RecoveryRefusal> in
        var standing =
          known.flatMap { RecoveryStanding($0, isPaused: base.isPaused) } ?? base
        standing.hasUnnamedDisks = hasUnnamedDisks
        let next: RecoveryTransition
        do throws(RecoveryRefusal) { next = try standing.after(.asked(order.action)) } catch {
          return .refuse(error)
        }
        var record =
          known
          ?? RecoveryRecord(machine: subject.id, name: subject.name, state: "", since: now)
        record.take(next.standing, now)
        record.operator = order.operator
        record.failure = nil
        order.prepare(&record)
        if order.action == .failover || order.action == .changePoint {
          record.request?.epoch = epoch
        }
        return .keep(record, Self.job(of: next, order, record), order.drill)
      }
    }
    switch decided {
    case .failure(let refusal): throw refusal.error(for: subject.name)
    case .success((let record, let job)):
      if let record, let job { run(job, of: record) }
      return job
    }
  }

  /// The job that a decision begins; nil if that begins none.
  private static func job(
    of next: RecoveryTransition, _ order: Order, _ record: RecoveryRecord
  ) -> NewJob? {
    for case .begin(let action) in next.effects {
      // What was to be stopped may have ended meanwhile, and is taken away instead.
      let tasks =
        action == order.action ? order.tasks : RecoveryRun.tasks(of: action, record.request)
      return NewJob(kind: action.name, tasks: tasks.map(\.rawValue))
    }
    return nil
  }

  /// Keeps what an event made of a machine, if `running` runs still, or whatever runs where that is nil;
  /// nothing if it has no record.
  ///
  /// - Returns: whether it was kept: false if something else runs by now.
  @discardableResult
  func settle(
    _ machine: Identifier, _ event: RecoveryEvent, while running: RecoveryAction? = nil,
    _ change: @escaping @Sendable (inout RecoveryRecord) -> Void = { _ in }
  ) throws(OperationError) -> Bool {
    let now = clock()
    let result = try inCatalog { () throws(CatalogError) in
      try catalog.changeRecovery(of: machine, now: now) {
        known -> RecoveryChange<OperationError> in
        guard var record = known else { return .forget }
        if let running, record.running != running.rawValue {
          return .refuse(OperationError(.cancelled, "It was cancelled."))
        }
        guard let standing = RecoveryStanding(record, isPaused: false),
          let next = try? standing.after(event).standing
        else { return .keep(record) }
        record.take(next, now)
        change(&record)
        return next.isKept ? .keep(record) : .forget
      }
    }
    guard case .success = result else { return false }
    return true
  }

  /// Changes what is kept of a machine's recovery beside its state.
  @discardableResult
  func change(
    _ machine: Identifier, _ body: @escaping @Sendable (inout RecoveryRecord) -> Void
  ) throws(OperationError) -> RecoveryRecord {
    let result = try inCatalog { () throws(CatalogError) in
      try catalog.changeRecovery(of: machine, now: clock()) {
        known -> RecoveryChange<OperationError> in
        guard var record = known else {
          return .refuse(
            OperationError(.failed, "What is kept of the machine's recovery is gone."))
        }
        body(&record)
        return .keep(record)
      }
    }
    switch result {
    case .success((let record?, _)): return record
    case .success: throw OperationError(.failed, "What is kept of the machine's recovery is gone.")
    case .failure(let error): throw error
    }
  }

  func note(_ severity: Severity, _ code: String, _ machine: String, _ message: String) {
    _ = try? catalog.addEvent(severity, code, machine: machine, message, now: clock())
  }

  /// What drills and failovers are made with.
  ///
  /// - Throws: `.refused` while the service begins: it listens before it knows.
  func tools() throws(OperationError) -> RecoveryParts {
    guard let parts = parts.withLock({ $0 }) else {
      throw OperationError(
        .refused, "The service is beginning, and recovers no machines yet. Try again in a moment.")
    }
    return parts
  }
}

extension RecoveryStanding {
  /// Where a machine stands as it was kept; nil if that was not kept by this version.
  init?(_ record: RecoveryRecord, isPaused: Bool) {
    guard let state = RecoveryState(rawValue: record.state) else { return nil }
    self.init(state, isPaused: isPaused, keepsDisks: record.keepsDisks)
    running = record.running.flatMap(RecoveryAction.init)
    failed = record.failed.flatMap(RecoveryAction.init)
    origin = record.origin.flatMap(RecoveryState.init)
  }

  /// Whether something has to be kept of it that its protection does not tell.
  var isKept: Bool {
    switch state {
    case .unprotected: keepsDisks
    case .enabling, .protected, .resynchronising: false
    default: true
    }
  }
}

extension RecoveryRecord {
  /// Keeps where a machine stands from now on.
  mutating func take(_ standing: RecoveryStanding, _ now: Timestamp) {
    if state != standing.state.rawValue { since = now }
    state = standing.state.rawValue
    running = standing.running?.rawValue
    failed = standing.failed?.rawValue
    origin = standing.origin?.rawValue
    keepsDisks = standing.keepsDisks
  }
}

/// A part of a drill or a failover, by the name that people read.
enum RecoveryTask: String, Sendable {
  case prerequisites = "Prerequisites check"
  case stopSource = "Shut down the source"
  case drain = "Process what was received"
  case endReplication = "End replication"
  case createDisks = "Create disks"
  case boot = "Boot"
  case compare = "Compare what runs with what was asked"
  case changePoint = "Change the recovery point"
  case stopMachine = "Stop the machine"
  case removeDisks = "Remove disks"
  case deletePoints = "Delete the recovery points"
  case copyDisks = "Copy the disks"
  case letGo = "Let go of the recovery point"
  case endProtection = "End protection"
  case removeMachine = "Remove the machine"
}
