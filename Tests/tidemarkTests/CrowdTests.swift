import FileIO
import Foundation
import Support
import Testing

/// Goal: many machines on one service get on side by side, and what the two ends hold in memory does not
/// grow with what is sent. Method: `TIDEMARK_AGENTS` agents with `TIDEMARK_AGENT_DISKS` disks each, as
/// processes of the release binary, over links that can be made slow.
@Suite(.serialized) struct CrowdTests {
  private static let disks = Count.of("TIDEMARK_AGENT_DISKS", normally: 2)
  private static let diskSize = 48 << 20
  /// What a service may hold in memory: its own, and for each session the windows' worth of groups that
  /// came and those being checked and written.
  private static func serviceKiB(_ agents: Int) -> Int { (160 + 48 * agents) << 10 }
  /// What an agent may hold: its own, a window, and the blocks that are being compressed.
  private static let agentKiB = 192 << 10

  private final class Crowd {
    let tool: Tool
    let service: ServiceWorker
    var agents: [AgentWorker] = []
    private var random: SeededGenerator

    init(_ count: Int) throws {
      random = SeededGenerator(for: "a crowd of agents")
      tool = try Tool.withVault("crowd")
      service = ServiceWorker(tool)
      try service.start()
      for number in 0..<count {
        let agent = try AgentWorker("m\(number)", of: service)
        for disk in 0..<CrowdTests.disks {
          try tool.image("m\(number)-\(disk).img", size: UInt64(CrowdTests.diskSize))
        }
        agents.append(agent)
        try agent.protect(images(of: agent), capture: "scan", interval: 600)
        try change(agent, CrowdTests.diskSize)
      }
    }

    func images(of agent: AgentWorker) -> [String] {
      (0..<CrowdTests.disks).map { tool.file("\(agent.name)-\($0).img") }
    }

    /// Writes so many random bytes to the beginning of each disk of a machine.
    func change(_ agent: AgentWorker, _ count: Int) throws {
      for image in images(of: agent) {
        try Program.require(
          "bash", "-c", "head -c \"$2\" /dev/urandom | dd of=\"$1\" conv=notrunc bs=1M status=none",
          "change", image, String(count))
      }
    }

    /// Seconds until all of these agents have made a recovery point of what their disks are now.
    func cycle(_ agents: [AgentWorker]) throws -> Double {
      let clock = ContinuousClock()
      let before = agents.map(\.status.point)
      let start = clock.now
      for agent in agents {
        agent.kill()
        try agent.start()
      }
      let isDone = Program.poll(seconds: 240) {
        zip(agents, before).allSatisfy { $0.status.point != $1 }
      }
      try #require(isDone, "\(agents.map(\.status))")
      return (clock.now - start) / .seconds(1)
    }

    func compare(_ agent: AgentWorker) throws {
      for (number, image) in images(of: agent).enumerated() {
        let out = tool.file("out.img")
        try tool.require(
          "export", agent.name, "--point", "latest", "--disk", String(number), "--format", "raw",
          "--force", out)
        try Program.require("cmp", image, out)
      }
    }
  }

  @Test(
    "first copies of many machines go on side by side, and a slow or stopped one delays no other")
  func crowd() throws {
    let crowd = try Crowd(Count.of("TIDEMARK_AGENTS", normally: 3))
    try fairness(crowd)
    try slowOnes(crowd)
    for agent in crowd.agents {
      agent.measure()
      try agent.stop()
      try crowd.compare(agent)
    }
    crowd.service.measure()
    try crowd.service.stop()
    let most = crowd.agents.map(\.highestKiB).max() ?? 0
    print("memory: service \(crowd.service.highestKiB) KiB, an agent at the most \(most) KiB")
    #expect(crowd.service.highestKiB < Self.serviceKiB(crowd.agents.count))
    #expect(most < Self.agentKiB)
    #expect(try crowd.tool.run("verify").status == 0)
  }

  /// All begin at once. The measure: what the last of them has sent when the first has finished.
  private func fairness(_ crowd: Crowd) throws {
    for agent in crowd.agents { try agent.start() }
    let isFirst = Program.poll(seconds: 240) { crowd.agents.contains { $0.status.point != nil } }
    let sent = crowd.agents.map { Double($0.links.replication.bytesForward) }
    try #require(isFirst)
    let whole = Double(Self.disks * Self.diskSize)
    let share = (sent.min() ?? 0) / whole
    print(
      "when the first copy was finished, the last one had sent \(Int(share * 100)) % of its own")
    #expect(share > 0.2, "\(sent)")
    #expect(
      Program.poll(seconds: 240) { crowd.agents.allSatisfy { $0.status.point != nil } })
  }

  /// One machine's link is narrow and another's agent stands still in the middle of a cycle: the others take no
  /// longer than without them.
  private func slowOnes(_ crowd: Crowd) throws {
    let (narrow, stopped) = (crowd.agents[0], crowd.agents[1])
    let others = Array(crowd.agents.dropFirst(2))
    for agent in others { try crowd.change(agent, 16 << 20) }
    let alone = try crowd.cycle(others)
    for agent in crowd.agents { try crowd.change(agent, 16 << 20) }
    narrow.links.replication.limit(bytesPerSecond: 256 << 10)
    stopped.links.replication.limit(bytesPerSecond: 4 << 20)
    for agent in [narrow, stopped] {
      let before = agent.links.replication.bytesForward
      agent.kill()
      try agent.start()
      let isSending = Program.poll(seconds: 30) {
        agent.links.replication.bytesForward > before + 1 << 20
      }
      #expect(isSending)
    }
    let point = stopped.status.point
    stopped.program?.signal(SIGSTOP)
    let beside = try crowd.cycle(others)
    print("a cycle of the others: \(alone) s alone, \(beside) s beside slow ones")
    #expect(beside < alone * 3 + 3)
    #expect(stopped.status.point == point)
    stopped.program?.signal(SIGCONT)
    for agent in [narrow, stopped] { agent.links.replication.limit(bytesPerSecond: nil) }
    let isDone = Program.poll(seconds: 120) { stopped.status.point != point }
    #expect(isDone, "\(stopped.status)")
    _ = try crowd.cycle([narrow])
  }
}
