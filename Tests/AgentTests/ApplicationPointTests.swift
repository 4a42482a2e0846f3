import FileIO
import Glibc
import Replication
import Support
import Testing
import Vault

@testable import Agent

/// Goal: app-consistent points come when they are due, and a hook that fails costs no point. Method: the real
/// loop, listener, vault and guard; a guest that notes what it was told.
@Suite(.serialized) struct ApplicationPointTests {
  /// A site whose agent asks a guest, and the agent's configuration.
  private static func make(
    _ site: Site, _ manner: FakeMachine.Manner = .good, isMonitor: Bool = false,
    everyCycle: Bool = false
  ) throws -> (FakeMachine, AgentConfiguration) {
    let machine = try FakeMachine(
      site.directory.file("m.sock"), isMonitor: isMonitor, manner)
    var configuration = site.configuration
    try configuration.set(
      Hook(isMonitor ? .monitor : .guestAgent, [machine.path], isEveryCycle: everyCycle))
    configuration.freezeLimit = 5
    return (machine, configuration)
  }

  @Test(
    "app-consistent points are made at their interval among the others; ticks that were missed are not"
  )
  func schedule() throws {
    let site = try Site(sizes: [4 << 20])
    let (machine, configuration) = try Self.make(site)
    site.host.setInterval(1)
    site.host.setApplicationInterval(3)
    let agent = try RunningAgent(site, configuration)
    #expect(agent.hasPoints(6))
    #expect(agent.becomes { $0.lastApplicationPoint?.id.hasSuffix("-app") == true })
    #expect(agent.end())
    let kinds = try site.machine.snapshot().points.map(\.kind)
    #expect(kinds.first == .application)
    let gaps = kinds.indices.filter { kinds[$0] == .application }
    #expect(gaps.count >= 2 && gaps.count <= kinds.count / 2, "\(kinds)")
    #expect(!machine.notes.isFrozen)
    let snapshot = try site.machine.snapshot()
    let newest = try snapshot.resolve(.latestApplicationConsistent, now: .now()).point
    #expect(newest.kind == .application)
    // The next run does not begin with one that is not due.
    let frozen = machine.notes.commands.count
    site.host.setApplicationInterval(3600)
    let again = try RunningAgent(site, configuration)
    #expect(again.hasPoints(kinds.count + 1))
    #expect(again.end())
    #expect(machine.notes.commands.count == frozen)
  }

  @Test("a hook that fails makes a crash-consistent point, of which agent and service are told")
  func failing() throws {
    let site = try Site(sizes: [4 << 20])
    let (machine, configuration) = try Self.make(site, .failing)
    site.host.setInterval(1)
    site.host.setApplicationInterval(2)
    let agent = try RunningAgent(site, configuration)
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.applicationError?.message.contains("on fire") == true })
    #expect(
      Program.poll(seconds: 10) {
        site.host.notes.reports.contains { $0.applicationFailure.contains("on fire") }
      })
    #expect(try site.machine.snapshot().points.first?.kind == .crash)
    machine.behave(.good)
    #expect(agent.becomes { $0.applicationError == nil && $0.lastApplicationPoint != nil })
    #expect(
      Program.poll(seconds: 10) {
        site.host.notes.reports.last?.applicationFailure == ""
      })
    #expect(agent.end())
  }

  @Test(
    "without hooks, or at the interval 0, all points are crash-consistent, and nobody complains")
  func off() throws {
    let site = try Site(sizes: [4 << 20])
    let (machine, configuration) = try Self.make(site)
    site.host.setInterval(1)
    site.host.setApplicationInterval(0)
    let agent = try RunningAgent(site, configuration)
    #expect(agent.hasPoints(2) && agent.end())
    site.host.setApplicationInterval(1)
    let bare = try RunningAgent(site)
    #expect(bare.hasPoints(4) && bare.end())
    #expect(try site.machine.snapshot().points.allSatisfy { $0.kind == .crash })
    #expect(machine.notes.commands.isEmpty)
    #expect(site.host.notes.reports.allSatisfy { $0.applicationFailure.isEmpty })
  }

  @Test(
    "cloned disks are of one moment in every cycle if the machine is stopped in every cycle",
    .enabled(if: Available.root))
  func everyCycle() throws {
    let mount = try LoopMount(.xfs, size: 400 << 20)
    let site = try Site(sizes: [4 << 20, 4 << 20], capture: .reflink, on: mount)
    let (machine, configuration) = try Self.make(site, isMonitor: true, everyCycle: true)
    site.host.setInterval(1)
    let agent = try RunningAgent(site, configuration)
    #expect(agent.hasPoints(2))
    #expect(agent.becomes { ($0.heldMilliseconds ?? -1) >= 0 && ($0.stallMilliseconds ?? -1) >= 0 })
    #expect(agent.end())
    let points = try site.machine.snapshot().points
    #expect(points.allSatisfy { $0.kind == .crash && $0.consistency == .machine })
    #expect(!machine.notes.isFrozen && machine.notes.commands.count { $0 == "stop" } >= 2)
  }

  @Test("a disk that takes longer to read than writers may be held makes no app-consistent point")
  func slowScan() throws {
    var random = SeededGenerator(for: "slow scans")
    let site = try Site(sizes: [24 << 20])
    try site.write(random.bytes(20 << 20), at: 0)
    site.link.limit(bytesPerSecond: 4 << 20)
    var (machine, configuration) = try Self.make(site)
    configuration.freezeLimit = 1
    site.host.setApplicationInterval(1)
    let agent = try RunningAgent(site, configuration)
    #expect(agent.hasPoints(1))
    #expect(agent.becomes { $0.applicationError?.message.contains("time limit") == true })
    #expect(try site.machine.snapshot().points.first?.kind == .crash)
    // The next cycle knows that it can't be done, and holds nobody.
    let frozen = machine.notes.commands.count
    sleep(2)
    try site.host.order(.protected, now: true)
    #expect(agent.hasPoints(2))
    #expect(
      agent.becomes { $0.applicationError?.message.contains("Reading what is scanned") == true })
    #expect(machine.notes.commands.count == frozen && !machine.notes.isFrozen)
    machine.end()
    #expect(agent.end())
  }
}
