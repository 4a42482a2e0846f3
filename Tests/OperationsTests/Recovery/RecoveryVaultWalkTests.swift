import Bytes
import Catalog
import Compute
import FileIO
import Support
import Synchronization
import Testing
import Vault

@testable import Operations

/// Goal: whatever is asked for in whatever order, and wherever the process dies, a machine's state and what its
/// vault holds agree. Method: a real vault, random actions, failures, restarts and losses of the catalog; the
/// vault is copied at each step of each action, and another service takes one of the copies.
/// `TIDEMARK_RECOVERY_WALKS` says how many vaults are walked through.
@Suite struct RecoveryVaultWalkTests {
  private static let actions: [RecoveryAction] = [
    .testFailover, .cleanup, .failover, .changePoint, .commit, .completeMigration, .cancel,
    .flatten, .disable, .discard,
  ]
  private static let steps = 14

  @Test(
    "random actions, failures and crashes on a vault keep its state and its branches in agreement")
  func walk() throws {
    var random = SeededGenerator(for: "walks of drills and failovers")
    var done: [String: Int] = [:]
    for _ in 0..<Count.of("TIDEMARK_RECOVERY_WALKS", normally: 3) {
      try walk(&random, &done)
    }
    print("actions that were done: \(done.sorted { $0.key < $1.key })")
  }

  /// Walks until nothing is left of the machine, or for some steps.
  private func walk(_ random: inout SeededGenerator, _ done: inout [String: Int]) throws {
    let site = try RecoverySite()
    for number in 0..<Self.steps {
      guard let (action, what) = try recorded(number, site, &random) else { continue }
      done[action.rawValue, default: 0] += 1
      guard try !site.site.vault.machines().isEmpty else { return }
      try check(site.site.vault, site.service, what)
      guard try site.standing.state != .unprotected || site.standing.keepsDisks else { return }
      if Int.random(in: 0..<4, using: &random) == 0 {
        let isLost = try Bool.random(using: &random) && !site.standing.keepsDisks
        try site.restart(without: isLost)
        try check(site.site.vault, site.service, what + ", restarted\(isLost ? " anew" : "")")
      }
    }
  }

  /// A step, and what it leaves where the process dies in the middle of it; gives what it was, if it was allowed.
  /// A function of its own: who records has the vault's lock, which a restart needs.
  private func recorded(
    _ number: Int, _ site: RecoverySite, _ random: inout SeededGenerator
  ) throws -> (action: RecoveryAction, what: String)? {
    let recorder = CrashRecorder(site)
    var parts = recorder.parts
    parts.sourceLimits.contact = 0
    site.service.prepareRecovery(parts)
    let isBroken = Int.random(in: 0..<6, using: &random) == 0
    site.servers.state.withLock { $0.isBroken = isBroken }
    defer { site.servers.state.withLock { $0.isBroken = false } }
    guard let action = try step(number, site, &random) else { return nil }
    let what = "step \(number), \(action)\(isBroken ? " with broken servers" : "")"
    let copies = recorder.copies.withLock { $0 }
    if let path = copies.randomElement(using: &random) { try checkCopy(path, what) }
    for path in copies { try Program.require("rm", "-rf", path, path + ".served") }
    return (action, what)
  }

  /// Asks for something; gives what, if it was allowed.
  private func step(
    _ number: Int, _ site: RecoverySite, _ random: inout SeededGenerator
  ) throws -> RecoveryAction? {
    let standing = try site.standing
    let isAny = Int.random(in: 0..<4, using: &random) == 0
    let choice = isAny ? Self.actions : Self.actions.filter { standing.objection(to: $0) == nil }
    let action = choice.randomElement(using: &random) ?? .failover
    let isAllowed = standing.objection(to: action) == nil
    // Behind these there is little to walk on with.
    let isEnd = [.commit, .completeMigration, .disable].contains(action)
    if isEnd, isAllowed, number < Self.steps / 2 { return nil }
    // A drill is given up by its clean-up.
    if action == .cancel, standing.state != .failoverFailed { return nil }
    // Of any other machine it would leave nothing to walk on with.
    if action == .disable, !standing.state.hasFailedOverDisks { return nil }
    let point = ["p0", "p1", "p2", "latest"].randomElement(using: &random) ?? "latest"
    do throws(OperationError) {
      try begin(action, site, site.request(point, confirmed: true))
    } catch {
      #expect(!isAllowed && error.code == .refused, "\(action) in \(standing): \(error)")
      return nil
    }
    #expect(isAllowed, "\(action) in \(standing)")
    return action
  }

