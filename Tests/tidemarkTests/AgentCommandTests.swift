import Bytes
import FileIO
import Foundation
import Operations
import Support
import Testing

@testable import tidemark

/// Goal: a machine goes from a registration key to recovery points with commands alone. Method: the real
/// binary as service and as agent, over TLS on loopback.
@Suite(.serialized) struct AgentCommandTests {
  /// An agent's commands with a directory of their own.
  private struct Agent {
    let tool: Tool
    let state: String

    func start(_ arguments: [String]) throws -> Program {
      try tool.start(["agent"] + arguments + ["--state", state])
    }

    func run(_ arguments: String...) throws -> Program.Result {
      try start(arguments).wait(seconds: 60)
    }

    func require(_ arguments: String...) throws {
      let result = try start(arguments).wait(seconds: 60)
      try #require(result.succeeded, "\(arguments): \(result.report)")
    }

    func json(_ arguments: String...) throws -> [String: Any] {
      let result = try start(arguments + ["--json"]).wait(seconds: 60)
      let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
      return try #require(object as? [String: Any], "\(result.report)")
    }

    /// Runs the agent until `condition` holds, and ends it.
    func work(until condition: () throws -> Bool) throws {
      let program = try start(["run"])
      defer { if program.isRunning { program.killGroup() } }
      let isDone = try Program.poll(seconds: 60) { try !program.isRunning || condition() }
      #expect(try isDone && condition(), "\(program.outputSoFar)")
      program.signal(SIGTERM)
      let result = program.wait(seconds: 20)
      #expect(result.status == 0, "\(result.report)")
    }
  }

  @Test("a machine enrols, is enabled, and its agent fills the vault")
  func story() throws {
    let tool = try Tool.withVault("agent")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let image = try tool.image("web01.img", size: 24 << 20)
    var random = SeededGenerator(for: "agent commands")
    try File(image, .writing).write(random.bytes(3 << 20), at: 1 << 20)
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    try FileSystem.system.replaceFile(tool.file("key"), with: Array(key.utf8), permissions: 0o600)

    let agent = Agent(tool: tool, state: tool.file("state"))
    #expect(try agent.run("status").status == 14)
    let place = ["--service", "127.0.0.1:\(port)"]
    let enrolled = try agent.json(
      "enrol", place[0], place[1], "--key-file", tool.file("key"),
      "--name", "web01")
    #expect(enrolled["name"] as? String == "web01")
    for name in ["agent.json", "identity/key.pem", "identity/certificate.pem"] {
      #expect(try FileSystem.system.status(agent.state + "/" + name).permissions == 0o600)
    }
    // The key was good for one machine, and this machine is enrolled.
    #expect(try agent.run("enrol", place[0], place[1], "--key", key).status == 14)
    let other = Agent(tool: tool, state: tool.file("other"))
    #expect(try other.run("enrol", place[0], place[1], "--key", key).status == 14)
    #expect(!FileSystem.system.exists(other.state + "/agent.json"))

    try agent.require("add-disk", image)
    #expect(try agent.run("add-disk", image).status == 14)
    #expect(try agent.run("add-disk", tool.file("none")).status == 15)
    #expect(try agent.run("remove-disk", tool.file("none")).status == 13)
    try agent.work {
      let status = try agent.json("status")["status"] as? [String: Any]
      return status?["state"] as? String == "unprotected"
    }
    try enable(tool)
    try agent.work {
      guard try !tool.points(of: "web01").isEmpty else { return false }
      // Only now it is certain that the first one is at work.
      #expect(try agent.run("run").status == 11)
      return true
    }
    let out = tool.file("out.img")
    try tool.require("export", "web01", "--point", "latest", "--format", "raw", out)
    try Program.require("cmp", image, out)
    let status = try agent.json("status")
    let findings = try agent.json("preflight", "--time-source", "none")
    let page = try PagesTests.page("JSON")
    for field in CommandTests.fields(status).union(CommandTests.fields(findings)) {
      #expect(page.contains("`\(field)`"), "\(field)")
    }
    let checks = try #require(findings["checks"] as? [[String: Any]])
    for check in checks where (check["subject"] as? String)?.hasPrefix("port") == true {
      #expect(check["verdict"] as? String == "ok", "\(check)")
    }
    try look(tool)
    try agent.require("remove-disk", image)
    #expect(service.stop().status == 0)
  }

