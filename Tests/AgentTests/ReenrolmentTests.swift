import Bytes
import Catalog
import FileIO
import Identity
import Operations
import Replication
import ReplicationService
import Support
import Testing
import Vault

@testable import Agent

/// Goal: a machine stays the machine it was if it can prove that or an operator says so, and nobody else
/// becomes it. Method: a vault in service, and enrolments of every kind.
@Suite(.serialized) struct ReenrolmentTests {
  private static func failure(_ body: () throws -> Void) -> OperationError? {
    do {
      try body()
      return nil
    } catch { return error as? OperationError }
  }

  @Test(
    "who has the old key keeps the machine, also when its time is over; its name alone does not do")
  func proof() throws {
    let site = try ServiceSite("again")
    let first = try site.enrol()
    try site.protect()
    let key = try site.key()
    #expect(Self.failure { try site.enrol(key) }?.message.contains("--machine web01") == true)
    // What was refused has cost no key.
    let second = try site.enrol(key, previous: first)
    #expect(second.identity.role == first.identity.role)
    #expect(second.identity.serial != first.identity.serial)
    let past = Timestamp(seconds: Timestamp.now().seconds - 500)
    let expired = try site.replaceCertificate(validSeconds: 60, now: past)
    let third = try site.enrol(previous: expired)
    #expect(third.identity.role == first.identity.role)
    #expect(try site.service.agents().map(\.name) == ["web01"])
    #expect(try site.service.agents().first?.disks.count == 1)
    // Another name makes it another machine, which proves nothing.
    #expect(Self.failure { try site.enrol(name: "web02", previous: third) }?.code == .refused)
    #expect(try site.enrol(name: "web02").identity.role != first.identity.role)
  }

  @Test("a proof that is another's, forged or of a revoked certificate gets nobody in")
  func badProof() throws {
    let site = try ServiceSite("again-refused")
    let first = try site.enrol()
    let files = try IdentityFiles(in: site.directory.file("thief"))
    let request = try files.makeRequest(for: .agent(.random()))
    let key = try site.key()
    var enrolment = Enrolment(
      key: key, request: request, hostName: "web01", name: nil, operatingSystem: .linux,
      version: "test", addresses: [], clock: .now())
    // The proof is for another request.
    enrolment.previous = try PreviousIdentity(
      first, for: try files.makeRequest(for: .agent(.random())))
    #expect(Self.failure { _ = try site.service.enrol(enrolment) }?.code == .refused)
    enrolment.previous = PreviousIdentity(certificate: first.certificatePEM, signature: [])
    #expect(Self.failure { _ = try site.service.enrol(enrolment) }?.code == .refused)
    // A relay's certificate, and one that the catalog never saw, are no machine's.
    for role in [Role.relay(.random()), first.identity.role] {
      let other = try files.renew(
        from: try site.service.authority(), role: role, validity: .seconds(60), now: .now()
      ).credentials
      enrolment.previous = try PreviousIdentity(other, for: request)
      #expect(Self.failure { _ = try site.service.enrol(enrolment) }?.code == .refused)
    }
    try site.service.revoke("web01")
    enrolment.previous = try PreviousIdentity(first, for: request)
    #expect(
      Self.failure { _ = try site.service.enrol(enrolment) }?.message.contains("revoked") == true)
    #expect(try site.service.keys().filter { $0.usesLeft == 1 }.count == 1)
  }

  @Test("a key made for a machine brings it back under its name, and what it had before is cut off")
  func operatorsWord() throws {
    let site = try ServiceSite("again-key")
    let first = try site.enrol()
    try site.protect()
    #expect(Self.failure { _ = try site.key(for: "web09") }?.code == .unknown)
    #expect(
      Self.failure {
        _ = try site.service.makeKey(label: "", validSeconds: 60, uses: 2, machine: "web01")
      }?.code == .refused)
    let key = try site.key(for: "web01")
    let live = try site.connect(first)
    #expect(Self.failure { try site.enrol(key, name: "other") }?.code == .refused)
    let second = try site.enrol(key)
    #expect(second.identity.role == first.identity.role)
    #expect(throws: TransportError.self) { try live.receive(within: .seconds(5)) }
    let refused = try site.connect(first)
    #expect { try refused.receive(within: .seconds(5)) } throws: {
      ($0 as? TransportError)?.code == .rejected
    }
    // A protected machine that was revoked is not lost either, and critical meanwhile.
    try site.service.revoke("web01")
    let revoked = try site.service.overview(of: "web01")
    #expect(revoked.health == .critical && revoked.errors.map(\.code) == ["agent-revoked"])
    let third = try site.enrol(try site.key(for: "web01"))
    #expect(try site.service.overview(of: "web01").errors.isEmpty)
    #expect(third.identity.role == first.identity.role)
    let session = try ServiceSession(
      try site.connect(third), hello: ServiceSite.hello(try site.agent.configuration().disks),
      sign: third.signingKey.signGroup)
    #expect(session.assignment.state == .protected)
  }
}
