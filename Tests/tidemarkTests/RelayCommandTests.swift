import FileIO
import Foundation
import Operations
import Support
import Testing

@testable import tidemark

/// Goal: a relay is set up, looked at and refused as a service is, and agents that are sent to it can tell
/// whether they reach it. Method: the real binary as service, relay and agent.
@Suite(.serialized) struct RelayCommandTests {
  /// A vault's service and an enrolled relay that does not run yet.
  private struct Place {
    let tool: Tool
    let service: RunningService
    let relay: String
    let state: String

    init(_ purpose: String) throws {
      tool = try Tool.withVault(purpose)
      service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
      state = tool.file("relay")
      let port = try #require(try service.notice()["httpsPort"] as? Int)
      let key = try #require(try tool.json("key", "create")["key"] as? String)
      let enrolled = try tool.json(
        "relay", "enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "relay01",
        "--state", state)
      relay = try #require(enrolled["relay"] as? String)
    }

    /// `serve --relay` with these arguments, in an environment with these variables.
    func start(
      _ arguments: [String], _ variables: [String: String] = [:]
    ) throws -> Program {
      let known = ["TIDEMARK_RELAY_STATE": state, "TIDEMARK_TIME_SOURCE": "none"]
      return try Program(
        Product.tidemark, ["serve", "--relay"] + arguments,
        environment: tool.variables.merging(known) { $1 }.merging(variables) { $1 },
        in: tool.directory.path)
    }

    func check(_ arguments: [String], _ variables: [String: String] = [:]) throws -> Program.Result
    {
      try start(["--check"] + arguments, variables).wait(seconds: 30)
    }

    /// The relay at work, at any port.
    func run() throws -> Program {
      let program = try start([
        "--replication-port", "0", "--replication-address", "127.0.0.1", "--advertise", "127.0.0.1",
      ])
      let isReady = Program.poll(seconds: 30) {
        !program.isRunning || program.outputSoFar.errors.contains("Relaying")
      }
      try #require(isReady && program.isRunning, "\(program.outputSoFar)")
      return program
    }
  }

