import FileIO
import Glibc
import ReplicationService
import Support
import Testing

@testable import Agent

/// Goal: a freeze is thawed whatever process dies. Method: SIGKILL to the guard, the end of its agent, and
/// both, with a guest that notes what it was told.
@Suite struct FreezeGuardTests {
  private static func loop(_ bench: HookBench) throws -> AgentLoop {
    AgentLoop(
      bench.agent, lock: try bench.agent.lock(), release: "test", pace: AgentPace(),
      guardedBy: bench.command, cancellation: Cancellation()
    ) { _ in }
  }

  @Test(
    "a guard whose agent is gone thaws at once, and is not ended by signals that can be refused")
  func agentGone() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    var freeze: GuardedFreeze? = try bench.freeze()
    #expect(freeze?.becomes { $0.isHolding } == true)
    let process = try #require(freeze?.processIdentifier)
    #expect(getsid(process) == process)
    for number in [SIGTERM, SIGINT, SIGHUP] { kill(process, number) }
    usleep(200_000)
    #expect(machine.notes.isFrozen && freeze?.take(until: .now) == false)
    freeze = nil
    #expect(Program.poll(seconds: 5) { !machine.notes.isFrozen && !bench.note.exists })
  }

  @Test("an agent whose guard was killed thaws by itself, and does not believe in the cut")
  func guardKilled() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    let hold = bench.hold()
    #expect(hold.begin())
    kill(try #require(hold.freeze).processIdentifier, SIGKILL)
    #expect(Program.poll(seconds: 5) { !hold.isUnbroken })
    #expect(machine.notes.isFrozen)
    hold.end()
    #expect(!machine.notes.isFrozen && !bench.note.exists && hold.failure?.isEmpty == false)
  }

  @Test("what is frozen when guard and agent are gone is thawed by the next start")
  func bothKilled() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    try bench.script("a", "post")
    var freeze: GuardedFreeze? = try bench.freeze()
    #expect(freeze?.becomes { $0.isHolding } == true)
    kill(try #require(freeze?.processIdentifier), SIGKILL)
    freeze = nil
    #expect(machine.notes.isFrozen && bench.note.exists)
    // What is not thawed yet is not frozen anew.
    let hold = bench.hold()
    #expect(!hold.begin() && hold.failure?.contains("earlier freeze") == true)
    let loop = try Self.loop(bench)
    loop.thawLeftovers(bench.configuration)
    #expect(!machine.notes.isFrozen && !bench.note.exists && bench.log == ["a post"])
    #expect(loop.applicationFailure.isEmpty)
  }

  @Test("a guard thaws although nobody takes what it has to say")
  func fullLog() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    let log = bench.file("log.fifo")
    try #require(mkfifo(log, 0o600) == 0)
    let end = open(log, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    defer { close(end) }
    let piece = [UInt8](repeating: 32, count: 4096)
    while write(end, piece, piece.count) > 0 {}
    while write(end, piece, 1) > 0 {}
    let own = bench.command.words
    let plan = HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent)
    var freeze: GuardedFreeze? = try GuardedFreeze(
      GuardedFreeze.Command(words: ["/bin/sh", "-c", "exec \"$0\" \"$@\" 2>'\(log)'"] + own),
      FreezeRequest(plan: plan, isThawOnly: false))
    #expect(freeze?.becomes { $0.isHolding } == true)
    freeze = nil
    #expect(Program.poll(seconds: 5) { !machine.notes.isFrozen && !bench.note.exists })
  }

  @Test("a guard that is to thaw what was thawed meanwhile touches nothing that others hold")
  func nothingToThaw() throws {
    let bench = try HookBench()
    let monitor = try bench.machine(isMonitor: true)
    monitor.set(frozen: true)
    let plan = HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent)
    let freeze = try GuardedFreeze(bench.command, FreezeRequest(plan: plan, isThawOnly: true))
    #expect(freeze.becomes { $0.isThawed })
    #expect(monitor.notes.isFrozen && !monitor.notes.commands.contains("cont"))
  }

  @Test("an agent that can't read its configuration thaws before it says so")
  func damagedConfiguration() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    machine.set(frozen: true)
    try bench.note.save(
      HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent))
    try FileSystem.system.replaceFile(
      bench.agent.path + "/agent.json", with: Array("{".utf8), permissions: 0o600)
    #expect { try Self.loop(bench).run() } throws: { ($0 as? AgentError)?.code == .damaged }
    #expect(!machine.notes.isFrozen && !bench.note.exists)
    // Where nothing can be read, that is told.
    try FileSystem.system.replaceFile(
      bench.agent.path + "/frozen.json", with: [], permissions: 0o600)
    let loop = try Self.loop(bench)
    loop.thawLeftovers(nil)
    #expect(bench.note.exists && loop.applicationFailure.contains("by hand"))
  }

  @Test("what the next start can't thaw gets a guard that goes on trying, and the agent says so")
  func stubbornLeftovers() throws {
    let bench = try HookBench()
    let machine = try bench.machine(.failing)
    machine.set(frozen: true)
    try bench.note.save(
      HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent))
    let loop = try Self.loop(bench)
    loop.thawLeftovers(bench.configuration)
    #expect(machine.notes.isFrozen && bench.note.exists && !loop.applicationFailure.isEmpty)
    machine.behave(.good)
    #expect(Program.poll(seconds: 10) { !machine.notes.isFrozen && !bench.note.exists })
  }

  @Test("a note that can't be read counts as one of the agent's hooks")
  func damagedNote() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    machine.set(frozen: true)
    let path = bench.agent.path + "/frozen.json"
    for text in [
      "", "{", #"{"hooks":[{"kind":"guest-agent","paths":["x"],"isEveryCycle":false}]}"#,
    ] {
      try FileSystem.system.replaceFile(path, with: Array(text.utf8), permissions: 0o600)
      machine.set(frozen: true)
      try Self.loop(bench).thawLeftovers(bench.configuration)
      #expect(!machine.notes.isFrozen && !bench.note.exists)
    }
  }

  @Test("one guard works at a time, and a program that is no guard is a failed freeze")
  func oddGuards() throws {
    let bench = try HookBench()
    _ = try bench.machine()
    let freeze = try bench.freeze()
    #expect(freeze.becomes { $0.isHolding })
    let second = bench.hold()
    #expect(!second.begin() && second.failure?.contains("Another process") == true)
    freeze.askToThaw()
    #expect(freeze.becomes { $0.isThawed })
    for words in [["/bin/true"], ["/bin/cat"], ["/bin/echo", "hello"], ["/nonexistent"]] {
      let plan = HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent)
      let hold = HookHold(
        plan, in: bench.agent, by: GuardedFreeze.Command(words: words), tick: { true })
      #expect(!hold.begin() && hold.failure?.isEmpty == false, "\(words)")
    }
  }

  @Test("a guard that is started by a person says that it is the agent's")
  func byHand() throws {
    let result = try Program.run(Product.tidemark, "agent", "guard", "--state", "/nonexistent")
    #expect(result.status == 14 && result.errors.contains("Only an agent"))
  }

  @Test("hooks are kept with the configuration, and refused where they make no sense")
  func configuration() throws {
    let bench = try HookBench()
    for kind in [Hook.Kind.monitor, .guestAgent] {
      try bench.configuration.set(Hook(kind, ["/run/a.sock"], isEveryCycle: true))
      try bench.configuration.set(Hook(kind, ["/run/a.sock"]))
    }
    try bench.configuration.set(Hook(.fileSystems, ["/a"]))
    try bench.configuration.set(Hook(.fileSystems, ["/b", "/c"]))
    bench.configuration.freezeLimit = 60
    #expect(bench.configuration.hooks.map(\.kind) == [.guestAgent, .fileSystems, .monitor])
    #expect(bench.configuration.hooks.allSatisfy { !$0.isEveryCycle })
    try bench.agent.save(bench.configuration)
    #expect(try bench.agent.configuration() == bench.configuration)
    for hook in [
      Hook(.scripts, ["relative"]), Hook(.guestAgent, []), Hook(.monitor, ["/a", "/b"]),
      Hook(.fileSystems, ["/a\0b"]),
    ] { #expect(throws: AgentError.self) { try bench.configuration.set(hook) } }
    #expect(throws: AgentError.self) { try bench.configuration.removeHooks(.scripts, at: nil) }
    try bench.configuration.removeHooks(.monitor, at: "/run/a.sock")
    #expect(bench.configuration.hooks.count == 2)
  }
}
