import FileIO
import Foundation
import Support
import Testing

/// A process of the command that a test kills and starts again, in a network namespace of its own where
/// it is given one.
class Worker {
  let tool: Tool
  let namespace: NetworkNamespace?
  private(set) var program: Program?
  /// The most memory that one of the processes has held, in KiB, as far as `measure` was called.
  private(set) var highestKiB = 0

  init(_ tool: Tool, in namespace: NetworkNamespace?) {
    (self.tool, self.namespace) = (tool, namespace)
  }

  deinit { program?.killGroup() }

  /// Starts the command with these arguments.
  func run(_ arguments: [String], vault: String? = nil) throws -> Program {
    let command = [Product.tidemark] + arguments
    let whole = namespace?.inside(command) ?? command
    var variables = tool.variables
    if let vault { variables["TIDEMARK_VAULT"] = vault }
    return try Program(
      whole[0], Array(whole.dropFirst()), environment: variables, in: tool.directory.path)
  }

  func begin(_ arguments: [String], vault: String? = nil) throws {
    program = try run(arguments, vault: vault)
  }

  /// Changes a JSON document that a command has left.
  func edit(_ path: String, _ change: (inout [String: Any]) throws -> Void) throws {
    let bytes = try FileSystem.system.readFile(path, limit: 1 << 20)
    var document = try #require(
      try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    try change(&document)
    try FileSystem.system.replaceFile(
      path, with: Array(try JSONSerialization.data(withJSONObject: document)), permissions: 0o600)
  }

  /// kill -9, at whatever it is just doing.
  func kill() {
    measure()
    program?.killGroup()
    _ = program?.wait(seconds: 20)
  }

  /// Asks it to end, and waits until it has.
  func stop() throws {
    measure()
    let program = try #require(program)
    program.signal(SIGTERM)
    let result = program.wait(seconds: 60)
    #expect(result.status == 0, "\(result.report)")
  }

  /// Notes the most memory that the process has held until now.
  func measure() {
    guard let program, program.isRunning,
      let text = try? String(
        contentsOfFile: "/proc/\(program.processIdentifier)/status", encoding: .utf8),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM") }),
      let number = line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) })
    else { return }
    highestKiB = max(highestKiB, number)
  }
}

/// A service that is killed and started again; each start takes other ports, which `links` follow.
final class ServiceWorker: Worker {
  /// Where agents and their commands connect, instead of to the service itself.
  struct Links {
    let https: FaultyLink
    let replication: FaultyLink
  }

  /// Where its vault lies now.
  var vault: String
  private var links: [Links] = []
  private var ports = (https: 1, replication: 1)

  override init(_ tool: Tool, in namespace: NetworkNamespace? = nil) {
    vault = tool.vault
    super.init(tool, in: namespace)
  }

  /// Starts it, waits until it serves, and leads the links to it.
  func start() throws {
    try begin(
      [
        "serve", "--socket", tool.file("s/api.sock"), "--time-source", "none", "--https-port", "0",
        "--replication-port", "0",
      ], vault: vault)
    let isReady = Program.poll(seconds: 30) { [program] in
      program?.isRunning != true || program?.outputSoFar.errors.contains("Serving") == true
    }
    guard isReady, let program, program.isRunning else {
      let result = try #require(program?.wait(seconds: 0))
      throw ProgramFailure(command: "serve", result: result)
    }
    let bytes = try FileSystem.system.readFile(vault + "/service.json", limit: 65536)
    let notice = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    ports = (
      try #require(notice?["httpsPort"] as? Int), try #require(notice?["replicationPort"] as? Int)
    )
    for link in links { lead(link) }
  }

  private func lead(_ link: Links) {
    link.https.redirect(to: ports.https)
    link.replication.redirect(to: ports.replication)
  }

  /// Links to wherever the service is, for a peer in `namespace`.
  func link(for namespace: NetworkNamespace?) throws -> Links {
    let (host, address) = (self.namespace?.far ?? "127.0.0.1", namespace?.near ?? "127.0.0.1")
    let made = Links(
      https: try FaultyLink(to: ports.https, at: host, listeningOn: address),
      replication: try FaultyLink(to: ports.replication, at: host, listeningOn: address))
    links.append(made)
    return made
  }
}

/// An agent that is killed and started again, and its commands.
final class AgentWorker: Worker {
  let name: String
  let state: String
  let links: ServiceWorker.Links

  init(_ name: String, of service: ServiceWorker, in namespace: NetworkNamespace? = nil) throws {
    self.name = name
    state = service.tool.file("state-" + name)
    links = try service.link(for: namespace)
    super.init(service.tool, in: namespace)
  }

  func start() throws { try begin(["agent", "run", "--state", state]) }

  func require(_ arguments: String...) throws {
    let result = try run(["agent"] + arguments + ["--state", state]).wait(seconds: 60)
    try #require(result.succeeded, "\(arguments): \(result.report)")
  }

  /// Enrols, adds the disks and has the machine protected: the agent's next start begins to copy.
  func protect(_ images: [String], capture: String, interval: Int) throws {
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    let host = namespace?.near ?? "127.0.0.1"
    try require(
      "enrol", "--service", "\(host):\(links.https.port)", "--key", key, "--name", name)
    try send(to: links.replication.port)
    for image in images { try require("add-disk", image, "--capture", capture) }
    try start()
    let isKnown = Program.poll(seconds: 30) { status.state == "unprotected" }
    try #require(isKnown, "\(status)")
    kill()
    try tool.require("machine", "enable", name, "--interval", String(interval))
  }

  /// Has a cycle begin at once, by a restart that costs nothing, and waits for the recovery point that shows
  /// the disk as it is now.
  func cycle(seconds: Double = 120) throws {
    let before = status.point
    kill()
    try start()
    let isMade = Program.poll(seconds: seconds) {
      status.point != before && status.state == "waiting"
    }
    try #require(isMade, "\(status) \(String(describing: program?.outputSoFar))")
  }

  /// Has the agent send to another port of the service: that of a link.
  func send(to port: Int) throws {
    try edit(state + "/agent.json") { document in
      var service = try #require(document["service"] as? [String: Any])
      service["replicationPort"] = port
      document["service"] = service
    }
  }

  /// What the agent tells of itself.
  struct Status {
    var state = ""
    /// The newest number that it was told is durable.
    var durable: UInt64 = 0
    /// The newest recovery point that it was told of.
    var point: String?
  }

  var status: Status {
    guard let bytes = try? FileSystem.system.readFile(state + "/status.json", limit: 1 << 20),
      let object = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    else { return Status() }
    return Status(
      state: object["state"] as? String ?? "",
      durable: ((object["durable"] as? [String: Any])?["sequence"] as? UInt64) ?? 0,
      point: (object["lastPoint"] as? [String: Any])?["id"] as? String)
  }
}
