import Bytes
import Dispatch
import FileIO
import Identity
import Operations
import Replication
import ReplicationService
import Support
import Synchronization
import Testing
import Vault

@testable import Agent

/// Goal: what one machine does costs no other its service, and doing nothing costs next to nothing. Method:
/// more sessions than the listener has threads, and a log whose size is watched.
@Suite(.serialized) struct CrowdTests {
  @Test("sessions that wait for an older one of their machine hold up no other machine")
  func waiting() throws {
    var settings = ListenerSettings()
    settings.handlerThreads = 8
    let site = try ServiceSite("crowd", settings: settings)
    let credentials = try site.enrol()
    try site.protect()
    let disks = try site.agent.configuration().disks
    let machine = try site.service.vault.machine(named: "web01")
    let other = try ServiceSite.stranger(of: site)
    let answers = try site.service.writable.writing(to: machine) { () throws(OperationError) in
      // Somebody writes to the log and does not end.
      do {
        let crowd = try (0..<24).map { _ in try site.connect(credentials) }
        for connection in crowd {
          try connection.send(ServiceSite.hello(disks).frame(), within: .seconds(5))
        }
        let clock = ContinuousClock()
        let start = clock.now
        let connection = try site.connect(other)
        try connection.send(ServiceSite.hello().frame(), within: .seconds(5))
        let answer = try Refusal(try connection.receive(within: .seconds(10)))
        #expect(answer.code == .unprotected)
        #expect(clock.now - start < .seconds(2))
        return try crowd.map { try Refusal(try $0.receive(within: .seconds(30))).code }
      } catch { throw OperationError(.failed, "\(error)") }
    }
    #expect(answers.allSatisfy { $0 == .busy })
    let session = try ServiceSession(
      try site.connect(credentials), hello: ServiceSite.hello(disks),
      sign: credentials.signingKey.signGroup)
    #expect(session.assignment.state == .protected)
  }

  @Test("heartbeats of an idle agent add nothing to the log, in one session and the next")
  func idle() throws {
    let site = try Site(sizes: [4 << 20])
    try site.write([1, 2, 3], at: 0)
    _ = try site.cycle()
    /// Sends signs of life in a session of its own, and gives how long the log's files are after each.
    func sizes() throws -> [UInt64] {
      let client = try Client(credentials: site.credentials, now: { .now() })
      let connection = try client.connect(
        to: "127.0.0.1", port: site.link.port, within: .seconds(10))
      defer { connection.close() }
      try connection.send(ServiceSite.hello(site.disks).frame(), within: .seconds(5))
      _ = try Welcome(try connection.receive(within: .seconds(10)))
      return try (0..<6).map { _ in
        try connection.send(Heartbeat(clock: .now()).frame(), within: .seconds(5))
        _ = try Heartbeat(try connection.receive(within: .seconds(10)))
        return try site.logSize()
      }
    }
    let first = try sizes()
    #expect(Set(first).count == 1, "\(first)")
    #expect(try Set(sizes()) == Set(first))
  }

  @Test("a key that does not sign ends the session with the reason, and nothing is stored")
  func unsigned() throws {
    let site = try Site(sizes: [4 << 20])
    try site.write([1, 2, 3], at: 0)
    let client = try Client(credentials: site.credentials, now: { .now() })
    let connection = try client.connect(to: "127.0.0.1", port: site.link.port, within: .seconds(10))
    let session = try ServiceSession(connection, hello: ServiceSite.hello(site.disks)) {
      _ throws(ProtocolError) in throw ProtocolError(.unsigned, "The key is gone.")
    }
    let group = Group(last: SequenceNumber(rawValue: 1), end: .commit, records: [])
    #expect { try session.send(group) } throws: { "\($0)" == "The key is gone." }
    #expect(session.failure?.message == "The key is gone.")
    #expect(throws: AgentError.self) { try session.send(group) }
    #expect(site.host.notes.bytes == 0)
  }
}
