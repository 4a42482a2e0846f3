import FileIO
import Foundation
import Support
import Testing

/// A vault's service, run by the real command until the value ends.
final class RunningService {
  let tool: Tool
  let program: Program

  /// Starts the service and waits until it answers.
  init(_ tool: Tool, _ options: String...) throws {
    self.tool = tool
    program = try tool.start(
      ["serve", "--socket", tool.file("s/api.sock"), "--time-source", "none"]
        + (options.contains("--https-port") ? [] : ["--https-port", "none"]) + options)
    let isReady = Program.poll(seconds: 30) { [program] in
      !program.isRunning || program.outputSoFar.errors.contains("Serving")
    }
    try #require(isReady && program.isRunning, "\(program.outputSoFar)")
  }

  deinit { if program.isRunning { program.killGroup() } }

  /// What the service left for those who look for it.
  func notice() throws -> [String: Any] {
    let bytes = try FileSystem.system.readFile(tool.vault + "/service.json", limit: 65536)
    return try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] ?? [:]
  }

  /// Asks it to end, and waits until it has.
  func stop() -> Program.Result {
    program.signal(SIGTERM)
    return program.wait(seconds: 60)
  }
}

/// Goal: commands do and tell the same whether a service runs or not, and a service ends and comes
/// back without losing anything. Method: the real binary as service and as commands.
@Suite struct ServeTests {
  /// A tool whose vault has a machine that was not replicated yet.
  static func prepare(_ purpose: String, size: UInt64 = 4 << 20) throws -> Tool {
    let tool = try Tool.withVault(purpose)
    try tool.require("machine", "add", "web01", "--disk", tool.image("a.img", size: size))
    return tool
  }

  /// What a command did, without what differs from run to run.
  private static func shape(_ result: Program.Result) -> String {
    result.report.replacing(/\d{8}T\d{6}Z-crash(-\d+)?/, with: "POINT")
      .replacing(/in [\d.]+ \w+/, with: "in TIME").replacing(/tidemark-[\w-]+/, with: "DIRECTORY")
      .replacing(/"(seconds|time)" : ?[^,\n]+/, with: "TIME")
      .replacing(/[0-9a-f]{8}-[0-9a-f-]{27}/, with: "ID")
      .replacing(/"storedBytes" : \d+/, with: "SIZE")
  }

