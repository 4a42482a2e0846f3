public import Bytes
public import Catalog
internal import FileIO
public import Identity
internal import Synchronization
public import Vault

/// A vault in service: the right to write to it, its catalog, and its jobs, in one process.
///
/// `tidemark serve` keeps one for as long as it runs; a command that changes something makes one for
/// the moment it works if no service runs. Either way the same code does the same work. Safe from any
/// thread; calls block.
public final class VaultService: Sendable {
  /// The vault.
  public let vault: Vault
  /// The right to write to it.
  public let writable: WritableVault
  /// What is remembered beside the logs.
  public let catalog: Catalog
  /// The long operations.
  public let jobs: JobRunner
  /// What agents meet.
  public let agentHost: AgentHost
  /// What is wrong now.
  public let health: HealthBook
  /// What finds that out.
  public let monitor: HealthMonitor
  /// Since when it runs.
  public let started: Timestamp
  /// Where drills and failovers are decided about.
  let recovery: RecoveryDesk
  /// What issues certificates.
  let certificates: VaultAuthority
  /// What the service itself shows.
  let presented = Mutex(PresentedCertificate())
  /// Held while networks, or what machines are to be, are changed, so that what is checked stays so.
  let targetChanges = Mutex(())
  /// What uses networks beside what machines are to be.
  let otherNetworkUses = Mutex<(@Sendable () -> [(network: String, user: String)])?>(nil)

  /// Takes the vault's lock, opens the catalog, and ends the jobs that a process before this one left
  /// unfinished.
  ///
  /// - Throws: `.locked` if another process has the lock; `.damaged`, `.noVault` or `.unwritable` if
  ///   the catalog can't be used.
  public convenience init(_ vault: Vault) throws(OperationError) {
    try self.init(vault, clock: { .now() })
  }

  /// Takes it with another clock than usual for windows of resynchronisation and hours of limits; for
  /// tests.
  init(_ vault: Vault, clock: @escaping @Sendable () -> Timestamp) throws(OperationError) {
    self.vault = vault
    writable = try WritableVault(vault)
    started = .now()
    let catalog = try inCatalog { () throws(CatalogError) in try Catalog(in: vault.path) }
    self.catalog = catalog
    health = HealthBook(catalog)
    certificates = VaultAuthority(vault, catalog)
    jobs = JobRunner(catalog: catalog) { Self.tell($0, in: catalog) }
    agentHost = AgentHost(writable, catalog, certificates, health, jobs, clock: clock)
    monitor = HealthMonitor(vault, catalog, agentHost, health, jobs, started: started)
    recovery = RecoveryDesk(writable, catalog, agentHost, jobs, health, clock: clock)
    recovery.belong(to: self)
    try jobs.reopen(FinalizeProtection.kind)
    agentHost.resumeResynchronisations()
    try failUnended(besides: recovery.reconcile())
    jobs.decider.withLock {
      $0 = { [weak self] job, user throws(OperationError) in try self?.cancel(job, by: user) }
    }
    monitor.looks.withLock { $0 = recovery }
    setNetworkUses { [weak self] in self?.recoveryNetworks() ?? [] }
  }

  private func failUnended(besides going: Set<Int64>) throws(OperationError) {
    let failure = JobFailure(
      code: OperationError.Code.failed.rawValue,
      message:
        "The process that ran it ended before it did. What was stored is kept: run it again, "
        + "and it goes on from there.")
    do throws(CatalogError) {
      let ended = try catalog.failUnendedJobs(
        failure, except: going.union(jobs.opened.withLock { $0.keys }), now: started)
      for job in ended { Self.tell(job, in: catalog) }
    } catch {
      // A full disk must not stand in the way of removing what fills it; the next start tries again.
      guard error.code == .full else { throw OperationError(error) }
    }
  }

  /// Asks the jobs to stop and waits for them; no more are started.
  ///
  /// - Parameter seconds: how long they may take to find a good place to stop.
  /// - Returns: whether all of them did.
  public func stopJobs(seconds: Int = 30) -> Bool { jobs.stop(seconds: seconds) }

  /// Asks the jobs to stop, waits for them, and closes the catalog; the lock goes with the value.
  ///
  /// - Parameter seconds: how long jobs may take to find a good place to stop.
  /// - Returns: whether all of them did. Where not, killing the process is safe, as any crash is.
  @discardableResult
  public func close(seconds: Int = 30) -> Bool {
    monitor.stop()
    guard stopJobs(seconds: seconds) else { return false }
    try? catalog.close()
    return true
  }

  /// The vault's own certificate authority, which is made when it is asked for the first time.
  public func authority() throws(OperationError) -> CertificateAuthority {
    try certificates.authority()
  }

  /// Keeps an event. One that can't be kept is no reason to fail what it tells of.
  public func note(
    _ severity: Severity, _ code: String, machine: String? = nil, _ message: String
  ) {
    _ = try? catalog.addEvent(severity, code, machine: machine, message, now: .now())
  }

  private static func tell(_ job: JobRecord, in catalog: Catalog) {
    guard let error = job.error, job.state != .cancelled else { return }
    _ = try? catalog.addEvent(
      .warning, "job-\(job.state.rawValue.lowercased())", machine: job.machine,
      "Job \(job.id), \(job.kind), \(job.state == .failed ? "failed" : "left something undone"): "
        + error.message, now: job.ended ?? .now())
  }
}

extension VaultService {
  /// The newest `limit` events with numbers above `id`, the newest first.
  public func events(after id: Int64, limit: Int) throws(OperationError) -> [EventRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.events(after: id, limit: limit) }
  }

  /// All tokens, by name.
  public func tokens() throws(OperationError) -> [TokenRecord] {
    try inCatalog { () throws(CatalogError) in try catalog.tokens() }
  }

  /// The token with that public part; nil if there is none.
  public func token(_ id: String) throws(OperationError) -> TokenRecord? {
    try inCatalog { () throws(CatalogError) in try catalog.token(id) }
  }

  /// Keeps a token.
  ///
  /// - Throws: `.refused` if another one has its name.
  public func add(_ token: TokenRecord) throws(OperationError) {
    guard try !tokens().contains(where: { $0.name == token.name }) else {
      throw OperationError(
        .refused, "There is a token '\(token.name)' already. Choose another name, or revoke it.")
    }
    try inCatalog { () throws(CatalogError) in try catalog.add(token) }
  }

  /// Forgets a token, which is refused from now on.
  ///
  /// - Throws: `.unknown`.
  public func removeToken(named name: String) throws(OperationError) {
    let found = try inCatalog { () throws(CatalogError) in try catalog.removeToken(named: name) }
    guard found else {
      throw OperationError(
        .unknown, "There is no token '\(name)'; 'tidemark token list' shows them.")
    }
  }
}
