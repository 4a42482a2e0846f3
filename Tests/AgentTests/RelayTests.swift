import Bytes
import Dispatch
import FileIO
import Identity
import Replication
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations
@testable import ReplicationService

/// Goal: a relay carries what it should and can't do harm: nothing is lost, whatever happens to it and its
/// links, and nobody is believed who should not be. Method: a vault in service, real relays and a real agent
/// over TLS, with links that are made to fail.
@Suite(.serialized) struct RelayTests {
  @Test(
    "a machine sent to a relay makes its points through it, equal to the disk, and stays with it")
  func normal() throws {
    var random = SeededGenerator(for: "relayed cycles")
    let site = try RelaySite()
    try site.write(random.bytes(9 << 20), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.becomesEqual())
    #expect(relay.front.bytesForward > 9 << 20)
    #expect(site.link.bytesForward < 1 << 20, "the service itself was only asked where to go")
    #expect(
      agent.becomes { $0.processServer != nil && $0.state == .waiting && $0.lastError == nil })
    try site.write(random.bytes(4096), at: 5 << 20)
    #expect(site.becomesEqual())
    let servers = try site.service.servers(version: "test", port: site.port)
    #expect(servers.map(\.name) == ["service", "relay01"])
    #expect(servers[1].machines == ["web01"] && servers[0].machines == [])
    try site.service.refreshServer("relay01")
    let load = try #require(
      try site.service.servers(version: "test", port: site.port)[1].load)
    #expect(load.machines == 1 && load.cacheFree > 0 && load.memory > 0)
    // It goes straight to the relay after a restart.
    #expect(agent.end())
    let asked = site.link.connections
    let again = try RelayedAgent(site)
    try site.write(random.bytes(4096), at: 6 << 20)
    #expect(site.becomesEqual())
    #expect(site.link.connections == asked)
    #expect(again.end() && relay.end())
    #expect(try site.isSound())
  }

  @Test("links before and behind the relay are cut, reset and stalled, and every byte arrives")
  func faults() throws {
    var random = SeededGenerator(for: "faults of relays")
    let site = try RelaySite(size: 48 << 20)
    try site.write(random.bytes(40 << 20), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    relay.front.limit(bytesPerSecond: 24 << 20)
    let agent = try RelayedAgent(site)
    for round in 0..<8 {
      let link = random.once(in: 2) ? relay.front : relay.back
      let before = link.bytesForward
      _ = Program.poll(seconds: 4) { link.bytesForward > before + (2 << 20) }
      switch round % 3 {
      case 0: link.cut()
      case 1: link.reset()
      default:
        link.stall()
        _ = Program.poll(seconds: 0.5) { false }
        link.resume()
      }
    }
    relay.front.limit(bytesPerSecond: nil)
    #expect(site.becomesEqual())
    #expect(agent.end() && relay.end())
    #expect(try site.isSound())
  }

  @Test(
    "while the service is away the relay goes on taking groups, and a restarted relay finds them")
  func serviceAway() throws {
    var random = SeededGenerator(for: "services away")
    let site = try RelaySite(size: 32 << 20)
    try site.write(random.bytes(24 << 20), at: 1 << 20)
    let credentials = try site.enrolRelay("relay01")
    let relay = try RunningRelay(site, credentials)
    try site.protect(through: "relay01")
    relay.front.limit(bytesPerSecond: 16 << 20)
    let agent = try RelayedAgent(site)
    #expect(Program.poll(seconds: 20) { relay.back.bytesForward > 4 << 20 })
    relay.back.refuse(true)
    relay.back.reset()
    #expect(Program.poll(seconds: 20) { relay.relay.pendingBytes > 6 << 20 })
    let before = try site.points.count
    // The relay ends with groups in its cache, and another takes its place.
    #expect(relay.end())
    let kept = relay.relay.pendingBytes
    #expect(kept > 6 << 20)
    let second = try RunningRelay(site, credentials, front: relay.front)
    #expect(Program.poll(seconds: 20) { second.relay.pendingBytes == 0 })
    #expect(try site.points.count >= before)
    second.front.limit(bytesPerSecond: nil)
    #expect(site.becomesEqual())
    #expect(second.notes.all.allSatisfy { !$0.message.contains("dropped") })
    #expect(agent.end() && second.end())
    #expect(try site.isSound())
  }

  @Test("a full cache holds the agent back, within its bound, until there is room again")
  func fullCache() throws {
    var random = SeededGenerator(for: "full caches")
    let site = try RelaySite(size: 40 << 20)
    try site.write(random.bytes(36 << 20), at: 1 << 20)
    let limit: UInt64 = 6 << 20
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"), limit: limit)
    try site.protect(through: "relay01")
    relay.back.limit(bytesPerSecond: 1 << 20)
    let agent = try RelayedAgent(site)
    var most: UInt64 = 0
    #expect(
      Program.poll(seconds: 20) {
        most = max(most, relay.relay.pendingBytes)
        return most > limit / 2
      })
    _ = Program.poll(seconds: 2) {
      most = max(most, relay.relay.pendingBytes)
      return false
    }
    #expect(most <= limit)
    // What the agent has sent ahead is bounded too: its window, and what the link holds.
    #expect(relay.front.bytesForward < Int(limit) + Int(AgentHandler.window) + (8 << 20))
    relay.back.limit(bytesPerSecond: nil)
    #expect(site.becomesEqual())
    #expect(agent.end() && relay.end())
  }

  @Test("a machine that is moved to and fro under load loses nothing")
  func moves() throws {
    var random = SeededGenerator(for: "moves of machines")
    let site = try RelaySite(size: 48 << 20)
    try site.write(random.bytes(40 << 20), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect()
    site.link.limit(bytesPerSecond: 16 << 20)
    relay.front.limit(bytesPerSecond: 16 << 20)
    let agent = try RelayedAgent(site)
    for round in 0..<4 {
      let (link, next) = round % 2 == 0 ? (site.link, "relay01") : (relay.front, "service")
      let before = link.bytesForward
      #expect(Program.poll(seconds: 20) { link.bytesForward > before + (3 << 20) }, "\(round)")
      try site.send(to: next)
    }
    site.link.limit(bytesPerSecond: nil)
    relay.front.limit(bytesPerSecond: nil)
    #expect(site.becomesEqual())
    #expect(agent.end() && relay.end())
    #expect(try site.isSound())
  }

  @Test("a relay that dies is told of, and a machine moved away from it goes on without it")
  func deadRelay() throws {
    var random = SeededGenerator(for: "dead relays")
    let site = try RelaySite()
    try site.write(random.bytes(5 << 20), at: 1 << 20)
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.becomesEqual())
    relay.front.refuse(true)
    relay.front.reset()
    #expect(agent.becomes { $0.lastError != nil })
    try site.write(random.bytes(9000), at: 2 << 20)
    try site.send(to: "service")
    #expect(site.becomesEqual())
    #expect(agent.becomes { $0.processServer == nil && $0.lastError == nil })
    #expect(agent.end() && relay.end())
  }

  @Test(
    "a relay does not get in as an agent, for a machine of another server, or once it is removed")
  func strangers() throws {
    let site = try RelaySite()
    let credentials = try site.enrolRelay("relay01")
    try site.protect()
    let client = try Client(credentials: credentials, now: { .now() })
    func ask(_ frames: Frame...) throws -> [Frame] {
      let connection = try client.connect(to: "127.0.0.1", port: site.port, within: .seconds(5))
      defer { connection.close() }
      for frame in frames { try connection.send(frame, within: .seconds(5)) }
      var answers: [Frame] = []
      while let answer = try? connection.receive(within: .seconds(5)) {
        answers.append(answer)
        if answer.type == MessageType.refusal.rawValue { break }
      }
      return answers
    }
    var hello = Hello(
      release: "1", hostName: "web01", system: "", addresses: [], clock: .now(), held: .zero,
      disks: [])
    // As if it were the agent.
    let plain = try #require(try ask(hello.frame()).first)
    #expect(try Refusal(plain).code == .protocolBroken)
    // With the agent's certificate, and a hello that is not the agent's.
    let agent = RelayHello(
      .session, certificate: site.credentials.identity.certificateDER, session: .random())
    hello.signature = try credentials.signingKey.sign(hello.digest())
    let forged = try #require(try ask(agent.frame(), hello.frame()).last)
    #expect(try Refusal(forged).code == .protocolBroken)
    // With the agent's own hello, for a machine that is not the relay's.
    hello.signature = try site.credentials.signingKey.sign(hello.digest())
    let answers = try ask(agent.frame(), hello.frame())
    let sealed = try #require(answers.last.flatMap { Seal.content(of: $0) })
    #expect(try Refusal(sealed).code == .moved && Refusal(sealed).place == .service)
    #expect(answers.last?.flags == Seal.flag)
    // With its own certificate for the agent's, or with something left of no session.
    let own = RelayHello(
      .session, certificate: credentials.identity.certificateDER, session: .random())
    #expect(try Refusal(try #require(try ask(own.frame()).last)).code == .unknown)
    var rest = agent
    rest.purpose = .drain
    #expect(try Refusal(try #require(try ask(rest.frame()).last)).code == .unknown)
    try site.service.removeServer("relay01")
    #expect(throws: TransportError.self) {
      let connection = try client.connect(
        to: "127.0.0.1", port: site.port, within: .seconds(5))
      try connection.send(agent.frame(), within: .seconds(5))
      _ = try connection.receive(within: .seconds(5))
    }
  }

  @Test("a machine that is revoked is cut off behind its relay, and the relay lets it in no more")
  func revokedAgent() throws {
    let site = try RelaySite()
    let relay = try RunningRelay(site, try site.enrolRelay("relay01"))
    try site.protect(through: "relay01")
    let agent = try RelayedAgent(site)
    #expect(site.hasPoints(1))
    try site.service.revoke("web01")
    #expect(agent.becomes { $0.lastError != nil })
    #expect(Program.poll(seconds: 10) { relay.front.liveConnections == 0 })
    #expect(agent.end() && relay.end())
  }

  @Test("a server that is critical or not known can't be chosen, and one in use can't be removed")
  func choices() throws {
    let site = try RelaySite()
    let credentials = try site.enrolRelay("relay01")
    #expect(throws: OperationError.self) {
      try site.send(to: "relay01")
    }
    #expect(throws: OperationError.self) {
      try site.send(to: "relay02")
    }
    #expect(throws: OperationError.self) { try site.service.refreshServer("relay01") }
    let relay = try RunningRelay(site, credentials)
    try site.send(to: "relay01")
    #expect(throws: OperationError.self) { try site.service.removeServer("relay01") }
    #expect(throws: OperationError.self) { try site.enrolRelay("RELAY01") }
    #expect(throws: OperationError.self) { try site.enrolRelay("service") }
    #expect(relay.end())
  }
}

/// A loop on a thread of its own, in a site with relays.
final class RelayedAgent {
  private let directory: AgentDirectory
  private let cancellation = Cancellation()
  private let isOver: RunningRelay.Flag

  init(_ site: RelaySite) throws {
    directory = site.agent
    let (directory, cancellation, isOver) = (site.agent, cancellation, RunningRelay.Flag())
    self.isOver = isOver
    let lock = try directory.lock()
    DispatchQueue(label: "test.agent").async {
      var pace = AgentPace()
      (pace.attempt, pace.report) = (.seconds(5), .milliseconds(50))
      pace.look = .milliseconds(200)
      (pace.unknown, pace.rare) = (.milliseconds(200), .milliseconds(200))
      let loop = AgentLoop(
        directory, lock: lock, release: "test", pace: pace, cancellation: cancellation
      ) { _ in }
      #expect(throws: Never.self) { try loop.run() }
      isOver.set()
    }
  }

  deinit { cancellation.cancel() }

  func becomes(_ condition: (AgentCondition) -> Bool) -> Bool {
    Program.poll(seconds: 20) { directory.status().map(condition) ?? false }
  }

  func end() -> Bool {
    cancellation.cancel()
    return Program.poll(seconds: 15) { isOver.isSet }
  }
}
