import Bytes
import FileIO
import Foundation
import Support
import Testing

@testable import Vault

/// Goal: whatever dies and whatever the link does, every recovery point is the disk of its cycle, nothing
/// acknowledged is lost, and what is safe is not sent again. Method: the release binary as service, relay
/// and agent, each in a network namespace of its own where the machine allows, on an image in use;
/// `kill -9` of one of them at random every second or so, and links that are cut, reset and stalled. Kept
/// clones tell what the disk was in each cycle.
/// `TIDEMARK_CHAIN_MIB`, `TIDEMARK_CHAIN_CYCLES` and `TIDEMARK_CHAIN_KILLS` say how much.
@Suite(.enabled(if: Available.root && Available.fuse), .serialized) struct ChainTests {
  private static let size = UInt64(Count.of("TIDEMARK_CHAIN_MIB", normally: 512)) << 20
  private static let cycles = Count.of("TIDEMARK_CHAIN_CYCLES", normally: 8)
  private static let kills = Count.of("TIDEMARK_CHAIN_KILLS", normally: 10)
  /// What is sent twice for one break, on the average over all of them: what is on its way when a link or a
  /// process ends, which is no more than a window of 12 MiB, and mostly less than a group.
  private static let onItsWay = 1 << 20

  /// All there is, from the disk to the vault.
  private final class Chain {
    let tool: Tool
    let mount: LoopMount
    let image: LiveImage
    let service: ServiceWorker
    let relay: RelayWorker
    let agent: AgentWorker
    /// Breaks of any kind so far.
    var breaks = 0
    /// The newest number that the agent was told is durable.
    var acknowledged: UInt64 = 0

    init(_ random: inout SeededGenerator) throws {
      tool = try Tool.withVault("chain")
      mount = try LoopMount(.xfs, size: ChainTests.size * 3 + 1 << 30)
      image = try LiveImage("web01", on: mount, size: ChainTests.size, &random)
      let spaces = Self.namespaces()
      service = ServiceWorker(tool, in: spaces[0])
      try service.start()
      relay = try RelayWorker("relay01", of: service, in: spaces[1], for: spaces[2])
      try relay.enrol()
      agent = try AgentWorker("web01", of: service, in: spaces[2])
      try agent.protect([image.path], capture: "reflink", interval: 30)
      try tool.require("machine", "set", "web01", "--process-server", "relay01")
    }

    /// One for each process, or none at all.
    private static func namespaces() -> [NetworkNamespace?] {
      let made = try? [NetworkNamespace(), NetworkNamespace(), NetworkNamespace()]
      print("network namespaces: \(made != nil)")
      return made ?? [nil, nil, nil]
    }

    var workers: [Worker] { [service, relay, agent] }
    /// From the agent to the relay, and from there to the service.
    var links: [FaultyLink] { [relay.front, relay.links.replication] }

    func restart(_ worker: Worker) throws {
      if worker === service {
        try service.start()
      } else if worker === relay {
        try relay.start()
      } else {
        try agent.start()
      }
    }

    /// Takes note of what the agent has been told, and compares it with what there is.
    func checkAcknowledged() throws {
      acknowledged = max(acknowledged, agent.status.durable)
      let there = try Vault(opening: tool.vault).machine(named: "web01").snapshot().lastSequence
      #expect(there.rawValue >= acknowledged)
    }

    func fault(_ random: inout SeededGenerator) {
      breaks += 1
      let link = links[random.number(0..<links.count)]
      switch random.number(0..<4) {
      case 0: link.cut()
      case 1: link.reset()
      case 2:
        // Packets are lost, and then the connection.
        link.stall()
        usleep(UInt32(random.number(200..<1500)) * 1000)
        link.reset()
        link.resume()
      default:
        // A stall that ends does no harm.
        breaks -= 1
        link.stall(random.once(in: 2) ? .forward : .backward)
        usleep(UInt32(random.number(200..<1500)) * 1000)
        link.resume()
      }
    }
  }

  @Test("killed and cut off at random, every point is the disk of its cycle and nothing is lost")
  func chaos() throws {
    var random = SeededGenerator(for: "chaos in a chain")
    let chain = try Chain(&random)
    let clock = ContinuousClock()
    let start = clock.now
    // So that most of the first kills hit the first copy, and the relay's cache is full at times.
    chain.links[1].limit(bytesPerSecond: Int(Self.size / 24))
    try chain.image.start()
    try chain.agent.start()
    var left = chain.workers.flatMap { [Worker](repeating: $0, count: Self.kills) }
      .shuffled(using: &random)
    while let worker = left.popLast() {
      usleep(UInt32(random.number(200..<1800)) * 1000)
      if chain.agent.status.point != nil { chain.links[1].limit(bytesPerSecond: nil) }
      if random.once(in: 3) { chain.fault(&random) }
      worker.kill()
      chain.breaks += 1
      try chain.checkAcknowledged()
      try chain.restart(worker)
    }
    chain.links[1].limit(bytesPerSecond: nil)
    try waitForCycles(chain)
    chain.image.stop()
    try finish(chain)
    print("most memory of the relay: \(chain.relay.highestKiB) KiB")
    print("\(chain.breaks) breaks in \((clock.now - start) / .seconds(1)) s")
    try checkBytes(chain)
    let points = try chain.image.compare(with: "web01", of: chain.tool)
    #expect(points >= Self.cycles)
  }

  /// Lets cycles go on without faults until there are enough.
  private func waitForCycles(_ chain: Chain) throws {
    while try chain.tool.points(of: "web01").count < Self.cycles {
      try chain.agent.cycle()
      chain.breaks += 1
    }
  }

  /// Nothing is written any more: once more a cycle, which shows the disk as it is, and all ends in order.
  private func finish(_ chain: Chain) throws {
    try chain.agent.cycle()
    chain.breaks += 1
    try chain.checkAcknowledged()
    try chain.agent.stop()
    try chain.image.keepClones()
    try chain.relay.stop()
    try chain.service.stop()
    let verified = try chain.tool.run("verify")
    #expect(verified.status == 0, "\(verified.report)")
  }

  /// Nothing is stored twice, and only what was on its way at a break was sent twice.
  private func checkBytes(_ chain: Chain) throws {
    let shown = try chain.tool.json("machine", "show", "web01")
    let stored = try #require(shown["storedBytes"] as? Int)
    let (sent, written) = (chain.links.map(\.bytesForward), Int(chain.image.bytesWritten))
    print("written \(written), stored \(stored), sent \(sent) bytes")
    #expect(stored < written + written / 20 + 8 << 20)
    // Twice the whole would be far above this.
    for sent in sent { #expect(sent < stored + stored / 4 + chain.breaks * Self.onItsWay) }
    #expect(chain.agent.links.replication.bytesForward < 1 << 20, "groups went past the relay")
    #expect(chain.relay.drops == 0, "the relay dropped what it had said it holds")
  }
}
