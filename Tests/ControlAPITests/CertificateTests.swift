import Bytes
import FileIO
import Identity
import Operations
import Support
import Testing

@testable import ControlAPI

/// Goal: agents can judge the service whatever HTTPS shows to others, and certificates change without
/// anybody being cut off. Method: certificates of several authorities over loopback.
@Suite struct CertificateTests {
  private static func isServed(_ transport: NetworkTransport) -> Bool {
    (try? transport.send("GET", "/v1/clock", []).status) == 200
  }

  @Test("an agent gets the certificate of the vault's own authority where others get another's")
  func serverName() throws {
    let site = try Site("server-name")
    let authority = try site.service.authority().certificatePEM
    func agent() throws -> NetworkTransport {
      try NetworkTransport(to: .vault(host: "127.0.0.1", port: site.port, authority: authority))
    }
    let own = try site.service.credentials(names: ["localhost"])
    #expect(try !Self.isServed(agent()))
    try site.server.showToAgents(
      certificate: own.certificatePEM, key: own.privateKeyPEM)
    #expect(try Self.isServed(agent()))
    #expect(try Self.isServed(site.overHTTPS(nil)))
    // By an agent's certificate nobody passes for the service.
    let files = try IdentityFiles(in: site.directory.file("agent"))
    let machine = try files.renew(
      from: try site.service.authority(), role: .agent(.random()), validity: .seconds(60),
      now: .now()
    ).credentials
    try site.server.showToAgents(
      certificate: machine.certificatePEM, key: machine.privateKeyPEM)
    #expect(try !Self.isServed(agent()))
  }

  @Test("another certificate is shown from the next connection on, and the one that lives goes on")
  func rotation() throws {
    let site = try Site("rotation")
    let live = try site.overHTTPS(nil)
    #expect(Self.isServed(live))
    let first = site.authority
    let elsewhere = try TemporaryDirectory("certificate")
    let second = try Site.certificate(in: elsewhere)
    let bytes = try FileSystem.system.readFile(elsewhere.file("key.pem"), limit: 65536)
    let key = String(decoding: bytes, as: UTF8.self)
    #expect(throws: OperationError.self) { try site.server.show(certificate: second, key: "none") }
    #expect(throws: OperationError.self) { try site.server.show(certificate: "none", key: key) }
    #expect(try Self.isServed(site.overHTTPS(nil)))
    try site.server.show(certificate: second, key: key)
    #expect(Self.isServed(live))
    #expect(try !Self.isServed(site.overHTTPS(nil)))
    func trusting(_ authority: String) throws -> NetworkTransport {
      try NetworkTransport(to: .https(host: "127.0.0.1", port: site.port, authority: authority))
    }
    #expect(try Self.isServed(trusting(second)))
    #expect(try !Self.isServed(trusting(first)))
  }
}