  /// Enables the machine, together with one that nobody knows.
  private func enable(_ tool: Tool) throws {
    let before = try #require(try tool.json("machine", "list")["machines"] as? [[String: Any]])
    #expect(before.map { $0["state"] as? String } == ["unprotected"])
    #expect(before.first?["lastContact"] != nil && before.first?["health"] == nil)
    #expect(try tool.run("machine", "enable", "web01", "--exclude", "0").status == 14)
    let plan = try tool.run("machine", "enable", "web01", "--dry-run")
    #expect(plan.succeeded && plan.output.contains("5 min"), "\(plan.report)")
    let result = try tool.run(
      "machine", "enable", "nobody", "web01", "--address", "203.0.113.7", "--yes")
    #expect(result.status == 64, "\(result.report)")
    let both = try tool.run("machine", "enable", "nobody", "web01", "--json")
    #expect(both.status == 3 && both.output.contains("\"unknown\""), "\(both.report)")
    #expect(try tool.run("machine", "enable", "web01").status == 14)
  }

  /// What the service tells of a machine with a point.
  private func look(_ tool: Tool) throws {
    let page = try PagesTests.page("JSON")
    let machine = try tool.json("machine", "show", "web01")
    #expect(machine["state"] as? String == "protected" && machine["rpoSeconds"] != nil)
    let settings = machine["settings"] as? [String: Any]
    #expect(settings?["bandwidthHours"] as? String == "always")
    let documents = [
      machine, try tool.json("machine", "set", "web01", "--address", "8.8.8.8"),
      try tool.json("status"), try tool.json("health"), try tool.json("health", "web01"),
      try tool.json("machine", "enable", "web01", "--dry-run"),
    ]
    for document in documents {
      for field in CommandTests.fields(document) {
        #expect(page.contains("`\(field)`"), "\(field)")
      }
    }
    let finalized = Program.poll(seconds: 15) {
      (try? tool.run("jobs").output)?.contains(/Finalize protection +web01 +Succeeded/) == true
    }
    #expect(finalized)
    let jobs = try #require(try tool.json("jobs")["jobs"] as? [[String: Any]])
    let enabled = try #require(jobs.first { $0["kind"] as? String == "Enable protection" })
    let tasks = try tool.require("jobs", "\(try #require(enabled["id"] as? Int))")
    #expect(tasks.contains(/Prerequisites check +Succeeded/), "\(tasks)")
    #expect(try tool.run("jobs", "999").status == 13)
    #expect(try tool.run("machine", "set", "web01", "--bandwidth-hours", "8-18").status == 64)
    for command in [["status"], ["health"], ["health", "web01"], ["machine", "list"]] {
      let result = try tool.start(command).wait(seconds: 60)
      // How much room this host has is no matter here.
      #expect([0, 3, 4].contains(result.status), "\(result.report)")
      #expect(result.output.contains("web01") || command == ["health"])
    }
    #expect(try tool.run("health", "nobody").status == 13)
  }

