import Bytes
import Catalog
import FileIO
import Identity
import Operations
import Replication
import Support
import Testing

@testable import Agent
@testable import ReplicationService

/// Goal: an agent that reaches nobody but its relay keeps its certificate good, and a relay that is of no use,
/// or lies, keeps nobody from that. Method: a real relay and no way to the service; a relay that makes things
/// up, and the service beside it.
@Suite(.serialized) struct RelayedRenewalTests {
  /// Says no, or shows a certificate of somebody else.
  private final class Liar: ConnectionHandler {
    private let answer: Frame

    init(_ answer: Frame) { self.answer = answer }

    func connected(_ connection: Connection) {}

    func received(_ frame: Frame, on connection: Connection) {
      guard frame.type == MessageType.renewal.rawValue else { return connection.close() }
      try? connection.send(answer, within: .seconds(5))
    }

    func closed(_ connection: Connection, error: TransportError?) {}
  }

  /// Gives the agent a certificate that is to be renewed at once.
  private static func age(_ site: RelaySite) throws {
    let role = Role.agent(site.machine)
    let made = try site.agent.identity().renew(
      from: try site.service.authority(), role: role, validity: .seconds(60), now: .now())
    try site.service.catalog.add(
      CertificateRecord(
        serial: made.issued.serial, role: "agent", subject: site.machine.description,
        notBefore: made.issued.notBefore, notAfter: made.issued.notAfter))
  }

  private static func isRenewed(_ site: RelaySite) -> Bool {
    Program.poll(seconds: 20) {
      (try? site.agent.identity().load())?.needsRenewal(at: .now()) == false
    }
  }

  @Test("an agent with no way to the service renews through its relay")
  func throughRelay() throws {
    let site = try RelaySite()
    let credentials = try site.enrolRelay("relay01")
    let relay = try RunningRelay(site, credentials)
    try Self.age(site)
    let id = try #require(credentials.identity.role.subject)
    try site.agent.save(
      ServerPlace(relay: id, hosts: ["127.0.0.1"], port: UInt16(relay.front.port)))
    // Nobody listens there.
    site.link.redirect(to: 1)
    let agent = try RelayedAgent(site)
    #expect(Self.isRenewed(site))
    #expect(agent.end() && relay.end())
  }

  @Test(
    "what a relay says of a renewal is not believed: the service is asked",
    arguments: [true, false])
  func lies(isRefusal: Bool) throws {
    let site = try RelaySite()
    let credentials = try site.enrolRelay("relay01")
    try Self.age(site)
    let id = try #require(credentials.identity.role.subject)
    let answer =
      isRefusal
      ? Refusal(.unknown, "Enrol again.").frame()
      : Renewed(certificate: credentials.certificatePEM).frame()
    var settings = ListenerSettings()
    (settings.address, settings.port) = ("127.0.0.1", 0)
    let listener = try Listener(
      credentials: credentials, settings: settings, now: { .now() }, isRevoked: { _ in false },
      report: { _ in }, makeHandler: { _ in Liar(answer) })
    defer { try? listener.stop(within: .seconds(5)) }
    try site.agent.save(
      ServerPlace(relay: id, hosts: ["127.0.0.1"], port: UInt16(listener.port)))
    let agent = try RelayedAgent(site)
    #expect(Self.isRenewed(site))
    #expect(agent.end())
  }
}
