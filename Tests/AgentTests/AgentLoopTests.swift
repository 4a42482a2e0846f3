import Dispatch
import FileIO
import Replication
import ReplicationService
import Support
import Synchronization
import Testing
import Vault

@testable import Agent

/// Goal: an agent left alone does its work, obeys, and gets over whatever happens to link and service.
/// Method: the real loop against a real listener and vault, over a link that is made to fail.
@Suite(.serialized) struct AgentLoopTests {
  @Test("a cycle begins at each interval, and the last one shows the disk as it is")
  func interval() throws {
    var random = SeededGenerator(for: "intervals")
    let site = try Site(sizes: [8 << 20])
    try site.write(random.bytes(3 << 20), at: 0)
    site.host.setInterval(1)
    let agent = try RunningAgent(site)
    #expect(agent.hasPoints(3))
    try site.write(random.bytes(4096), at: 1 << 20)
    #expect(agent.hasPoints(site.host.notes.points.count + 2))
    #expect(agent.becomes { $0.state == .waiting && $0.lastPoint != nil && $0.lastError == nil })
    #expect(agent.end())
    let point = try #require(try site.machine.snapshot().points.last)
    #expect(try site.isSame(at: point))
    #expect(site.agent.status()?.state == .stopped)
    let hello = try #require(site.host.notes.hellos.first)
    #expect(hello.disks.map(\.size) == [8 << 20] && !hello.hostName.isEmpty)
  }

  @Test("an order starts a cycle at once, between two that are due")
  func order() throws {
    let site = try Site(sizes: [4 << 20])
    let agent = try RunningAgent(site)
    #expect(agent.hasPoints(1))
    let clock = ContinuousClock()
    let ordered = clock.now
    try site.host.order(.protected, now: true)
    #expect(agent.hasPoints(2))
    #expect(clock.now - ordered < .seconds(8))
    #expect(agent.end())
    #expect(site.host.notes.points.count == 2)
  }

  @Test("a paused agent waits, one paused in a cycle stops, and each goes on when it is resumed")
  func pause() throws {
    var random = SeededGenerator(for: "pauses")
    let site = try Site(sizes: [24 << 20])
    try site.write(random.bytes(20 << 20), at: 0)
    site.host.assign(.paused)
    let agent = try RunningAgent(site)
    #expect(agent.becomes { $0.state == .paused })
    #expect(site.host.notes.points.isEmpty && site.host.notes.bytes == 0)
    site.link.limit(bytesPerSecond: 4 << 20)
    try site.host.order(.protected)
    #expect(Program.poll(seconds: 20) { site.host.notes.bytes > 2 << 20 })
    try site.host.order(.paused)
    #expect(agent.becomes { $0.state == .paused })
    #expect(site.host.notes.points.isEmpty)
    site.link.limit(bytesPerSecond: nil)
    try site.host.order(.protected)
    #expect(agent.hasPoints(1))
    #expect(agent.end())
    let point = try #require(try site.machine.snapshot().points.last)
    #expect(try site.isSame(at: point))
  }