  /// Does something, or fails at it.
  private func begin(
    _ action: RecoveryAction, _ site: RecoverySite, _ request: RecoveryRequest
  ) throws(OperationError) {
    let (service, name) = (site.service, RecoverySite.name)
    let job: JobRecord
    switch action {
    case .testFailover: job = try service.startTestFailover(name, request, by: nil)
    case .cleanup: job = try service.cleanUpTestFailover(name, notes: nil, by: nil)
    case .failover: job = try service.startFailover(name, request, by: nil)
    case .changePoint: job = try service.changeRecoveryPoint(name, request, by: nil)
    case .commit: job = try service.commitFailover(name, completesMigration: false, by: nil)
    case .completeMigration:
      job = try service.commitFailover(name, completesMigration: true, by: nil)
    case .cancel: job = try service.cancelFailover(name, isConfirmed: true, by: nil)
    case .flatten: job = try service.flattenFailover(name, by: nil)
    case .disable:
      _ = try service.disable(name)
      return
    default: job = try service.discardFailedOver(name, by: nil)
    }
    do { try site.end(job) } catch { Issue.record("\(action): \(error)") }
  }

  /// Takes a copy in service, waits until it has ended what was begun, and looks at it.
  private func checkCopy(_ path: String, _ what: String) throws {
    let vault = try Vault(opening: path)
    let service = try VaultService(vault)
    try FileSystem.system.makeDirectory(path + ".served", permissions: 0o700)
    try service.useForRecovery(
      RecoveryParts(
        branches: VaultBranches(service.writable),
        servers: StillServers(vault, in: path + ".served"), provider: NoCompute(),
        directory: { "/nowhere/\($0)" }))
    let isQuiet = try Program.poll(seconds: 60) {
      try service.catalog.recoveries().allSatisfy { $0.running == nil }
    }
    #expect(isQuiet, "\(what), killed")
    if try !vault.machines().isEmpty { try check(vault, service, what + ", killed") }
    #expect(service.close())
  }

  /// Looks whether the state is the one that the vault holds.
  private func check(_ vault: Vault, _ service: VaultService, _ what: String) throws {
    let snapshot = try vault.machine(named: RecoverySite.name).snapshot()
    let status = try service.recovery(of: RecoverySite.name)
    let (standing, pins) = (status.standing, snapshot.pins)
    let told = "\(what): \(standing), \(pins)"
    #expect(standing.running == nil, "\(told)")
    #expect(try Set(vault.branchIdentifiers()) == Set(pins.map(\.branch)), "\(told)")
    #expect(pins.count <= 1, "\(told)")
    #expect(standing.isFlat == (pins.first?.isFlat ?? false), "\(told)")
    #expect(try vault.branches().allSatisfy { $0.isFlat == standing.isFlat }, "\(told)")
    #expect(pins.first?.isCommitted != true || snapshot.points.isEmpty, "\(told)")
    switch standing.state {
    case .testActive: #expect(pins.map(\.purpose) == [.drill], "\(told)")
    case .failedOver, .committed:
      #expect(pins.map(\.purpose) == [.failover] && snapshot.epoch > 0, "\(told)")
      #expect(pins.map(\.isCommitted) == [standing.state == .committed], "\(told)")
      #expect(status.record?.branch == pins.first?.branch, "\(told)")
    case .failoverFailed: #expect(pins.allSatisfy { $0.purpose == .failover }, "\(told)")
    case .unprotected: #expect(standing.keepsDisks && pins.count == 1, "\(told)")
    default: #expect(pins.isEmpty, "\(told)")
    }
  }
}