  @Test("an agent that is killed again and again brings the disk over all the same")
  func kills() throws {
    let tool = try Tool.withVault("agent-kills")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let image = try tool.image("web01.img", size: 96 << 20)
    var random = SeededGenerator(for: "killed agents")
    try File(image, .writing).write(random.bytes(80 << 20), at: 1 << 20)
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    let agent = Agent(tool: tool, state: tool.file("state"))
    try agent.require(
      "enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "web01")
    try agent.require("add-disk", image)
    try agent.work {
      let status = try agent.json("status")["status"] as? [String: Any]
      return status?["state"] as? String == "unprotected"
    }
    try tool.require("machine", "enable", "web01", "--interval", "10")
    for _ in 0..<Count.of("TIDEMARK_KILLS", normally: 6) {
      try File(image, .writing).write(
        random.bytes(4096), at: UInt64(random.number(0..<20000)) * 4096)
      let program = try agent.start(["run"])
      Thread.sleep(forTimeInterval: Double(random.number(50..<900)) / 1000)
      program.killGroup()
      _ = program.wait(seconds: 20)
    }
    let before = try tool.points(of: "web01").count
    try agent.work { try tool.points(of: "web01").count > before }
    let out = tool.file("out.img")
    try tool.require("export", "web01", "--point", "latest", "--format", "raw", out)
    try Program.require("cmp", image, out)
    #expect(service.stop().status == 0)
  }

  @Test("a disk that was put back stops replication, says so, and is mended on demand")
  func resynchronisation() throws {
    let tool = try Tool.withVault("put-back")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let image = try tool.image("web01.img", size: 8 << 20)
    var random = SeededGenerator(for: "disks put back")
    try File(image, .writing).write(random.bytes(3 << 20), at: 1 << 20)
    try Program.require("cp", "-p", image, tool.file("old"))
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    let agent = Agent(tool: tool, state: tool.file("state"))
    try agent.require(
      "enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "web01")
    try agent.require("add-disk", image)
    try agent.work {
      let status = try agent.json("status")["status"] as? [String: Any]
      return status?["state"] as? String == "unprotected"
    }
    try File(image, .writing).write(random.bytes(40_960), at: 2 << 20)
    try tool.require("machine", "enable", "web01", "--interval", "10")
    let settings = try tool.json("machine", "set", "web01", "--resync-window", "manual")
    try agent.work { try !tool.points(of: "web01").isEmpty }
    try Program.require("cp", "-p", tool.file("old"), image)
    func isRequired() throws -> Bool {
      let reasons = try tool.json("machine", "show", "web01")["reasons"] as? [String]
      return reasons?.contains { $0.hasPrefix("Resynchronisation is required") } == true
    }
    func status() throws -> [String: Any]? {
      try agent.json("status")["status"] as? [String: Any]
    }
    try agent.work {
      guard try isRequired() else { return false }
      let (shown, list) = (
        try tool.require("machine", "show", "web01"), try tool.run("machine", "list")
      )
      #expect(shown.contains(/Resynchronisation: +required since .*: Disk 0/), "\(shown)")
      #expect(shown.contains(/Resync window: +manual/))
      #expect(list.output.contains("resynchronisation required"), "\(list.report)")
      #expect(
        Program.poll(seconds: 20) {
          (try? status()?["state"] as? String) == "resynchronisationRequired"
        })
      #expect(try agent.run("status").status == 3)
      return true
    }
    let before = try tool.points(of: "web01").count
    let job = try tool.json("machine", "resynchronise", "web01", "--no-wait")
    let page = try PagesTests.page("JSON")
    let order = try tool.json("server", "refresh", "service")
    for field in [settings, job, order].reduce(
      into: Set<String>(), { $0.formUnion(CommandTests.fields($1)) })
    {
      #expect(page.contains("`\(field)`"), "\(field)")
    }
    try agent.work { try !isRequired() }
    #expect(try tool.json("machine", "show", "web01")["state"] as? String == "protected")
    #expect(try tool.points(of: "web01").count > before)
    let out = tool.file("out.img")
    try tool.require("export", "web01", "--point", "latest", "--format", "raw", out)
    try Program.require("cmp", image, out)
    #expect(
      try tool.start(["machine", "resynchronise", "web01", "--cancel"]).wait(seconds: 20).status
        == 14)
    #expect(try tool.start(["replicate", "web01"]).wait(seconds: 20).status == 14)
    #expect(service.stop().status == 0)
  }

