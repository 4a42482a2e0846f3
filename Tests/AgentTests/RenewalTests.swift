import Bytes
import Catalog
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

/// Goal: a machine's certificate never runs out by itself, nobody gets one that is not his, and one that
/// has run out says what to do. Method: certificates that are good for minutes, a vault in service, and the
/// agent's own loop.
@Suite(.serialized) struct RenewalTests {
  /// What was told of new certificates.
  private final class Told: Sendable {
    let serials = Mutex<[String]>([])
    var all: [String] { serials.withLock { $0 } }
  }

  /// Long enough ago that what was good for a minute then is not any more, and not before the vault was.
  private static var past: Timestamp { Timestamp(seconds: Timestamp.now().seconds - 500) }

  private static func renewal(
    _ credentials: Credentials, _ request: CertificateRequest
  ) throws -> Renewal {
    var renewal = Renewal(certificate: credentials.certificatePEM, request: request.pem)
    renewal.signature = try credentials.signingKey.sign(renewal.digest)
    return renewal
  }

  /// What the service says of a wish that `peer` carries; nil if it is granted.
  private static func refusal(
    _ site: ServiceSite, _ renewal: Renewal, from peer: PeerIdentity
  ) -> Refusal.Code? {
    do throws(Rejection) {
      _ = try site.service.agentHost.renew(renewal, from: peer)
      return nil
    } catch { return error.refusal.code }
  }

  @Test("a machine that nobody has enabled renews its certificate too, and the old one stays good")
  func unprotected() throws {
    let site = try ServiceSite("renewal")
    try site.enrol()
    let old = try site.replaceCertificate(validSeconds: 60)
    let agent = try RunningAgent(site.agent)
    let isRenewed = Program.poll(seconds: 20) {
      (try? site.agent.identity().load())?.needsRenewal(at: .now()) == false
    }
    #expect(isRenewed)
    #expect(agent.becomes { $0.state == .unprotected && $0.renewalError == nil })
    #expect(agent.end())
    let new = try site.agent.identity().load()
    #expect(new.identity.role == old.identity.role)
    #expect(new.identity.verifyingKey != old.identity.verifyingKey)
    #expect(site.agent.status()?.certificateExpires == new.identity.notAfter.iso8601)
    for serial in [old.identity.serial, new.identity.serial] {
      let record = try #require(try site.service.catalog.certificate(serial: serial))
      #expect(record.revoked == nil && record.subject == old.identity.role.subject?.description)
    }
    let connection = try site.connect(old)
    try connection.send(ServiceSite.hello().frame(), within: .seconds(5))
    let answer = try connection.receive(within: .seconds(5))
    #expect(try Refusal(answer).code == .unprotected)
  }

  @Test("a session that lives goes over to the new certificate, and nothing is copied again")
  func inSession() throws {
    let site = try ServiceSite("renewal-live")
    try site.enrol()
    try site.protect()
    let old = try site.replaceCertificate(validSeconds: ServiceSite.life(renewedIn: 2))
    let machine = try #require(old.identity.role.subject)
    let agent = try RunningAgent(site.agent)
    #expect(agent.becomes { $0.lastPoint != nil })
    #expect(try site.agent.identity().load().identity == old.identity)
    let isRenewed = Program.poll(seconds: 20) {
      (try? site.agent.identity().load().identity) != old.identity
    }
    #expect(isRenewed)
    // Once nobody connects with the old one it can go.
    #expect(agent.becomes { $0.state == .waiting })
    let opened = Program.poll(seconds: 10) {
      let peers = site.service.agentHost.peers
      return peers.count == 1 && peers.first?.serial != old.identity.serial
        && site.service.agentHost.isConnected(machine)
    }
    #expect(opened)
    #expect(agent.end())
    #expect(try site.service.vault.machine(named: "web01").snapshot().points.count == 1)
  }

