import FileIO
import Foundation
import Support
import Testing

/// Goal: writers that an agent holds go on, whatever becomes of it, and commands set and show the hooks.
/// Method: the real binary as service, agent and guard; a guest that notes what it was told; SIGKILL.
@Suite(.serialized) struct HookCommandTests {
  /// A machine that is enabled, with a disk that takes a while to be read and a guest to be frozen.
  private struct Place {
    let tool: Tool
    let service: RunningService
    let machine: FakeMachine
    let sockets: TemporaryDirectory
    var state: String { tool.file("state") }

    init(_ purpose: String) throws {
      tool = try Tool.withVault(purpose)
      service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
      sockets = try TemporaryDirectory(purpose, in: "/tmp")
      machine = try FakeMachine(sockets.file("qga.sock"))
      let port = try #require(try service.notice()["httpsPort"] as? Int)
      let image = try tool.image("web01.img", size: 160 << 20)
      var random = SeededGenerator(for: purpose)
      try File(image, .writing).write(random.bytes(150 << 20), at: 0)
      let key = try #require(try tool.json("key", "create")["key"] as? String)
      try agent(
        "enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "web01")
      try agent("add-disk", image)
    }

    func agent(_ arguments: String...) throws {
      let result = try run(arguments)
      try #require(result.succeeded, "\(arguments): \(result.report)")
    }

    func run(_ arguments: [String]) throws -> Program.Result {
      try start(arguments).wait(seconds: 60)
    }

    func start(_ arguments: [String]) throws -> Program {
      try tool.start(["agent"] + arguments + ["--state", state])
    }

    func json(_ arguments: String...) throws -> [String: Any] {
      let result = try run(arguments + ["--json"])
      return try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
        "\(result.report)")
    }

    /// Lets the machine be protected; each cycle's point is to be app-consistent.
    func enable() throws {
      let first = try start(["run"])
      #expect(
        try Program.poll(seconds: 60) {
          (try json("status")["status"] as? [String: Any])?["state"] as? String == "unprotected"
        })
      first.signal(SIGTERM)
      #expect(first.wait(seconds: 20).succeeded)
      try tool.require(
        "machine", "enable", "web01", "--interval", "10", "--app-interval", "2")
    }

