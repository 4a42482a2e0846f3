import Bytes
import FileIO
import Replication
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations

/// Goal: a failover's wish to shut the source down ends in time and with the truth, and the last recovery
/// point holds everything. Method: a vault in service and a real agent over TLS, with hooks of every manner.
@Suite(.serialized) struct SourceShutdownTests {
  /// A program of that content that the agent may run.
  static func script(_ text: String, at path: String) throws {
    let file = try File(path, .creating(permissions: 0o700))
    try file.write(Array("#!/bin/sh\n\(text)\n".utf8), at: 0)
  }

  private func started(_ site: ProtectedSite, _ hook: SourceHook?) throws {
    _ = try site.agent.change { configuration throws(AgentError) in
      if let hook { try configuration.setShutdown(hook) }
    }
    try site.startAgent()
    #expect(try site.hasPoints(1))
  }

  @Test("a hook shuts the source down, and the last point holds what was written until then")
  func hook() throws {
    let site = try ProtectedSite()
    let (script, seen) = (site.directory.file("stop"), site.directory.file("seen"))
    try Self.script(
      "printf 'last words' | dd of=\(site.image) conv=notrunc bs=1 seek=70000 2>/dev/null\n"
        + "echo $TIDEMARK_PHASE $TIDEMARK_MACHINE $TIDEMARK_LIMIT > \(seen)", at: script)
    try started(site, SourceHook(.script, script))
    var phases: [ShutdownState.Phase] = []
    let end = site.service.agentHost.shutDownSource(
      of: site.machine, within: 20, progress: { phases.append($0.phase) })
    #expect(end.isStopped && end.hasLastPoint, "\(end)")
    #expect(phases.last == .over)
    let point = try #require(try site.points.last)
    #expect(end.message.contains(point.id), "\(end)")
    #expect(try site.content(at: point) == site.source())
    #expect(Array(try site.source()[70000..<70010]) == Array("last words".utf8))
    let text = String(decoding: try FileSystem.system.readFile(seen, limit: 100), as: UTF8.self)
    #expect(text == "shutdown web01 20\n")
    // It can be asked again.
    #expect(site.service.agentHost.shutDownSource(of: site.machine, within: 20).isStopped)
  }

  @Test(
    "a hook that hangs is killed in time, one that fails is told of, and the last point is made")
  func failures() throws {
    let site = try ProtectedSite()
    let script = site.directory.file("stop")
    try Self.script("sleep 600", at: script)
    try started(site, SourceHook(.script, script))
    let hanging = site.service.agentHost.shutDownSource(of: site.machine, within: 1)
    #expect(!hanging.isStopped && hanging.hasLastPoint, "\(hanging)")
    #expect(hanging.message.contains("was killed"), "\(hanging)")
    try FileSystem.system.remove(script)
    try Self.script("echo the disk is on fire; exit 3", at: script)
    let failing = site.service.agentHost.shutDownSource(of: site.machine, within: 5)
    #expect(!failing.isStopped && failing.hasLastPoint, "\(failing)")
    #expect(failing.message.contains("ended with 3, and said: the disk is on fire"), "\(failing)")
  }

  @Test("without a hook the monitors' power buttons are pressed; without these it says what to set")
  func monitors() throws {
    let site = try ProtectedSite()
    try started(site, nil)
    let nothing = site.service.agentHost.shutDownSource(of: site.machine, within: 5)
    #expect(!nothing.isStopped && nothing.hasLastPoint)
    #expect(nothing.message.contains("tidemark agent set-hook shutdown"), "\(nothing)")
    site.endAgent()
    let socket = site.directory.file("qmp.sock")
    let machine = try FakeMachine(socket, isMonitor: true, .deaf)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.set(Hook(.monitor, [socket]))
    }
    try site.startAgent()
    let connected = Program.poll(seconds: 10) { site.service.agentHost.isConnected(site.machine) }
    #expect(connected)
    let deaf = site.service.agentHost.shutDownSource(of: site.machine, within: 1)
    #expect(!deaf.isStopped && deaf.message.contains("still runs"), "\(deaf)")
    #expect(machine.notes.commands.count { $0 == "system_powerdown" } == 1)
    machine.behave(.good)
    let good = site.service.agentHost.shutDownSource(of: site.machine, within: 10)
    #expect(good.isStopped && good.hasLastPoint && good.message.contains("is off"), "\(good)")
  }

  @Test("an agent that is not there is told of, and a paused one is not waited for its last point")
  func absent() throws {
    let site = try ProtectedSite()
    let absent = site.service.agentHost.shutDownSource(
      of: site.machine, within: 30, contactWithin: 1)
    #expect(!absent.isStopped && absent.message.contains("not connected"), "\(absent)")
    let script = site.directory.file("stop")
    try Self.script("exit 0", at: script)
    try started(site, SourceHook(.script, script))
    try site.service.setPaused(true, machine: ProtectedSite.name)
    let paused = site.service.agentHost.shutDownSource(of: site.machine, within: 10)
    #expect(paused.isStopped && !paused.hasLastPoint, "\(paused)")
    #expect(paused.message.contains("replication does not run"), "\(paused)")
  }

  @Test("an order reaches an agent behind a relay, and its answer the service")
  func relayed() throws {
    let site = try RelaySite()
    let script = site.directory.file("stop")
    try Self.script("exit 0", at: script)
    _ = try site.agent.change { configuration throws(AgentError) in
      try configuration.setShutdown(SourceHook(.script, script))
    }
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.hasPoints(1))
    try site.write([7, 7, 7], at: 4096)
    let end = site.service.agentHost.shutDownSource(of: site.machine, within: 20)
    #expect(end.isStopped && end.hasLastPoint, "\(end)")
    #expect(site.becomesEqual(seconds: 1))
    #expect(agent.end() && relay.end())
  }
}
