import Bytes
import FileIO
import Foundation
import Support
import Testing

@testable import Vault

/// Goal: what a service has told an agent is durable is there after the power failed, and the agent goes on
/// from there. Method: the release binary as a service whose vault, with catalog and certificates, lies on
/// a file system that loses power in the middle of a random call, with any unsynced write lost or torn and
/// any unsynced name undone; the agent is a process of its own on a real file system, and its image in
/// use. `TIDEMARK_POWER_LOSSES` says how often.
@Suite(.enabled(if: Available.root && Available.fuse), .serialized) struct ServicePowerLossTests {
  private static let size: UInt64 = 64 << 20

  /// A vault with one machine in it, whose agent outlives every service.
  private final class Site {
    let tool: Tool
    let mount: LoopMount
    let image: LiveImage
    let service: ServiceWorker
    let agent: AgentWorker
    /// Services that did not even begin to serve.
    var unborn = 0

    init(_ random: inout SeededGenerator) throws {
      tool = try Tool.withVault("service-power")
      mount = try LoopMount(.xfs, size: 1 << 30)
      image = try LiveImage("web01", on: mount, size: ServicePowerLossTests.size, &random)
      service = ServiceWorker(tool)
      try service.start()
      agent = try AgentWorker("web01", of: service)
      try agent.protect([image.path], capture: "reflink", interval: 10)
      service.kill()
    }

    /// Serves until the power fails after so many changing calls, or some seconds after the agent has come.
    func losePower(after calls: Int, seed: UInt64, within seconds: Double) throws {
      var faults = PowerLossMount.Faults()
      faults.powerOffAfter = calls
      let mount = try PowerLossMount(backing: tool.vault, seed: seed, faults: faults)
      service.vault = mount.path
      defer { service.vault = tool.vault }
      do { try service.start() } catch {
        unborn += 1
        guard !mount.isOn || Program.poll(seconds: 5, until: { !mount.isOn }) else { throw error }
      }
      // It may just have begun one of its longer waits.
      let before = agent.links.replication.bytesForward
      _ = Program.poll(seconds: 20) {
        !mount.isOn || agent.links.replication.bytesForward > before + 20_000
      }
      _ = Program.poll(seconds: seconds) { !mount.isOn }
      if mount.isOn { try mount.losePower() } else { try mount.waitForPowerLoss() }
      service.kill()
    }

    /// Compares what the agent has been told with what is there.
    func check() throws {
      // It has noticed that the service is gone, and noted the last that it was told.
      #expect(Program.poll(seconds: 30) { ["connecting", "refused"].contains(agent.status.state) })
      let told = agent.status
      let verified = try tool.run("verify")
      #expect(verified.status == 0, "\(verified.report)")
      let there = try Vault(opening: tool.vault).machine(named: "web01").snapshot()
      #expect(there.lastSequence.rawValue >= told.durable, "acknowledged records are lost")
      if let point = told.point {
        #expect(there.points.contains { $0.id == point }, "an acknowledged point is lost")
      }
    }
  }

  @Test("whenever the power fails, what the agent was told is durable is there, and it goes on")
  func losses() throws {
    var random = SeededGenerator(for: "power losses of a service")
    let site = try Site(&random)
    try site.image.start()
    try site.agent.start()
    var acknowledged: Set<UInt64> = []
    var points: [String] = []
    for _ in 0..<Count.of("TIDEMARK_POWER_LOSSES", normally: 10) {
      try site.losePower(
        after: random.once(in: 4) ? random.number(0..<60) : random.number(60..<800),
        seed: random.next(), within: Double(random.number(5..<25)) / 10)
      try site.check()
      acknowledged.insert(site.agent.status.durable)
      let now = try site.tool.points(of: "web01")
      #expect(now.starts(with: points), "an older point is gone")
      points = now
    }
    site.image.stop()
    try site.service.start()
    try site.agent.cycle()
    try site.agent.stop()
    try site.image.keepClones()
    try site.service.stop()
    print("acknowledged: \(acknowledged.sorted()), not even started: \(site.unborn)")
    #expect(acknowledged.count > 1)
    try site.image.compare(with: "web01", of: site.tool)
  }
}
