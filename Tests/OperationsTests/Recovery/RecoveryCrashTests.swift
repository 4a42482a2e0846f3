import Bytes
import Catalog
import Compute
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Copies a vault as it is at each moment that something outside the catalog is about to be done, or was
/// just done: what `kill -9` leaves there, as everything that was written stays.
final class CrashRecorder: RecoveryBranches, RecoveryDiskServers {
  let branches: VaultBranches
  let servers: StillServers
  let vault: Vault
  let directory: String
  let copies = Mutex<[String]>([])

  init(_ site: RecoverySite) {
    branches = VaultBranches(site.service.writable)
    servers = site.servers
    (vault, directory) = (site.site.vault, site.site.directory.path)
  }

  @discardableResult
  fileprivate func copy() -> String {
    let path = copies.withLock { copies in
      copies.append("\(directory)/copy\(copies.count)")
      return copies[copies.count - 1]
    }
    _ = try? Program.run("/bin/cp", "-a", "--reflink=auto", vault.path, path)
    return path
  }

  private func recording<Result>(
    _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    copy()
    defer { copy() }
    return try body()
  }

  func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError) {
    try recording { () throws(OperationError) in
      try branches.make(pin, named: name, of: machine, budget: budget)
    }
  }

  func remove(_ branch: Identifier) throws(OperationError) {
    try recording { () throws(OperationError) in try branches.remove(branch) }
  }

  func all() throws(OperationError) -> [BranchDescription] { try branches.all() }

  func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try recording { () throws(OperationError) in try servers.serve(branch) }
  }

  func served(_ branch: Identifier) throws(OperationError) -> ServedBranch? {
    try servers.served(branch)
  }

  func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try recording { () throws(OperationError) in try servers.serveFrozen(branch) }
  }

  func freeze(_ branch: Identifier, within seconds: Double) {
    servers.freeze(branch, within: seconds)
  }

  func thaw(_ branch: Identifier) { servers.thaw(branch) }

  func flatten(_ branch: Identifier) throws(OperationError) {
    try recording { () throws(OperationError) in try servers.flatten(branch) }
  }

  func cancelFlatten(_ branch: Identifier) { servers.cancelFlatten(branch) }

  func copy(of branch: Identifier) throws(OperationError) -> BranchCopy? {
    try servers.copy(of: branch)
  }

  func end(_ branch: Identifier) throws(OperationError) {
    try recording { () throws(OperationError) in servers.end(branch) }
  }

  var parts: RecoveryParts {
    RecoveryParts(
      branches: self, servers: self, provider: NoCompute(), directory: { "/nowhere/\($0)" })
  }
}

/// Goal: wherever the service dies, the next one ends in a legal state, with the pins and branches of it and
/// no others. Method: the vault is copied at each step of each action, and another service takes each copy. Of
/// actions that change the MANIFEST alone the copies are made by doing a part of them.
@Suite struct RecoveryCrashTests {
  @Test(
    "a service that died at any step is gone on from, and nothing is left over",
    arguments: [
      RecoveryAction.testFailover, .cleanup, .failover, .changePoint, .commit, .completeMigration,
      .cancel, .flatten, .discard,
    ])
  func died(_ action: RecoveryAction) throws {
    let site = try RecoverySite()
    let recorder = CrashRecorder(site)
    try prepare(site, action)
    let isCommit = action == .commit || action == .completeMigration
    if isCommit || action == .cancel { try begin(action, alone: recorder) }
    if isCommit { try begin(action, alone: recorder, isCommitted: true) }
    site.service.prepareRecovery(recorder.parts)
    let job = try site.end(try begin(site, action))
    #expect(job.state == .succeeded, "\(job)")
    let copies = recorder.copies.withLock { $0 }
    #expect(copies.count >= 2)
    for path in copies { try check(path, action) }
  }

