import Bytes
import Support
import Testing

@testable import Identity

/// Goal: a peer is who its certificate says, or is refused. Method: certificates that are wrong in one
/// way each, made by ourselves and by openssl with the authority's own key.
struct TrustTests {
  @Test("peers of the vault are told by role, vault, number and life")
  func peers() throws {
    let bench = try Bench()
    for role in [Role.service, .agent(.random()), .relay(.random())] {
      let end = try bench.enrolled(role)
      let bytes = try der(end.certificatePEM)
      let peer = try bench.authority.trust.verify(certificateDER: bytes, now: bench.now)
      #expect(peer.role == role && peer.vault == bench.vault)
      #expect(peer == (try PeerIdentity(certificateDER: bytes)))
      #expect(peer.serial == end.identity.serial && peer.notAfter == bench.later(90 * 86400))
      #expect(Role(role.description) == role)
    }
  }

  @Test("strangers, other vaults, and those whose time is not come or over are refused")
  func refusals() throws {
    let (bench, other) = (try Bench(), try Bench())
    let own = try der(try bench.enrolled(.agent(.random())).certificatePEM)
    func verify(_ bytes: [UInt8], at now: Timestamp) -> IdentityError.Code? {
      code { _ = try bench.authority.trust.verify(certificateDER: bytes, now: now) }
    }
    #expect(verify(own, at: bench.now) == nil)
    #expect(verify(own, at: bench.later(90 * 86400)) == nil)
    #expect(verify(own, at: bench.later(90 * 86400 + 1)) == .expired)
    #expect(verify(own, at: bench.later(-601)) == .expired)
    #expect(
      verify(try der(try other.enrolled(.service).certificatePEM), at: bench.now) == .refused)
    #expect(verify(try der(bench.authority.certificatePEM), at: bench.now) == .refused)
    var forged = own
    forged[forged.count - 1] ^= 1
    #expect(verify(forged, at: bench.now) == .refused)
    #expect(verify([], at: bench.now) == .damaged)
    #expect(verify(own + [0], at: bench.now) == .damaged)
    #expect(verify(own.dropLast(), at: bench.now) == .damaged)
  }

  /// Has openssl issue a certificate with the authority's own key and these extensions.
  private func issue(_ bench: Bench, _ extensions: [String], days: Int = 30) throws -> [UInt8] {
    let request = try bench.write(
      try bench.end("end").makeRequest(for: .service).pem, as: "request.pem")
    let settings = try bench.write(
      (["[e]"] + extensions).joined(separator: "\n") + "\n", as: "settings")
    let ca = bench.directory.file("ca")
    let text = try Program.require(
      "openssl", "x509", "-req", "-in", request, "-CA", ca + "/ca.pem", "-CAkey", ca + "/ca.key",
      "-days", "\(days)", "-set_serial", "77", "-extfile", settings, "-extensions", "e")
    return try der(text)
  }

  @Test("a certificate that wants more or other than goes with its role is refused")
  func purposes() throws {
    let bench = try Bench()
    let uri = "subjectAltName=URI:tidemark://\(bench.vault)"
    let machine = Identifier.random()
    let leaf = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
    let client = "extendedKeyUsage=critical,clientAuth"
    let good = leaf + [client, "\(uri)/agent/\(machine)"]
    func verify(_ extensions: [String]) throws -> IdentityError.Code? {
      let bytes = try issue(bench, extensions)
      let certificate = try PEMText.certificate(der: bytes, of: "it")
      // openssl dates what it issues by the real clock.
      return code {
        _ = try bench.authority.trust.verify(
          certificateDER: bytes, now: max(certificate.notBefore, bench.now))
      }
    }
    #expect(try verify(good) == nil)
    let wrong: [[String]] = [
      leaf + ["extendedKeyUsage=serverAuth", "\(uri)/agent/\(machine)"],
      leaf + ["extendedKeyUsage=clientAuth,serverAuth", "\(uri)/agent/\(machine)"],
      leaf + ["extendedKeyUsage=anyExtendedKeyUsage", "\(uri)/agent/\(machine)"],
      leaf + [client, "\(uri)/service"],
      leaf + ["\(uri)/agent/\(machine)"],
      ["keyUsage=digitalSignature", client, "\(uri)/agent/\(machine)"],
      [leaf[0], "keyUsage=keyAgreement", client, "\(uri)/agent/\(machine)"],
      ["basicConstraints=CA:TRUE", leaf[1], client, "\(uri)/agent/\(machine)"],
      good + ["1.2.3.4=critical,DER:0500"],
      leaf + [client], leaf + [client, "subjectAltName=DNS:a"],
      leaf + [client, "\(uri)/agent/\(machine),URI:tidemark://\(bench.vault)/service"],
      leaf + [client, "\(uri)/agent/\(machine),URI:http://a"],
      leaf + [client, "\(uri)/agent"], leaf + [client, "\(uri)/authority"],
      leaf + [client, "\(uri)/agent/\(machine.description.uppercased())"],
      leaf + [client, "\(uri)/agent/\(machine)/x"], leaf + [client, "\(uri)/boss/\(machine)"],
      leaf + [client, "subjectAltName=URI:tidemark://\(Identifier.random())/agent/\(machine)"],
    ]
    for extensions in wrong {
      #expect(try verify(extensions) == .refused, "\(extensions)")
    }
  }

  @Test("a certificate is no authority unless it says so and signs itself")
  func authorities() throws {
    let bench = try Bench()
    let agent = try bench.enrolled(.agent(.random())).certificatePEM
    #expect(code { _ = try Trust(certificatePEM: agent) } == .refused)
    let uri = "subjectAltName=URI:tidemark://\(bench.vault)/authority"
    let settings = try bench.write("[req]\ndistinguished_name=d\n[d]\n", as: "settings")
    for (constraint, expected) in [("TRUE", nil), ("FALSE", IdentityError.Code.refused)] {
      let text = try Program.require(
        "openssl", "req", "-x509", "-config", settings, "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x", "-addext",
        uri, "-addext", "keyUsage=keyCertSign", "-addext",
        "basicConstraints=critical,CA:\(constraint)")
      #expect(code { _ = try Trust(certificatePEM: text) } == expected, "\(constraint)")
    }
    #expect(code { _ = try Trust(certificatePEM: "") } == .damaged)
    #expect(try Trust(certificatePEM: bench.authority.certificatePEM).vault == bench.vault)
  }

  @Test("a certificate wants renewal from two thirds of its life on")
  func renewal() throws {
    let bench = try Bench()
    let end = try bench.enrolled(.agent(.random()))
    let life = 90 * 86400 + 600
    #expect(!end.needsRenewal(at: bench.now))
    #expect(!end.needsRenewal(at: bench.later(Int64(life / 3 * 2 - 600 - 1))))
    #expect(end.needsRenewal(at: bench.later(Int64(life / 3 * 2 - 600))))
    #expect(end.needsRenewal(at: bench.later(1 << 31)))
    #expect(code { try end.checkValidity(at: bench.now) } == nil)
    #expect(code { try end.checkValidity(at: bench.later(1 << 30)) } == .expired)
  }
}