  @Test("damage that verify finds in the newest point is mended; the points it hurts are not")
  func damage() throws {
    let tool = try Tool.withVault("damage")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let image = tool.file("web01.img")
    // More than a segment holds, of what can't be compressed.
    try Program.require("dd", "if=/dev/urandom", "of=\(image)", "bs=1M", "count=66")
    let agent = try enrolled(tool, port, image)
    try tool.require("machine", "set", "web01", "--resync-window", "manual")
    try agent.work { try !tool.points(of: "web01").isEmpty }
    #expect(try tool.run("verify", "web01").status == 0)

    let folders = try FileSystem.system.list(tool.vault + "/machines")
    let folder = tool.vault + "/machines/" + (try #require(folders.first))
    let segments = try FileSystem.system.list(folder).filter { $0.hasSuffix(".seg") }
    try #require(segments.count > 1, "the first one is sealed")
    let file = try File(folder + "/" + (try #require(segments.min())), .writing)
    let bytes = try file.read(at: 20 << 20, count: 16)
    try file.write(bytes.map { ~$0 }, at: 20 << 20)

    let verified = try tool.run("verify", "web01")
    #expect(verified.status == 12 && verified.errors.contains("'web01' is required"))
    let reasons = try tool.json("machine", "show", "web01")["reasons"] as? [String]
    #expect(reasons?.contains { $0.contains("can't read all it has stored of disk 0") } == true)
    let hurt = try tool.points(of: "web01")
    try tool.require("machine", "resynchronise", "web01", "--no-wait")
    try agent.work { try tool.json("machine", "show", "web01")["health"] as? String == "healthy" }
    #expect(try tool.points(of: "web01").count > hurt.count)
    let out = tool.file("out.img")
    try tool.require("export", "web01", "--point", "latest", "--format", "raw", out)
    try Program.require("cmp", image, out)
    // What is left of it is no reason any more.
    let again = try tool.run("verify", "web01")
    #expect(again.status == 12 && !again.errors.contains("Resynchronisation"), "\(again.report)")
    #expect(service.stop().status == 0)
  }

  /// An agent of a disk, protected, that has not replicated yet.
  private func enrolled(_ tool: Tool, _ port: Int, _ image: String) throws -> Agent {
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    let agent = Agent(tool: tool, state: tool.file("state"))
    try agent.require("enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "web01")
    try agent.require("add-disk", image)
    try agent.work {
      let status = try agent.json("status")["status"] as? [String: Any]
      return status?["state"] as? String == "unprotected"
    }
    try tool.require("machine", "enable", "web01", "--interval", "10")
    return agent
  }

  @Test("a disk of this host that was replaced is refused until everything is to be compared")
  func localResynchronisation() throws {
    let tool = try Tool.withVault("replaced")
    let image = try tool.image("a.img", size: 4 << 20)
    try tool.require("machine", "add", "a", "--disk", image)
    try tool.require("replicate", "a")
    try Program.require("cp", image, image + ".new")
    try Program.require("mv", image + ".new", image)
    let refused = try tool.start(["replicate", "a"]).wait(seconds: 30)
    #expect(refused.status == 14 && refused.errors.contains("--resynchronise"), "\(refused.report)")
    try tool.require("replicate", "a", "--resynchronise")
    try tool.require("replicate", "a")
    #expect(try tool.points(of: "a").count == 3)
  }

  @Test("a key of another vault is not shown to a service")
  func stranger() throws {
    let tool = try Tool.withVault("stranger")
    let other = try Tool.withVault("other")
    let service = try RunningService(tool, "--https-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let key = try #require(try other.json("key", "create")["key"] as? String)
    let agent = Agent(tool: tool, state: tool.file("state"))
    let result = try agent.run("enrol", "--service", "127.0.0.1:\(port)", "--key", key)
    #expect(result.status == 14 && result.errors.contains("not the service"), "\(result.report)")
    #expect(!FileSystem.system.exists(agent.state + "/agent.json"))
  }

  @Test("a clock that is six minutes from the service's is found, four are let pass")
  func clocks() {
    let now = Timestamp(seconds: 1_795_170_600)
    for (seconds, verdict) in [(360, HostFinding.Verdict.refused), (-360, .refused), (240, .ok)] {
      let theirs = (1_795_170_600 + Int64(seconds)) * 1_000_000_000
      let finding = AgentPreflight.clock(theirs, between: now, and: now, of: "the service")
      #expect(finding.verdict == verdict && finding.subject == "clock")
    }
  }

  @Test("services are named with and without a port")
  func names() {
    #expect(ServiceName("vault.example.com")?.port == nil)
    #expect(ServiceName("10.0.0.5:9000") == ServiceName("[10.0.0.5]:9000"))
    #expect(ServiceName("fd00::5")?.host == "fd00::5")
    #expect(ServiceName("[fd00::5]:9000")?.port == 9000)
    for text in ["", ":1", "a:0", "a:x", "a:65536", "[::1]x", "http://a", "a b"] {
      #expect(ServiceName(text) == nil, "\(text)")
    }
  }
}
