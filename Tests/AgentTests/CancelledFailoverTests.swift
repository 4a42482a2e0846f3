import Bytes
import Catalog
import Compute
import Dispatch
import FileIO
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations

/// Makes branches when it is let to.
private struct HeldBranches: RecoveryBranches {
  let branches: VaultBranches
  let begun = DispatchSemaphore(value: 0)
  let isFree = DispatchSemaphore(value: 0)

  func make(
    _ pin: BranchPin, named name: String, of machine: Machine, budget: UInt64?
  ) throws(OperationError) {
    begun.signal()
    _ = isFree.wait(timeout: .now() + 120)
    try branches.make(pin, named: name, of: machine, budget: budget)
  }

  func remove(_ branch: Identifier) throws(OperationError) { try branches.remove(branch) }

  func all() throws(OperationError) -> [BranchDescription] { try branches.all() }
}

/// Goal: a source whose failover was cancelled, which is probably in production, is not fenced; it is told what
/// to do, and replicates again once that was done. Method: a vault in service, a real agent over TLS with a
/// fence hook that leaves a file, and a failover that is held until it is cancelled.
@Suite(.serialized) struct CancelledFailoverTests {
  /// A site whose agent has made a point, and the file that its fence hook leaves.
  private func site() throws -> (ProtectedSite, hook: String) {
    let site = try ProtectedSite()
    let (script, ran) = (site.directory.file("fence"), site.directory.file("ran"))
    try SourceShutdownTests.script("echo ran >> \(ran)", at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setFence(SourceHook(.script, script))
    }
    try site.startAgent()
    #expect(try site.hasPoints(1))
    return (site, ran)
  }

  private func exists(_ path: String) -> Bool {
    (try? FileSystem.system.readFile(path, limit: 100)) != nil
  }

  /// Begins a failover, and cancels it once it has come to make its disks, behind the raise of the epoch.
  private func cancel(
    _ site: ProtectedSite, whileHeld look: () throws -> Void
  ) throws {
    let branches = HeldBranches(branches: VaultBranches(site.service.writable))
    site.service.prepareRecovery(
      RecoveryParts(
        branches: branches, servers: NoServers(), provider: NoCompute(),
        directory: { "/nowhere/\($0)" }))
    let job = try site.service.startFailover("web01", RecoveryRequest(point: "latest"), by: nil)
    #expect(branches.begun.wait(timeout: .now() + 60) == .success)
    try look()
    _ = try site.service.cancelFailover("web01", isConfirmed: true, by: nil)
    branches.isFree.signal()
    #expect(site.waits { (try? site.service.jobs.job(job.id))?.state.isFinal == true })
    #expect(try site.service.jobs.job(job.id).state == .cancelled)
  }

  private func isTold(_ site: ProtectedSite, _ words: String) -> Bool {
    site.waits {
      let status = try? site.agent.currentStatus()
      return status?.state == .refused && status?.lastError?.message.contains(words) == true
    }
  }

  @Test("a cancelled failover fences no source: it is told what to do, and then replicates again")
  func cancelled() throws {
    let (site, hook) = try site()
    defer { site.endAgent() }
    try cancel(site) {
      // Until a failover has succeeded it may be given up.
      #expect(isTold(site, "is being failed over"))
    }
    #expect(isTold(site, "the failover of 'web01' was cancelled"))
    let status = try site.agent.currentStatus()
    #expect(status.lastError?.message.contains("tidemark machine enable web01") == true)
    #expect(status.fenced == nil && status.fenceHook == nil && status.needsAttention)
    let standing = try site.service.recovery(of: "web01").standing
    #expect(standing.state == .replicationStopped && standing.allowed == [.failover, .disable])
    let advice = standing.objection(to: .enable)?.message(for: "web01")
    #expect(advice?.contains("'tidemark machine disable web01'") == true, "\(advice ?? "")")

    try site.restartService()
    #expect(isTold(site, "the failover of 'web01' was cancelled"))
    _ = try site.service.disable("web01")
    try site.write([UInt8](repeating: 9, count: 4096), at: 1 << 20)
    try site.enable()
    // It may have been told of the usual, long time between two cycles.
    #expect(try site.hasPoints(1))
    let point = try #require(try site.points.last)
    #expect(try site.content(at: point) == site.source())
    #expect(!exists(hook))
    let note = try site.agent.epochNote(of: site.machine)
    #expect(try note.epoch == site.vault.machine(named: "web01").snapshot().epoch)
    #expect(note.fenced == nil)
  }

  @Test("a failover that left no more than its epoch fences no source")
  func brokenOff() throws {
    let (site, hook) = try site()
    defer { site.endAgent() }
    try site.service.agentHost.writing(to: try site.vault.machine(named: "web01")) {
      log throws(OperationError) in
      _ = try inVault { () throws(VaultError) in try log.raiseEpoch() }
    }
    #expect(isTold(site, "was begun that came to nothing"))
    let status = try site.agent.currentStatus()
    #expect(status.fenced == nil && status.fenceHook == nil && !exists(hook))
    // Nor where it is noted as one that failed half-way.
    var record = RecoveryRecord(
      machine: site.machine, name: "web01", state: RecoveryState.failoverFailed.rawValue,
      since: .now())
    record.failed = RecoveryAction.failover.rawValue
    let kept = record
    _ = try site.service.catalog.changeRecovery(of: site.machine, now: .now()) {
      _ -> RecoveryChange<OperationError> in .keep(kept)
    }
    #expect(isTold(site, "is being changed"))
    #expect(try site.agent.currentStatus().fenced == nil && !exists(hook))
  }

  @Test("a source that was fenced before its failover was given up is not fenced any more")
  func unfenced() throws {
    let (site, hook) = try site()
    defer { site.endAgent() }
    func keep(_ state: RecoveryState) throws {
      var record = RecoveryRecord(
        machine: site.machine, name: "web01", state: state.rawValue, since: .now())
      record.isFenced = true
      let kept = record
      try site.service.agentHost.keepingOut(site.machine, isWriting: false) {
        () throws(OperationError) in
        _ = try inCatalog { () throws(CatalogError) in
          try site.service.catalog.changeRecovery(of: site.machine, now: .now()) {
            _ -> RecoveryChange<OperationError> in .keep(kept)
          }
        }
      }
    }
    try keep(.failedOver)
    #expect(site.waits { (try? site.agent.currentStatus())?.fenced != nil && exists(hook) })
    try keep(.failoverFailed)
    #expect(
      site.waits {
        (try? site.agent.currentStatus())?.lastError?.message.contains("half-way") == true
      })
    #expect(try site.agent.currentStatus().state == .fenced)
    try keep(.replicationStopped)
    #expect(isTold(site, "the failover of 'web01' was cancelled"))
    #expect(try site.agent.currentStatus().fenced == nil)
  }
}
