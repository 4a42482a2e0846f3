import FileIO
import Foundation
import Support
import Testing

/// A relay that is killed and started again, always at the same port.
final class RelayWorker: Worker {
  let name: String
  /// From the relay to the service.
  let links: ServiceWorker.Links
  /// From agents to the relay.
  let front: FaultyLink
  /// How often a process dropped groups that it had said it holds.
  private(set) var drops = 0
  private let state: String
  private let host: String

  /// A relay in a namespace, for agents of another; both are nil where there are none.
  init(
    _ name: String, of service: ServiceWorker, in namespace: NetworkNamespace?,
    for agents: NetworkNamespace?
  ) throws {
    self.name = name
    state = service.tool.file("state-" + name)
    links = try service.link(for: namespace)
    // The relay tells agents the port that it listens on, so the link has the same one, elsewhere.
    host = agents?.near ?? "127.0.0.2"
    front = try FaultyLink(to: 1, at: namespace?.far ?? "127.0.0.1", listeningOn: host)
    front.redirect(to: front.port)
    super.init(service.tool, in: namespace)
  }

  /// Makes it known to the service, starts it, and waits until the service knows where it is.
  func enrol() throws {
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    let service = "\(namespace?.near ?? "127.0.0.1"):\(links.https.port)"
    let result = try run([
      "relay", "enrol", "--service", service, "--key", key, "--name", name, "--state", state,
    ]).wait(seconds: 60)
    try #require(result.succeeded, "\(result.report)")
    try edit(state + "/relay.json") { $0["replicationPort"] = links.replication.port }
    try start()
    let isKnown = try Program.poll(seconds: 30) {
      try tool.json("server", "show", name)["port"] as? Int == front.port
    }
    try #require(isKnown, "\(String(describing: program?.outputSoFar))")
  }

  /// Starts it, and waits until it listens; its cache holds little, so that it is full at times.
  func start() throws {
    try begin([
      "serve", "--relay", "--state", state, "--replication-port", String(front.port),
      "--replication-address", namespace == nil ? "127.0.0.1" : "0.0.0.0", "--advertise", host,
      "--cache-size", "64M", "--time-source", "none",
    ])
    let isReady = Program.poll(seconds: 30) { [program] in
      program?.isRunning != true || program?.outputSoFar.errors.contains("Relaying") == true
    }
    guard isReady, let program, program.isRunning else {
      let result = try #require(program?.wait(seconds: 0))
      throw ProgramFailure(command: "serve --relay", result: result)
    }
  }

  override func measure() {
    super.measure()
    let told = program?.outputSoFar.errors.components(separatedBy: "is dropped; its agent") ?? []
    drops += max(0, told.count - 1)
  }
}