  /// Makes a copy of the vault as it is once an action is kept as begun and nothing of it is done, or, if it
  /// `isCommitted`, the MANIFEST has been changed and nobody has noted that.
  private func begin(
    _ action: RecoveryAction, alone recorder: CrashRecorder, isCommitted: Bool = false
  ) throws {
    let path = recorder.copy()
    let service = try VaultService(try Vault(opening: path))
    let before = try #require(try service.catalog.recoveries().first)
    let standing = try #require(RecoveryStanding(before, isPaused: false))
    let next = try standing.after(.asked(action)).standing
    let tasks = RecoveryRun.tasks(of: action, before.request).map(\.rawValue)
    _ = try service.catalog.changeRecovery(of: before.machine, now: .now()) {
      known -> RecoveryChange<OperationError> in
      var record = known ?? before
      record.take(next, .now())
      return .keep(record, NewJob(kind: action.name, tasks: tasks))
    }
    if isCommitted {
      let machine = try service.vault.machine(named: RecoverySite.name)
      try service.recovery.commit(failover: try #require(before.branch), of: machine)
    }
    #expect(service.close())
  }

  private func prepare(_ site: RecoverySite, _ action: RecoveryAction) throws {
    switch action {
    case .cleanup: #expect(try site.drill().state == .succeeded)
    case .changePoint, .commit, .completeMigration, .flatten, .discard:
      #expect(try site.failover("p2").state == .succeeded)
    case .cancel:
      site.servers.state.withLock { $0.isBroken = true }
      #expect(try site.failover().state == .failed)
      site.servers.state.withLock { $0.isBroken = false }
    default: break
    }
    if action == .discard { _ = try site.service.disable(RecoverySite.name) }
  }

  private func begin(_ site: RecoverySite, _ action: RecoveryAction) throws -> JobRecord {
    let (service, name) = (site.service, RecoverySite.name)
    switch action {
    case .testFailover:
      return try service.startTestFailover(name, site.request(), by: nil)
    case .cleanup: return try service.cleanUpTestFailover(name, notes: nil, by: nil)
    case .failover: return try service.startFailover(name, site.request(), by: nil)
    case .changePoint:
      return try service.changeRecoveryPoint(name, site.request("p0", confirmed: true), by: nil)
    case .commit: return try service.commitFailover(name, completesMigration: false, by: nil)
    case .completeMigration:
      return try service.commitFailover(name, completesMigration: true, by: nil)
    case .cancel: return try service.cancelFailover(name, isConfirmed: true, by: nil)
    case .flatten: return try service.flattenFailover(name, by: nil)
    default: return try service.discardFailedOver(name, by: nil)
    }
  }

  /// Takes a copy in service, and looks at what becomes of it.
  private func check(_ path: String, _ action: RecoveryAction) throws {
    let vault = try Vault(opening: path)
    let service = try VaultService(vault)
    let servers = StillServers(vault, in: path + ".served")
    try FileSystem.system.makeDirectory(path + ".served", permissions: 0o700)
    try service.useForRecovery(
      RecoveryParts(
        branches: VaultBranches(service.writable), servers: servers, provider: NoCompute(),
        directory: { "/nowhere/\($0)" }))
    let isQuiet = try Program.poll(seconds: 20) {
      try service.catalog.recoveries().allSatisfy { $0.running == nil }
    }
    #expect(isQuiet, "\(action) at \(path)")
    let pins = try vault.machines().flatMap { try $0.snapshot().pins }.map { $0.branch }
    #expect(try Set(vault.branchIdentifiers()) == Set(pins), "\(action): an orphan at \(path)")
    let record = try service.catalog.recoveries().first
    let states: [RecoveryAction: RecoveryState] = [
      .testFailover: .testActive, .failover: .failedOver, .changePoint: .failedOver,
      .commit: .committed, .completeMigration: .unprotected, .cancel: .replicationStopped,
      .flatten: .failedOver,
    ]
    #expect(record?.state == states[action]?.rawValue, "\(action) at \(path): \(record as Any)")
    if action == .cancel {
      #expect(pins.isEmpty, "\(action) at \(path)")
    } else if states[action] != nil {
      #expect(pins.count == 1 && record?.branch == pins.first)
    }
    if action == .commit || action == .completeMigration {
      let snapshots = try vault.machines().map { try $0.snapshot() }
      #expect(snapshots.allSatisfy { $0.points.isEmpty }, "\(action) at \(path)")
      #expect(snapshots.flatMap { $0.pins.map(\.isCommitted) } == [true])
      #expect(record?.keepsDisks == (action == .completeMigration))
    }
    if action == .flatten {
      let machines = try vault.machines()
      #expect(try machines.flatMap { try $0.snapshot().pins }.map(\.isFlat) == [true])
      #expect(try vault.branches().map(\.isFlat) == [true])
    }
    if action == .changePoint { #expect(record?.point?.asked == "p0") }
    #expect(service.close())
  }
}