  @Test("an agent that is killed between its key and its certificate renews at its next start")
  func crash() throws {
    let site = try ServiceSite("renewal-crash")
    try site.enrol()
    let old = try site.replaceCertificate(validSeconds: 60)
    // The key is there and the service has issued, but the answer never came.
    let request = try site.agent.identity().makeRequest(for: old.identity.role)
    #expect(
      Self.refusal(site, try Self.renewal(old, request), from: old.identity) == nil)
    #expect(try site.agent.identity().load().identity == old.identity)
    let agent = try RunningAgent(site.agent)
    let isRenewed = Program.poll(seconds: 20) {
      (try? site.agent.identity().load())?.needsRenewal(at: .now()) == false
    }
    #expect(isRenewed)
    #expect(agent.end())
  }

  @Test("nobody gets a certificate for a wish that is forged, revoked, expired or another's")
  func refused() throws {
    let site = try ServiceSite("renewal-refused")
    let good = try site.enrol()
    let files = try IdentityFiles(in: site.directory.file("other"))
    func issue(
      _ role: Role, validSeconds: Int64 = 3600, now: Timestamp = .now()
    ) throws -> Credentials {
      try files.renew(
        from: try site.service.authority(), role: role, validity: .seconds(validSeconds), now: now
      ).credentials
    }
    let (other, relay) = (try issue(.agent(.random())), try issue(.relay(.random())))
    let request = try files.makeRequest(for: .service)
    let wish = try Self.renewal(good, request)
    // A relay hands it on, and what comes of it is for the agent, whatever the request says.
    let granted = try site.service.agentHost.renew(wish, from: relay.identity)
    let trust = try site.service.authority().trust
    let made = try trust.verify(certificatePEM: granted.certificate, now: .now())
    #expect(made.role == good.identity.role)
    #expect(Self.refusal(site, wish, from: other.identity) == .unknown)
    var forged = wish
    forged.request = try files.makeRequest(for: .service).pem
    #expect(Self.refusal(site, forged, from: relay.identity) == .unknown)
    // A certificate that the catalog does not know, one that is no longer good, and no certificate.
    #expect(
      Self.refusal(site, try Self.renewal(other, request), from: other.identity) == .unknown)
    let late = try issue(good.identity.role, validSeconds: 60, now: Self.past)
    #expect(Self.refusal(site, try Self.renewal(late, request), from: late.identity) == .unknown)
    #expect(
      Self.refusal(site, Renewal(certificate: "x", request: "y"), from: good.identity) == .unknown)
    // Said again, it is the same wish.
    for _ in 0..<50 {
      #expect(
        try site.service.agentHost.renew(wish, from: relay.identity).certificate
          == granted.certificate)
    }
    // However many it makes, what it gets in a day has an end.
    func ask(_ number: Int) throws -> Refusal.Code? {
      let files = try IdentityFiles(in: site.directory.file("wish\(number)"))
      return Self.refusal(
        site, try Self.renewal(good, try files.makeRequest(for: .service)), from: good.identity)
    }
    let refused = try (0..<20).first { try ask($0) != nil }
    #expect(refused.map { (1..<15).contains($0) } ?? false)
    try site.service.revoke("web01")
    #expect(Self.refusal(site, wish, from: relay.identity) == .unknown)
    #expect(Self.refusal(site, wish, from: good.identity) == .unknown)
    let connection = try site.connect(good)
    #expect(throws: TransportError.self) { try connection.receive(within: .seconds(5)) }
  }

  @Test("a certificate whose time is over is refused at TLS, and the agent says to enrol again")
  func expired() throws {
    let site = try ServiceSite("renewal-expired")
    try site.enrol()
    let old = try site.replaceCertificate(validSeconds: 60, now: Self.past)
    let connection = try site.connect(old, now: Self.past)
    #expect { try connection.receive(within: .seconds(5)) } throws: {
      ($0 as? TransportError)?.code == .rejected
    }
    let isTold = Program.poll(seconds: 5) {
      let events = (try? site.service.events(after: 0, limit: 50)) ?? []
      return events.contains { $0.message.contains("expired at") }
    }
    #expect(isTold)
    let agent = try RunningAgent(site.agent)
    #expect(
      agent.becomes {
        $0.state == .refused && $0.lastError?.message.contains("agent enrol --again") == true
      })
    #expect(agent.end())
    // So it says too while none runs.
    let status = try site.agent.currentStatus()
    #expect(status.lastError?.message.contains("agent enrol --again") == true)
    #expect(status.certificateExpires == old.identity.notAfter.iso8601)
  }

  @Test("connections made with a certificate that has expired since are cut")
  func cutExpired() throws {
    let site = try ServiceSite("renewal-cut")
    let credentials = try site.enrol()
    let connection = try site.connect(credentials)
    #expect(Program.poll(seconds: 5) { site.service.agentHost.peers.count == 1 })
    try site.service.maintainCertificates(now: .now())
    #expect(site.service.agentHost.peers.count == 1)
    let late = Timestamp(seconds: credentials.identity.notAfter.seconds + 1)
    try site.service.maintainCertificates(now: late)
    #expect(throws: TransportError.self) { try connection.receive(within: .seconds(5)) }
  }

  @Test("the service's certificate is renewed when it is due and when asked, live, with its names")
  func service() throws {
    let site = try ServiceSite("rotation")
    let credentials = try site.enrol()
    let live = try site.connect(credentials)
    let first = try site.service.credentials(names: ["localhost"])
    #expect(first.names == ["localhost"] && live.peer.serial == first.identity.serial)
    let told = Told()
    site.service.whenRenewed { credentials throws(OperationError) in
      told.serials.withLock { $0.append(credentials.identity.serial) }
    }
    #expect(try !site.service.maintainCertificates(now: .now()))
    #expect(try site.service.credentials(names: ["LOCALHOST"]).identity == first.identity)
    let rotated = try site.service.rotateCredentials()
    #expect(rotated.serial != first.identity.serial && told.all == [rotated.serial])
    let next = try site.connect(credentials)
    #expect(next.peer.serial == rotated.serial)
    #expect(try site.service.credentials(names: ["localhost"]).names == ["localhost"])
    #expect(try site.service.credentials(names: ["10.0.0.1"]).names == ["10.0.0.1"])
    let files = try IdentityFiles(in: site.service.vault.path + "/identity/service")
    _ = try files.renew(
      from: try site.service.authority(), role: .service, validity: .seconds(60),
      names: ["10.0.0.1"], now: .now())
    #expect(try site.service.maintainCertificates(now: .now()))
    #expect(told.all.count == 2)
    #expect(
      try site.service.events(after: 0, limit: 99).contains { $0.code == "certificate-issued" })
    _ = (live, next)
  }
}
