internal import FileIO
internal import Foundation
internal import Support

/// A machine whose agent runs when it is told to.
final class Machine {
  let name: String
  let state: String
  private let site: Site

  init(_ name: String, _ site: Site) {
    (self.name, self.site) = (name, site)
    state = "\(site.path)/\(name)"
  }

  /// What a cycle came to, by the agent's own account and the kernel's.
  struct Cycle {
    /// From the moment before the clones to the durable recovery point.
    var seconds: Double
    /// Bytes of the pages that differed.
    var changed: Double
    /// Bytes that the agent sent on its connection, all told.
    var sent: Double
    /// The agent's processor time, from its start.
    var processorTime: Double
    /// The most memory the agent had resident, in MiB.
    var memory: Double
  }

  struct NoCycle: Error, CustomStringConvertible {
    let name: String
    let output: String
    var description: String { "The agent of \(name) made no recovery point: \(output)" }
  }

  /// Runs the agent until the service has heard of its disks, and enables the machine.
  func protect() throws {
    let agent = try start()
    defer { end(agent) }
    let isHeard = Program.poll(seconds: 60) {
      agent.outputSoFar.errors.contains("not enabled") || !agent.isRunning
    }
    guard isHeard, agent.isRunning else {
      throw NoCycle(name: name, output: agent.outputSoFar.errors)
    }
    try site.enable(name)
  }

  /// Starts the agent: its first cycle begins at once.
  func start() throws -> Program { try site.start(["agent", "run", "--state", state]) }

  /// Ends the agent.
  func end(_ agent: Program) {
    agent.signal(SIGTERM)
    _ = agent.wait(seconds: 60)
  }

  /// Runs the agent for one cycle.
  func cycle() throws -> Cycle {
    let agent = try start()
    defer { end(agent) }
    return try finish(agent)
  }

  /// Waits until a running agent has made a recovery point.
  func finish(_ agent: Program) throws -> Cycle {
    let isDone = Program.poll(seconds: 1800) {
      agent.outputSoFar.errors.contains(Self.sign) || !agent.isRunning
    }
    let output = agent.outputSoFar.errors
    let line = output.split(separator: "\n").first { $0.contains(Self.sign) }
    guard isDone, let line, let seconds = Self.field("seconds", of: line),
      let changed = Self.field("changed", of: line)
    else { throw NoCycle(name: name, output: output) }
    return Cycle(
      seconds: seconds, changed: changed, sent: try bytesSent(by: agent),
      processorTime: agent.processorTime, memory: agent.peakMemory)
  }

  private static let sign = "Made a recovery point"

  private static func field(_ name: String, of line: Substring) -> Double? {
    line.split(separator: " ").first { $0.hasPrefix(name + "=") }
      .flatMap { Double($0.dropFirst(name.count + 1)) }
  }

  /// What the kernel has sent on the agent's connection with the service: `bytes_sent` of ss(8).
  private func bytesSent(by agent: Program) throws -> Double {
    let output = try Program.require(
      "ss", "--no-header", "--tcp", "--info", "--processes", "--numeric", "dport", "=",
      ":\(site.replicationPort)")
    let lines = output.split(separator: "\n")
    let place = lines.firstIndex { $0.contains("pid=\(agent.processIdentifier),") }
    guard let place, place + 1 < lines.count else { return 0 }
    let word = lines[place + 1].split(separator: " ").first { $0.hasPrefix("bytes_sent:") }
    return word.flatMap { Double($0.split(separator: ":")[1]) } ?? 0
  }
}