  @Test(
    "a relay's host is looked at, alone and at each start, and nothing is begun by the look alone")
  func check() throws {
    let place = try Place("relay-check")
    let result = try place.check(["--json", "--replication-port", "0"])
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
      "\(result.report)")
    let subjects = (object["checks"] as? [[String: Any]])?.compactMap { $0["subject"] as? String }
    #expect(subjects == ["cores", "memory", "space", "port 0"])
    #expect(result.succeeded && !result.errors.contains("Relaying"))
    let scarce = try place.check(["--replication-port", "0", "--cache-size", "9000000G"])
    #expect(
      scarce.succeeded && scarce.output.contains("the cache may take"), "\(scarce.report)")

    let relay = try place.run()
    defer { relay.killGroup() }
    let listeners = try Listeners(of: relay.processIdentifier)
    let rows = try Listeners.page(of: "relay")
    #expect(listeners.ports.count == 1 && listeners.sockets == 0)
    #expect(rows.count == listeners.ports.count + listeners.sockets)
    let usual = try ServiceSettings(
      try ServiceLayers(file: nil, variable: { _ in nil }, options: [:], for: .relay), for: .relay)
    #expect(rows.contains { $0.contains("| \(usual.replicationPort ?? 0)/tcp |") })

    let port = String(try #require(listeners.ports.first))
    let beside = try place.check(["--replication-port", port])
    #expect(beside.succeeded && beside.output.contains("while the relay"), "\(beside.report)")
    relay.signal(SIGTERM)
    #expect(relay.wait(seconds: 40).status == 0)
    // Somebody else's port is taken, for the check and for a start.
    let taken = try #require(try place.service.notice()["replicationPort"] as? Int)
    for arguments in [["--check"], []] {
      let refused = try place.start(arguments + ["--replication-port", String(taken)])
        .wait(seconds: 30)
      #expect(refused.status == 14, "\(refused.report)")
      #expect((refused.output + refused.errors).contains("port \(taken)"), "\(refused.report)")
    }
  }

  @Test("a relay's settings come from file, environment and options; what it can't use is refused")
  func settings() throws {
    let place = try Place("relay-settings")
    let path = place.tool.file("relay.json")
    func write(_ json: String) throws {
      try FileSystem.system.replaceFile(path, with: Array(json.utf8), permissions: 0o600)
    }
    let port = ["--replication-port", "0"]
    try write(
      #"{"cacheSize":"1G","advertise":["relay01.example.com","10.0.0.7"],"replicationPort":0}"#)
    let sound = ["TIDEMARK_REPLICATION_PORT": ""]
    #expect(try place.check(["--config", path], sound).succeeded)
    // Variables may be there for others, such as a service of the same host.
    #expect(try place.check(port, ["TIDEMARK_MOUNT": "/mnt", "TIDEMARK_SOCKET": "/s"]).succeeded)
    let wrong: [(file: String, variables: [String: String], options: [String], told: String)] = [
      (#"{"cacheSize":"none"}"#, [:], port, "cacheSize in"),
      (#"{"mount":"/mnt"}"#, [:], port, "mount in"),
      (#"{"advertise":"a,,b"}"#, [:], port, "advertise in"),
      ("{}", ["TIDEMARK_CACHE_SIZE": "63M"], port, "TIDEMARK_CACHE_SIZE is a number of bytes"),
      ("{}", [:], port + ["--cache-size", "none"], "--cache-size"),
      ("{}", [:], port + ["--mount", "/mnt"], "--mount means nothing to a relay"),
      ("{}", [:], port + ["--https-port", "none"], "--https-port"),
      ("{}", [:], port + ["--vault", "/srv"], "--vault"),
      ("{}", [:], ["--replication-port", "none"], "a relay has to listen"),
    ]
    for (file, variables, options, told) in wrong {
      try write(file)
      for arguments in [["--check"], []] {
        let result = try place.start(arguments + ["--config", path] + options, variables)
          .wait(seconds: 30)
        #expect(result.status == 14 && result.errors.contains(told), "\(result.report)")
      }
    }
    let tool = place.tool
    let alone = try tool.run("serve", "--check", "--cache-size", "1G")
    #expect(alone.status == 14 && alone.errors.contains("--relay"), "\(alone.report)")
    #expect(try tool.run("serve", "--json").status == 64)
    #expect(try tool.run("serve", "--state", place.state).status == 64)
  }

  @Test("a machine that was sent to a relay has the way there looked at, and needs no other")
  func preflight() throws {
    let place = try Place("relay-preflight")
    let (tool, state) = (place.tool, place.tool.file("agent"))
    let notice = try place.service.notice()
    let https = try #require(notice["httpsPort"] as? Int)
    let replication = try #require(notice["replicationPort"] as? Int)
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    try tool.require(
      "agent", "enrol", "--service", "127.0.0.1:\(https)", "--key", key, "--name", "web01",
      "--state", state)
    let relay = try place.run()
    defer { relay.killGroup() }
    let port = try #require(try Listeners(of: relay.processIdentifier).ports.first)
    /// As the service does it.
    func send(to port: Int) throws {
      let json = #"{"relay":"\#(place.relay)","hosts":["127.0.0.2","127.0.0.1"],"port":\#(port)}"#
      try FileSystem.system.replaceFile(
        state + "/server.json", with: Array(json.utf8), permissions: 0o600)
    }
    func ports() throws -> [String: String] {
      let report = try tool.json(
        "agent", "preflight", "--time-source", "none", "--state", state)
      let checks = report["checks"] as? [[String: Any]] ?? []
      return Dictionary(
        checks.compactMap { check -> (String, String)? in
          guard let subject = check["subject"] as? String, subject.contains("port") else {
            return nil
          }
          return (subject, check["verdict"] as? String ?? "")
        }, uniquingKeysWith: { first, _ in first })
    }
    #expect(try ports()["port \(replication)"] == "ok")
    try send(to: port)
    #expect(try ports()["relay port \(port)"] == "ok")
    try send(to: https)
    #expect(try ports()["relay port \(https)"] == "refused")
    try send(to: port)
    #expect(place.service.stop().status == 0)
    let without = try ports()
    #expect(without["relay port \(port)"] == "ok" && without["port \(replication)"] == "warning")
    relay.killGroup()
    _ = relay.wait(seconds: 10)
    #expect(try ports()["port \(replication)"] == "refused")
  }
}