  @Test("every command that changes something ends alike with a service and without one")
  func sameEitherWay() throws {
    func all(_ tool: Tool) throws -> [String] {
      let image = try tool.image("b.img", size: 1 << 20)
      let commands = [
        ["machine", "add", "b", "--disk", "b.img"], ["machine", "add", "b", "--disk", image],
        ["machine", "add", "c", "--disk", "none.img"],
        ["machine", "add", "d", "--json", "--disk", image],
        ["replicate", "b", "--label", "first one"], ["replicate", "b", "--label", "first one"],
        ["replicate", "b", "--label", "latest"], ["replicate", "b", "--json"],
        ["replicate", "none"], ["machine", "remove", "b", "--yes"],
        ["machine", "remove", "b", "--yes"], ["machine", "remove", "d"],
        ["token", "revoke", "none"], ["token", "create", "", "--role", "reader"],
      ]
      return try commands.map { command in
        "\(command.dropLast()): " + Self.shape(try tool.start(command).wait(seconds: 60))
      }
    }
    let alone = try Self.prepare("alone")
    let without = try all(alone)
    let tool = try Self.prepare("alone")
    let service = try RunningService(tool)
    let with = try all(tool)
    for (one, other) in zip(without, with) { #expect(one == other) }
    #expect(service.stop().status == 0)
  }

  @Test("while a service runs its vault is locked to others, and it ends in order on SIGTERM")
  func life() throws {
    let tool = try Self.prepare("life")
    let service = try RunningService(tool)
    #expect(try service.notice()["socket"] as? String == tool.file("s/api.sock"))
    let second = try tool.start(
      ["serve", "--socket", tool.file("t.sock"), "--time-source", "none", "--https-port", "none"]
    ).wait(seconds: 30)
    #expect(second.status == 11, "\(second.report)")
    #expect(try tool.run("vault", "rebuild").status == 11)
    #expect(try tool.require("replicate", "web01").hasSuffix("-crash"))
    let result = service.stop()
    #expect(result.status == 0 && result.errors.contains("Ended"), "\(result.report)")
    #expect(!FileSystem.system.exists(tool.vault + "/service.json"))
    #expect(!FileSystem.system.exists(tool.file("s/api.sock")))
    let codes = try tool.json("events")["events"] as? [[String: Any]] ?? []
    // What there is to say of the host comes between.
    let ownCodes = codes.compactMap { $0["code"] as? String }.filter { $0.hasPrefix("service-") }
    #expect(ownCodes == ["service-stopped", "service-started"])
    #expect(try tool.require("jobs").contains("Succeeded"))
  }

  @Test("a killed service is passed over, and its next start shows the job it left as failed")
  func killed() throws {
    let tool = try Self.prepare("killed", size: 2 << 30)
    var random = SeededGenerator(for: "killed")
    let file = try File(tool.file("a.img"), .writing)
    for part in 0..<48 { try file.write(random.bytes(8 << 20), at: UInt64(part) * (8 << 20)) }
    let service = try RunningService(tool)
    let command = try tool.start(["replicate", "web01"])
    let runs = Program.poll(seconds: 30) {
      ((try? tool.json("vault", "info")["storedBytes"] as? Int) ?? 0) > 8 << 20
    }
    #expect(runs)
    service.program.killGroup()
    _ = service.program.wait(seconds: 10)
    let told = command.wait(seconds: 30)
    #expect(told.status == 1 && told.errors.contains("tidemark jobs"), "\(told.report)")
    let jobs = try tool.json("jobs")["jobs"] as? [[String: Any]] ?? []
    #expect(jobs.first?["state"] as? String == "Failed")
    let error = jobs.first?["error"] as? [String: Any]
    #expect((error?["message"] as? String)?.contains("ended before it did") == true)
    #expect(try tool.require("events").contains("failed"))
    let point = try tool.require("replicate", "web01")
    try tool.require("export", "web01", "--point", point, "--format", "raw", tool.file("o.img"))
    try Program.require("cmp", tool.file("a.img"), tool.file("o.img"))
  }

  @Test("an interrupted command cancels its job in the service, and ends with 130")
  func interrupted() throws {
    let tool = try Self.prepare("cancel", size: 1 << 30)
    var random = SeededGenerator(for: "cancel")
    let file = try File(tool.file("a.img"), .writing)
    for part in 0..<48 { try file.write(random.bytes(8 << 20), at: UInt64(part) * (8 << 20)) }
    let service = try RunningService(tool)
    let command = try tool.start(["replicate", "web01"])
    let runs = Program.poll(seconds: 30) {
      ((try? tool.json("vault", "info")["storedBytes"] as? Int) ?? 0) > 8 << 20
    }
    #expect(runs)
    command.signal(SIGINT)
    let result = command.wait(seconds: 30)
    #expect(result.status == 130 && result.errors.contains("again"), "\(result.report)")
    let jobs = try tool.json("jobs")["jobs"] as? [[String: Any]] ?? []
    #expect(jobs.first?["state"] as? String == "Cancelled")
    let again = try tool.start(["replicate", "web01"])
    let started = Program.poll(seconds: 30) {
      let jobs = (try? tool.json("jobs")["jobs"] as? [[String: Any]]) ?? []
      return jobs.first?["state"] as? String != "Cancelled"
    }
    #expect(started)
    let ended = service.stop()
    #expect(ended.status == 0, "\(ended.report)")
    let stopped = again.wait(seconds: 30)
    #expect([0, 1, 130].contains(stopped.status), "\(stopped.report)")
    #expect(try tool.run("verify").status == 0)
    try tool.require("replicate", "web01")
  }

  @Test(
    "HTTPS is served with a certificate, and the only port that is open is the one that is told")
  func https() throws {
    let tool = try Self.prepare("https")
    try Program.require(
      "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
      "-keyout", tool.file("key.pem"), "-out", tool.file("cert.pem"), "-days", "2", "-subj",
      "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    let service = try RunningService(
      tool, "--https-certificate", tool.file("cert.pem"), "--https-key", tool.file("key.pem"),
      "--https-address", "127.0.0.1", "--https-port", "0", "--log-format", "json")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let token = try tool.require("token", "create", "reader", "--role", "reader", "--valid", "1h")
    #expect(try tool.require("token", "list").contains("reader"))
    func ask(_ arguments: String...) throws -> String {
      let program = try Program(
        "curl", ["--silent", "--cacert", tool.file("cert.pem"), "--max-time", "20"] + arguments)
      return program.wait(seconds: 30).output
    }
    let url = "https://127.0.0.1:\(port)"
    #expect(try ask("\(url)/v1/health").contains("ok"))
    #expect(try ask("\(url)/v1/machines").contains("unauthorized"))
    let bearer = "Authorization: Bearer \(token)"
    #expect(try ask("-H", bearer, "\(url)/v1/machines").contains("web01"))
    #expect(try ask("-H", bearer, "-X", "DELETE", "\(url)/v1/machines/web01").contains("forbidden"))
    let open = try Program.require("ss", "-Hltnp").split(separator: "\n").filter {
      $0.contains("pid=\(service.program.processIdentifier),")
    }
    #expect(open.count == 1 && open.first?.contains(":\(port) ") == true, "\(open)")
    let result = service.stop()
    #expect(result.status == 0)
    for line in result.errors.split(separator: "\n") {
      #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil, "\(line)")
    }
  }

  @Test(
    "without a certificate of its own HTTPS shows one of the vault's authority, the same each time")
  func ownCertificate() throws {
    let tool = try Self.prepare("own-certificate")
    var seen: Set<String> = []
    for _ in 0..<2 {
      let service = try RunningService(tool, "--https-port", "0", "--https-address", "127.0.0.1")
      let port = try #require(try service.notice()["httpsPort"] as? Int)
      let answer = try Program.run(
        "curl", "--silent", "--show-error", "--cacert", tool.vault + "/identity/ca.pem",
        "https://localhost:\(port)/v1/health")
      #expect(answer.output.contains("ok"), "\(answer.report)")
      let check = try tool.json(
        "serve", "--check", "--time-source", "none", "--https-port", String(port))
      #expect(check["verdict"] as? String != "refused")
      seen.insert(try digest(of: tool.vault + "/identity/service/certificate.pem"))
      #expect(service.stop().status == 0)
    }
    #expect(seen.count == 1)
  }

  @Test("settings come from file, environment and options, the later over the earlier")
  func settings() throws {
    let tool = try Self.prepare("settings")
    let path = tool.file("serve.json")
    func run(_ json: String, _ variables: [String: String], _ options: String...) throws
      -> Program.Result
    {
      try FileSystem.system.replaceFile(path, with: Array(json.utf8), permissions: 0o600)
      return try Program(
        Product.tidemark, ["serve", "--check", "--config", path] + options,
        environment: tool.variables.merging(variables) { $1 }, in: tool.directory.path
      ).wait(seconds: 30)
    }
    #expect(try run(#"{"timeSource":"none","httpsPort":"none"}"#, [:]).status == 0)
    let unknown = try run(#"{"timeSorce":"none"}"#, [:])
    #expect(unknown.status == 14 && unknown.errors.contains("timeSorce"), "\(unknown.report)")
    let file = try run(#"{"httpsPort":70000,"timeSource":"none"}"#, [:])
    #expect(file.status == 14 && file.errors.contains("70000"))
    let variable = try run(
      #"{"httpsPort":70000,"timeSource":"none"}"#, ["TIDEMARK_HTTPS_PORT": "70001"])
    #expect(variable.status == 14 && variable.errors.contains("TIDEMARK_HTTPS_PORT"))
    let option = try run(
      #"{"httpsPort":70000,"timeSource":"none"}"#, ["TIDEMARK_HTTPS_PORT": "70001"],
      "--https-port", "0")
    #expect(option.status == 0, "\(option.report)")
    for bad in [
      "", "[]", #"{"mountAllowOther":"maybe"}"#, #"{"logLevel":"loud"}"#, #"{"httpsKey":"k"}"#,
    ] {
      #expect(try run(bad, ["TIDEMARK_TIME_SOURCE": "none"]).status == 14, "\(bad)")
    }
  }

  @Test(
    "serve --check names what it looked at, as text and as JSON, and refuses a clock that is off")
  func check() throws {
    let tool = try Self.prepare("check")
    let good = try tool.json("serve", "--check", "--time-source", "none", "--https-port", "0")
    let subjects = (good["checks"] as? [[String: Any]] ?? []).compactMap {
      $0["subject"] as? String
    }
    #expect(subjects == ["cores", "memory", "space", "fuse", "kernel", "port 0"])
    #expect(
      try tool.require("serve", "--check", "--time-source", "none", "--https-port", "none")
        .contains("WHAT TO DO"))
    let clock = try Program(
      "python3",
      [
        "-c",
        """
        import socket, struct, time
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        print(s.getsockname()[1], flush=True)
        while True:
          request, peer = s.recvfrom(100)
          now = struct.pack(">II", int(time.time()) + 2208988800 + 360, 0)
          s.sendto(bytes([0x24, 2]) + bytes(22) + request[40:48] + now + now, peer)
        """,
      ])
    defer { clock.killGroup() }
    #expect(Program.poll(seconds: 10) { clock.outputSoFar.output.hasSuffix("\n") })
    let port = clock.outputSoFar.output.trimmingCharacters(in: .newlines)
    let source = "127.0.0.1:\(port)"
    let off = try tool.run("serve", "--check", "--time-source", source, "--https-port", "none")
    #expect(off.status == 14 && off.output.contains("Set the clock"), "\(off.report)")
    let refused = try tool.run(
      "serve", "--socket", tool.file("s.sock"), "--time-source", source, "--https-port", "none")
    #expect(refused.status == 14 && refused.errors.contains("clock"), "\(refused.report)")
  }

  @Test("the mount is served as well, and taken away at the end", .enabled(if: Available.fuse))
  func mount() throws {
    let tool = try Self.prepare("serve-mount")
    let directory = tool.file("mnt")
    try FileSystem.system.makeDirectory(directory)
    let service = try RunningService(
      tool, "--mount", directory, "--https-port", "0", "--replication-port", "0")
    // The mount outlives the service, so it must not keep the ports from the next one.
    for field in ["httpsPort", "replicationPort"] {
      let port = try #require(try service.notice()[field] as? Int)
      let holders = try Program.require("ss", "-Hltnp", "sport = :\(port)")
      #expect(holders.matches(of: /pid=/).count == 1, "\(holders)")
    }
    try tool.require("replicate", "web01")
    #expect(
      Program.poll(seconds: 5) {
        FileSystem.system.exists(directory + "/web01/latest/disk0.raw")
      })
    try Program.require("cmp", tool.file("a.img"), directory + "/web01/latest/disk0.raw")
    #expect(service.stop().status == 0)
    #expect(Program.poll(seconds: 10) { (try? FileSystem.system.list(directory))?.isEmpty == true })
  }

  @Test("jobs and events are followed while a service runs, and only shown while none does")
  func following() throws {
    let tool = try Self.prepare("following")
    let alone = try tool.run("jobs", "--follow")
    #expect(alone.status == 0 && alone.errors.contains("No service runs"))
    let service = try RunningService(tool)
    let jobs = try tool.start(["jobs", "--follow", "--json"])
    let events = try tool.start(["events", "--follow"])
    try tool.require("replicate", "web01")
    try tool.require("machine", "remove", "web01", "--yes")
    #expect(
      Program.poll(seconds: 10) {
        jobs.outputSoFar.output.contains(#""state":"Succeeded""#)
          && events.outputSoFar.output.contains("was removed")
      })
    for program in [jobs, events] {
      program.signal(SIGINT)
      #expect(program.wait(seconds: 10).status == 0)
    }
    #expect(service.stop().status == 0)
  }

  @Test("the manager that started the service is told when it is ready and when it ends")
  func readiness() throws {
    let tool = try Self.prepare("readiness")
    let listener = try Program(
      "python3",
      [
        "-c",
        """
        import socket, sys
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(sys.argv[1])
        while True: print(s.recv(100).decode(), flush=True)
        """, tool.file("notify"),
      ])
    defer { listener.killGroup() }
    #expect(Program.poll(seconds: 10) { FileSystem.system.exists(tool.file("notify")) })
    let program = try Program(
      Product.tidemark,
      [
        "serve", "--socket", tool.file("api.sock"), "--time-source", "none", "--https-port", "none",
      ],
      environment: tool.variables.merging(["NOTIFY_SOCKET": tool.file("notify")]) { $1 })
    #expect(Program.poll(seconds: 20) { listener.outputSoFar.output.contains("READY=1") })
    program.signal(SIGTERM)
    #expect(program.wait(seconds: 30).status == 0)
    #expect(Program.poll(seconds: 5) { listener.outputSoFar.output.contains("STOPPING=1") })
  }
}