  @Test("a link that is cut in the middle is gone on from, and what was stored is not sent again")
  func cut() throws {
    var random = SeededGenerator(for: "cuts")
    let site = try Site(sizes: [24 << 20])
    try site.write(random.bytes(20 << 20), at: 0)
    site.link.limit(bytesPerSecond: 8 << 20)
    let agent = try RunningAgent(site)
    #expect(Program.poll(seconds: 20) { site.host.notes.bytes > 6 << 20 })
    site.link.reset()
    #expect(agent.becomes { $0.lastError != nil })
    site.link.limit(bytesPerSecond: nil)
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.state == .waiting && $0.lastError == nil })
    #expect(agent.end())
    let point = try #require(try site.machine.snapshot().points.last)
    #expect(try site.isSame(at: point))
    #expect(site.host.notes.bytes < (21 << 20) + Int(AgentHandler.window))
    #expect(site.host.notes.reports.contains { !$0.failure.isEmpty })
  }

  @Test("a full vault is waited out; the agent says so, and goes on by itself when there is room")
  func full() throws {
    var random = SeededGenerator(for: "full vaults")
    let mount = try LoopMount(.xfs, size: 512 << 20)
    let site = try Site(sizes: [32 << 20], vaultOn: mount)
    try site.write(random.bytes(30 << 20), at: 0)
    let free = try FileSystem.system.space(at: mount.path).free
    try Program.require("fallocate", "-l", "\(free - (12 << 20))", mount.file("ballast"))
    let agent = try RunningAgent(site)
    #expect(agent.becomes { $0.state == .refused && $0.lastError?.message.isEmpty == false })
    #expect(site.host.notes.points.isEmpty)
    try FileSystem.system.remove(mount.file("ballast"))
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.state == .waiting && $0.lastError == nil })
    #expect(agent.end())
    let point = try #require(try site.machine.snapshot().points.last)
    #expect(try site.isSame(at: point))
  }

  @Test(
    "an agent that is not let in says why, and comes in by itself when it may",
    arguments: [Refusal.Code.busy, .unknown, .unprotected, .clock, .epoch, .stopping])
  func refused(_ code: Refusal.Code) throws {
    let site = try Site(sizes: [4 << 20])
    site.host.refuse(code)
    let agent = try RunningAgent(site)
    let shown: AgentCondition.State =
      switch code {
      case .unprotected: .unprotected
      case .epoch: .fenced
      default: .refused
      }
    #expect(agent.becomes { $0.state == shown })
    site.host.refuse(nil)
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.state == .waiting && $0.lastError == nil })
    #expect(agent.end())
  }

  @Test("a disk that is missing is told of, and its return is enough")
  func missingDisk() throws {
    let site = try Site(sizes: [4 << 20])
    try FileSystem.system.rename(site.disks[0].path, to: site.directory.file("away"))
    site.host.setInterval(1)
    let agent = try RunningAgent(site)
    #expect(
      Program.poll(seconds: 20) {
        site.host.notes.reports.contains { $0.failure.contains("does not exist") }
      })
    #expect(site.host.notes.points.isEmpty)
    try FileSystem.system.rename(site.directory.file("away"), to: site.disks[0].path)
    #expect(agent.hasPoints(1))
    #expect(agent.end())
  }

  @Test("a disk that is added while the agent runs is taken up")
  func addedDisk() throws {
    let site = try Site(sizes: [4 << 20, 4 << 20])
    var first = site.configuration
    first.disks.removeLast()
    let agent = try RunningAgent(site, first)
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.state == .waiting })
    _ = try site.agent.change { $0 = site.configuration }
    #expect(Program.poll(seconds: 20) { site.host.notes.hellos.last?.disks.count == 2 })
    try site.host.order(.protected, now: true)
    #expect(agent.hasPoints(2))
    #expect(agent.end())
    #expect(try site.machine.snapshot().points.last?.disks.count == 2)
  }

  @Test("an agent ends at once, in the middle of a cycle and while nobody answers")
  func cancellation() throws {
    var random = SeededGenerator(for: "ends of agents")
    let site = try Site(sizes: [24 << 20])
    try site.write(random.bytes(20 << 20), at: 0)
    site.link.limit(bytesPerSecond: 1 << 20)
    let agent = try RunningAgent(site)
    #expect(Program.poll(seconds: 20) { site.host.notes.bytes > 0 })
    #expect(agent.end())
    site.link.refuse(true)
    let second = try RunningAgent(site)
    #expect(second.becomes { $0.lastError != nil })
    #expect(second.end())
    #expect(site.host.notes.points.isEmpty)
  }
}

/// A loop on a thread of its own.
final class RunningAgent: Sendable {
  private let site: AgentDirectory
  private let points: @Sendable () -> Int
  private let cancellation = Cancellation()
  private let isOver = Mutex(false)

  /// Saves the configuration, the site's unless another is given, and starts.
  convenience init(_ site: Site, _ configuration: AgentConfiguration? = nil) throws {
    let host = site.host
    try site.agent.save(configuration ?? site.configuration)
    try self.init(site.agent) { host.notes.points.count }
  }

  /// Starts in a directory that has a configuration; `points` tells how many there are.
  init(_ directory: AgentDirectory, points: @escaping @Sendable () -> Int = { 0 }) throws {
    (site, self.points) = (directory, points)
    let lock = try directory.lock()
    DispatchQueue.global().async { [self] in
      var pace = AgentPace()
      (pace.attempt, pace.report) = (.seconds(5), .milliseconds(50))
      (pace.look, pace.renewal) = (.milliseconds(200), .milliseconds(200))
      (pace.unknown, pace.rare) = (.milliseconds(200), .milliseconds(200))
      let loop = AgentLoop(
        directory, lock: lock, release: "test", pace: pace,
        guardedBy: HookBench.command(directory), cancellation: cancellation
      ) { _ in }
      #expect(throws: Never.self) { try loop.run() }
      isOver.withLock { $0 = true }
    }
  }

  deinit { cancellation.cancel() }

  /// Waits for so many recovery points in all.
  func hasPoints(_ count: Int) -> Bool { Program.poll(seconds: 20) { points() >= count } }

  /// Waits until the status file says so.
  func becomes(_ condition: (AgentCondition) -> Bool) -> Bool {
    Program.poll(seconds: 20) { site.status().map(condition) ?? false }
  }

  /// Ends the loop; whether it ended soon.
  func end() -> Bool {
    cancellation.cancel()
    return Program.poll(seconds: 10) { isOver.withLock { $0 } }
  }
}
