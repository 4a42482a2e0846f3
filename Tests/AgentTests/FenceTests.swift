import Bytes
import Catalog
import FileIO
import Replication
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations

/// Goal: a source whose machine has failed over adds nothing any more, says why, and stays so. Method: a
/// vault in service, a real agent over TLS, and an epoch that is raised behind its back.
@Suite(.serialized) struct FenceTests {
  /// Raises the epoch as a failover does.
  private static func failOver(
    _ machine: Identifier, of service: VaultService
  ) throws {
    let found = try #require(try service.vault.machines().first { $0.id == machine })
    let point = try #require(try found.snapshot().points.last)
    try service.agentHost.keepingOut(machine, isWriting: true) { () throws(OperationError) in
      try inVault { () throws(VaultError) in
        let log = try MachineWriter(
          machine: found, in: service.vault, lock: service.writable.lock)
        try log.raiseEpoch(
          BranchPin(branch: .random(), cut: point.sequence, purpose: .failover))
        try log.close()
      }
    }
  }

  private func lines(_ path: String) -> Int {
    let bytes = (try? FileSystem.system.readFile(path, limit: 1000)) ?? []
    return bytes.count { $0 == UInt8(ascii: "\n") }
  }

  @Test("an agent of an older epoch is fenced: no point, one run of the hook, also after a restart")
  func fenced() throws {
    let site = try ProtectedSite()
    let (script, ran) = (site.directory.file("fence"), site.directory.file("ran"))
    try SourceShutdownTests.script("echo $TIDEMARK_PHASE >> \(ran)", at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setFence(SourceHook(.script, script))
    }
    try site.startAgent()
    #expect(try site.hasPoints(2))
    try Self.failOver(site.machine, of: site.service)
    let count = try site.points.count
    func isFenced() -> Bool {
      site.waits {
        let status = try? site.agent.currentStatus()
        return status?.state == .fenced && status?.fenceHook?.message.contains("was run") == true
      }
    }
    #expect(isFenced())
    let status = try site.agent.currentStatus()
    #expect(status.needsAttention)
    #expect(status.fenced?.message.contains("has failed over") == true, "\(status)")
    #expect(lines(ran) == 1)
    site.endAgent()
    try site.startAgent()
    #expect(isFenced())
    _ = Program.poll(seconds: 1) { false }
    #expect(lines(ran) == 1)
    #expect(try site.points.count == count)
    let told = try site.service.events(after: 0, limit: 100).map(\.message)
    #expect(told.contains { $0.contains("has failed over") && $0.contains("refused") })
    // One that enrols anew is another source, if the service takes it.
    site.endAgent()
    try site.agent.forgetEpoch()
    try site.startAgent()
    #expect(try site.waits { try site.agent.currentStatus().serviceVersion != nil })
    #expect(
      site.waits { (try? site.agent.epochNote(of: site.machine))?.epoch == 1 })
    #expect(try site.waits { try site.agent.currentStatus().fenced == nil })
  }

  @Test("a machine that takes nothing any more refuses its agent with the reason, until it does")
  func closed() throws {
    let site = try ProtectedSite()
    func keep(_ record: RecoveryRecord?) throws {
      _ = try site.service.catalog.changeRecovery(of: site.machine, now: .now()) {
        _ -> RecoveryChange<OperationError> in record.map { .keep($0) } ?? .forget
      }
    }
    var record = RecoveryRecord(
      machine: site.machine, name: "web01", state: "committed", since: .now())
    record.isFenced = true
    try keep(record)
    try site.startAgent()
    #expect(
      site.waits {
        (try? site.agent.currentStatus())?.fenced?.message.contains(
          "failed over, and that is committed") == true
      })
    #expect(try site.points.isEmpty)
    try keep(nil)
    #expect(try site.hasPoints(1))
    #expect(try site.agent.currentStatus().fenced == nil)
  }

  @Test("a hook that fails is run again, until it has done what it should")
  func failingHook() throws {
    let site = try ProtectedSite()
    let (script, ran) = (site.directory.file("fence"), site.directory.file("ran"))
    try SourceShutdownTests.script("echo x >> \(ran); test $(wc -l < \(ran)) -ge 3", at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setFence(SourceHook(.script, script))
    }
    try site.startAgent()
    #expect(try site.hasPoints(1))
    try Self.failOver(site.machine, of: site.service)
    #expect(
      site.waits {
        (try? site.agent.currentStatus())?.fenceHook?.message.contains("was run") == true
      })
    _ = Program.poll(seconds: 1) { false }
    #expect(lines(ran) == 3)
    #expect(try site.agent.epochNote(of: site.machine).hasHookFailed == nil)
  }

  @Test("the hook is run though that can't be noted, and the agent ends then")
  func unnoted() throws {
    let site = try ProtectedSite()
    let (script, ran) = (site.directory.file("fence"), site.directory.file("ran"))
    try SourceShutdownTests.script("echo x >> \(ran)", at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setFence(SourceHook(.script, script))
    }
    try site.startAgent()
    #expect(try site.hasPoints(1))
    site.endAgent()
    // Where the note is made before it takes the other one's place.
    try FileSystem.system.makeDirectory(site.agent.path + "/epoch.json.new", permissions: 0o700)
    try Self.failOver(site.machine, of: site.service)
    let lock = try site.agent.lock()
    let loop = AgentLoop(
      site.agent, lock: lock, release: "test", cancellation: Cancellation()
    ) { _ in }
    do throws(AgentError) {
      try loop.run()
      Issue.record("it went on")
    } catch { #expect(error.code == .state, "\(error)") }
    #expect(lines(ran) == 1)
  }

  @Test("a fence reaches an agent behind a relay")
  func relayed() throws {
    let site = try RelaySite()
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.hasPoints(1))
    try Self.failOver(site.machine, of: site.service)
    let count = try site.points.count
    #expect(agent.becomes { $0.state == .fenced && $0.fenced != nil })
    #expect(try site.points.count == count)
    #expect(agent.end() && relay.end())
  }

  @Test("a note that can't be read keeps the agent from going on as if it was not fenced")
  func damage() throws {
    let site = try ProtectedSite()
    let path = site.agent.path + "/epoch.json"
    try FileSystem.system.replaceFile(path, with: Array("{".utf8), permissions: 0o600)
    let lock = try site.agent.lock()
    let loop = AgentLoop(
      site.agent, lock: lock, release: "test", cancellation: Cancellation()
    ) { _ in }
    do throws(AgentError) {
      try loop.run()
      Issue.record("it went on")
    } catch { #expect(error.code == .damaged && error.message.contains("epoch.json")) }
    #expect(try site.points.isEmpty)
  }

  @Test("without power the note is the one before or the one after, and never less fenced")
  func crashes() throws {
    var random = SeededGenerator(for: "fences without power")
    let machine = Identifier.random()
    var before = EpochNote(machine: machine.description)
    before.epoch = 1
    var after = before
    after.fenced = AgentCondition.Failure(time: "now", message: "It has failed over.")
    var done = 0
    for cut in 0..<40 {
      let disk = SimulatedDisk(seed: random.next())
      let directory = AgentDirectory(at: "/state", on: disk.fileSystem)
      try directory.make()
      try directory.save(before)
      disk.cutPower(after: cut)
      let saved: Void? = try? directory.save(after)
      disk.crash()
      let found = try directory.epochNote(of: machine)
      #expect(found == before || found == after, "\(found)")
      #expect(try directory.epochNote(of: .random()).epoch == nil)
      guard saved != nil else { continue }
      #expect(found == after)
      done += 1
      break
    }
    #expect(done == 1, "some attempt came to its end")
  }
}
