import Bytes
import Catalog
import Compute
import FileIO
import Operations
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent

/// Serves nothing, and says that it does.
struct NoServers: RecoveryDiskServers {
  /// Where it says that disk 0 is.
  var directory = "/nowhere"

  func serve(_ branch: Identifier) -> ServedBranch {
    ServedBranch(directory: directory, numbers: [0])
  }
  func served(_ branch: Identifier) -> ServedBranch? { serve(branch) }
  func serveFrozen(_ branch: Identifier) -> ServedBranch { serve(branch) }
  func freeze(_ branch: Identifier, within seconds: Double) {}
  func thaw(_ branch: Identifier) {}
  func end(_ branch: Identifier) {}
}

/// Goal: a failover ends in time and with the truth about its source, whatever the source, its agent and what
/// lies between do. Method: a vault in service with a real agent, and a real relay, over TLS.
@Suite(.serialized) struct RecoverySourceTests {
  private func prepare(_ service: VaultService, shutdownSeconds: Int) {
    var parts = RecoveryParts(
      branches: VaultBranches(service.writable), servers: NoServers(), provider: NoCompute(),
      directory: { "/nowhere/\($0)" })
    parts.sourceLimits.shutdown = shutdownSeconds
    service.prepareRecovery(parts)
  }

  private func failover(
    _ service: VaultService, stopsSource: Bool, isConfirmed: Bool
  ) throws -> JobRecord {
    var request = RecoveryRequest(point: "latest")
    (request.stopsSource, request.isConfirmed) = (stopsSource, isConfirmed)
    let job = try service.startFailover("web01", request, by: nil)
    _ = Program.poll(seconds: 300) { (try? service.jobs.job(job.id))?.state.isFinal == true }
    return try service.jobs.job(job.id)
  }

  @Test("a source that hangs holds a failover up for a limited time, and its last words are in it")
  func hanging() throws {
    let site = try ProtectedSite()
    let script = site.directory.file("stop")
    try SourceShutdownTests.script(
      "printf 'last words' | dd of=\(site.image) conv=notrunc bs=1 seek=70000 2>/dev/null\nsleep 600",
      at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setShutdown(SourceHook(.script, script))
    }
    try site.startAgent()
    #expect(try site.hasPoints(1))
    prepare(site.service, shutdownSeconds: 1)
    let job = try failover(site.service, stopsSource: true, isConfirmed: false)
    #expect(job.state == .succeeded, "\(job)")
    let report = try #require(RecoveryReport(json: job.result))
    let words = try #require(report.sourceShutdown)
    #expect(report.isSourceStopped == false)
    #expect(words.contains("was killed") && words.contains("goes on serving"), "\(words)")
    let point = try #require(try site.points.last)
    #expect(try site.service.recovery(of: "web01").record?.point?.id == point.id)
    #expect(Array(try site.content(at: point)[70000..<70010]) == Array("last words".utf8))
    // The source is kept out from now on, and is told why.
    #expect(try site.waits { try site.agent.currentStatus().state == .fenced })
    site.endAgent()
  }

  @Test("what is on its way, and what a relay holds, is in the disks of a failover")
  func holdingRelay() throws {
    let site = try RelaySite()
    try site.write([UInt8](repeating: 7, count: 65536), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.becomesEqual())
    prepare(site.service, shutdownSeconds: 1)
    // It comes to the relay soon, and from there slowly.
    relay.back.limit(bytesPerSecond: 1 << 20)
    let before = relay.front.bytesForward
    var random = SeededGenerator(for: "what a relay holds")
    try site.write(random.bytes(6 << 20), at: 2 << 20)
    #expect(
      Program.poll(seconds: 60) {
        relay.front.bytesForward - before > 6 << 20 && relay.relay.pendingBytes > 1 << 20
      })
    let job = try failover(site.service, stopsSource: false, isConfirmed: false)
    #expect(job.state == .succeeded, "\(job)")
    let point = try #require(try site.points.last)
    #expect(try site.service.recovery(of: "web01").record?.point?.id == point.id)
    #expect(site.becomesEqual(seconds: 1))
    #expect(agent.end() && relay.end())
  }

  @Test("a relay that is silent is named, and gone on without only if that is said")
  func silentRelay() throws {
    let site = try RelaySite()
    try site.write([UInt8](repeating: 7, count: 65536), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.becomesEqual())
    #expect(agent.end() && relay.end())
    prepare(site.service, shutdownSeconds: 1)
    // To a drill it is all the same.
    let drill = try site.service.startTestFailover(
      "web01", RecoveryRequest(point: "latest"), by: nil)
    #expect(
      Program.poll(seconds: 60) { (try? site.service.jobs.job(drill.id))?.state.isFinal == true })
    let drained = try site.service.jobs.job(drill.id).tasks.first {
      $0.name == "Process what was received"
    }
    #expect(drained?.state == .succeeded)
    let refused = try failover(site.service, stopsSource: false, isConfirmed: false)
    let message = try #require(refused.error?.message)
    #expect(
      message.contains("relay 'relay01'") && message.contains("does not answer")
        && message.contains("--yes"), "\(message)")
    #expect(try site.service.recovery(of: "web01").standing.state == .protected)
    let job = try failover(site.service, stopsSource: false, isConfirmed: true)
    #expect(job.state == .succeeded, "\(job)")
    #expect(try site.service.recovery(of: "web01").standing.state == .failedOver)
  }
}