    /// Starts the agent, and gives it with its guard as soon as the guest is frozen.
    func frozen() throws -> (agent: Program, guardian: pid_t) {
      let program = try start(["run"])
      #expect(Program.poll(seconds: 30) { machine.notes.isFrozen })
      let children = try Program.require(
        "ps", "--ppid", "\(program.processIdentifier)", "-o", "pid=")
      let guardian = try #require(
        pid_t(children.trimmingCharacters(in: .whitespacesAndNewlines)), "\(children)")
      return (program, guardian)
    }

    var isNoted: Bool { FileSystem.system.exists(state + "/frozen.json") }
  }

  @Test(
    "an agent that is killed leaves nothing frozen; if its guard is killed too, its next start thaws"
  )
  func kills() throws {
    let place = try Place("frozen-kills")
    try place.agent("set-hook", "guest-agent", "--socket", place.machine.path)
    try place.enable()
    let (first, _) = try place.frozen()
    #expect(place.isNoted)
    first.killGroup()
    #expect(Program.poll(seconds: 5) { !place.machine.notes.isFrozen && !place.isNoted })
    #expect(first.wait(seconds: 5).status == 128 + SIGKILL)

    let (second, guardian) = try place.frozen()
    kill(guardian, SIGSTOP)
    second.killGroup()
    kill(guardian, SIGKILL)
    #expect(second.wait(seconds: 5).status == 128 + SIGKILL)
    usleep(300_000)
    #expect(place.machine.notes.isFrozen && place.isNoted)
    let thaws = place.machine.notes.commands.count { $0 == "guest-fsfreeze-thaw" }
    let third = try place.start(["run"])
    #expect(
      Program.poll(seconds: 30) {
        place.machine.notes.commands.count { $0 == "guest-fsfreeze-thaw" } > thaws
      })
    #expect(Program.poll(seconds: 60) { (try? place.tool.points(of: "web01"))?.isEmpty == false })
    #expect(third.outputSoFar.errors.contains("Writers may be held since an earlier run"))
    let points = try place.tool.points(of: "web01")
    #expect(points.contains { $0.hasSuffix("-app") }, "\(points) \(third.outputSoFar.errors)")
    let shown = try place.tool.json("point", "show", "web01", "latest-app-consistent")
    #expect(shown["kind"] as? String == "app")
    // A freeze that fails is an event at the service, and costs no point.
    place.machine.behave(.failing)
    sleep(2)
    try place.tool.require("machine", "replicate", "web01")
    #expect(
      try Program.poll(seconds: 30) {
        let events = try place.tool.json("events")["events"] as? [[String: Any]] ?? []
        return events.contains { $0["code"] as? String == "application-point-failed" }
      })
    #expect(try place.tool.points(of: "web01").count > points.count)
    third.signal(SIGTERM)
    #expect(third.wait(seconds: 30).succeeded)
    #expect(!place.machine.notes.isFrozen && !place.isNoted)
    #expect(place.service.stop().status == 0)
  }

  @Test("hooks are set, shown, looked at, tried and taken away by commands")
  func commands() throws {
    let place = try Place("hook-commands")
    #expect(try place.run(["test-hook"]).status == 14)
    try place.agent("set-hook", "guest-agent", "--socket", place.machine.path)
    try place.agent("set-hook", "limit", "60")
    #expect(try place.run(["set-hook", "limit", "0"]).status == 64)
    #expect(try place.run(["set-hook", "fsfreeze", "--mount", place.state]).status == 14)
    #expect(try place.run(["set-hook", "scripts", "--directory", place.state]).status == 14)
    // A machine that does not run yet is no reason not to set its hook.
    try place.agent(
      "set-hook", "qmp", "--socket", place.sockets.file("none.sock"), "--every-cycle")
    #expect(try place.run(["test-hook"]).status == 1)
    #expect(!place.machine.notes.isFrozen)
    let checks = try #require(
      try place.json("preflight", "--time-source", "none")["checks"] as? [[String: Any]])
    let verdicts = checks.filter { ($0["subject"] as? String)?.hasPrefix("hook") == true }
      .compactMap { $0["verdict"] as? String }
    #expect(verdicts == ["ok", "warning"], "\(checks)")
    let status = try place.json("status")
    let hooks = try #require(status["hooks"] as? [[String: Any]])
    #expect(hooks.compactMap { $0["kind"] as? String } == ["guest-agent", "qmp"])
    #expect(status["freezeLimitSeconds"] as? Int == 60)
    try place.agent("remove-hook", "qmp")
    #expect(try place.run(["remove-hook", "qmp"]).status == 13)
    try sourceHooks(place)
    let trial = try place.json("test-hook")
    #expect((trial["heldMilliseconds"] as? Int).map { (0..<5000).contains($0) } == true)
    #expect(place.machine.notes.commands.contains("guest-fsfreeze-freeze"))
    let page = try PagesTests.page("JSON")
    for field in CommandTests.fields(status).union(CommandTests.fields(trial)) {
      #expect(page.contains("`\(field)`"), "\(field)")
    }
    #expect(place.service.stop().status == 0)
  }

  /// What serves failovers, and freezes nothing.
  private func sourceHooks(_ place: Place) throws {
    let script = place.sockets.file("stop")
    // (A program that is still open for writing can't be run.)
    try FileSystem.system.replaceFile(
      script, with: Array("#!/bin/sh\necho $TIDEMARK_PHASE; exit 3\n".utf8), permissions: 0o700)
    #expect(try place.run(["set-hook", "shutdown"]).status == 64)
    try place.agent("set-hook", "shutdown", "--script", script)
    try place.agent("set-hook", "fence", "--script", script)
    let status = try place.json("status")
    let shutdown = try #require(status["shutdownHook"] as? [String: Any])
    #expect(shutdown["path"] as? String == script && shutdown["kind"] as? String == "script")
    #expect(status["fenceHook"] is [String: Any])
    let refused = try place.run(["test-hook", "--shutdown"])
    #expect(refused.status == 14 && refused.errors.contains("--yes"), "\(refused.report)")
    let tried = try place.run(["test-hook", "--shutdown", "--yes", "--json"])
    #expect(tried.status == 1 && tried.output.contains("and said: shutdown"), "\(tried.report)")
    try place.agent("remove-hook", "shutdown")
    #expect(try place.run(["remove-hook", "shutdown"]).status == 13)
    try place.agent("remove-hook", "fence")
    let page = try PagesTests.page("JSON")
    for field in CommandTests.fields(status) { #expect(page.contains("`\(field)`"), "\(field)") }
  }
}
