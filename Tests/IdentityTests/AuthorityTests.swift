import Bytes
import FileIO
import Support
import Testing

@testable import Identity

/// Goal: what the authority issues is what others understand by a certificate. Method: openssl reads
/// and verifies it.
struct AuthorityTests {
  @Test("openssl verifies certificates of every role, for their purpose and for no other")
  func purposes() throws {
    let bench = try Bench()
    let authority = try bench.write(bench.authority.certificatePEM, as: "authority.pem")
    let roles: [(Role, right: String, wrong: String?)] = [
      (.service, "sslserver", "sslclient"), (.agent(.random()), "sslclient", "sslserver"),
      // A relay is at both ends: agents connect to it, and it to the service.
      (.relay(.random()), "sslclient", nil), (.relay(.random()), "sslserver", nil),
    ]
    for (role, right, wrong) in roles {
      let end = try bench.enrolled(role)
      let certificate = try bench.write(end.certificatePEM, as: "end.pem")
      func verify(_ purpose: String, at moment: Timestamp) throws -> Program.Result {
        try bench.openssl(
          "verify", "-x509_strict", "-attime", "\(moment.seconds)", "-purpose", purpose, "-CAfile",
          authority, certificate)
      }
      let good = try verify(right, at: bench.now)
      #expect(good.succeeded, "\(good.report)")
      if let wrong { #expect(!(try verify(wrong, at: bench.now).succeeded)) }
      #expect(!(try verify(right, at: bench.later(91 * 86400)).succeeded))
      #expect(!(try verify(right, at: bench.later(-700)).succeeded))
    }
  }

  @Test("a certificate says what it should: version, key, names, constraints, number and life")
  func contents() throws {
    let bench = try Bench()
    let files = try bench.end("service")
    let names = ["dr.example.org", "192.0.2.7", "2001:db8::7"]
    let (end, issued) = try files.renew(
      from: bench.authority, role: .service, validity: Bench.ninetyDays, names: names,
      now: bench.now)
    let path = try bench.write(end.certificatePEM, as: "end.pem")
    let text = try Program.require("openssl", "x509", "-in", path, "-noout", "-text")
    for part in [
      "Version: 3", "ecdsa-with-SHA256", "NIST CURVE: P-256", "CA:FALSE", "Digital Signature",
      "TLS Web Server Authentication", "DNS:dr.example.org", "IP Address:192.0.2.7",
      "IP Address:2001:DB8:0:0:0:0:0:7", "URI:tidemark://\(bench.vault)/service",
    ] {
      #expect(text.contains(part), "\(part) is not in \(text)")
    }
    #expect(!text.contains("Client Authentication"))
    let serial = try Program.require("openssl", "x509", "-in", path, "-noout", "-serial")
    #expect(serial.lowercased() == "serial=\(issued.serial)\n")
    #expect(issued.serial == end.identity.serial)
    #expect(issued.notBefore == bench.later(-600))
    #expect(issued.notAfter == bench.later(90 * 86400))
    let authority = try bench.write(bench.authority.certificatePEM, as: "authority.pem")
    let print = try Program.require(
      "openssl", "x509", "-in", authority, "-noout", "-fingerprint", "-sha256")
    let digits = print.split(separator: "=").last?.dropLast() ?? ""
    #expect(Fingerprint(String(digits)) == bench.authority.fingerprint)
    #expect(Fingerprint(bench.authority.fingerprint.description) == bench.authority.fingerprint)
  }

  @Test("two certificates never share a number")
  func serials() throws {
    let bench = try Bench()
    let request = try bench.end("end").makeRequest(for: .service)
    var seen: Set<String> = []
    for _ in 0..<100 {
      let issued = try bench.authority.issue(
        .service, request: request, validity: Bench.ninetyDays, now: bench.now)
      #expect(seen.insert(issued.serial).inserted)
      #expect(issued.serial.count == 32)
    }
  }

  @Test("openssl's own request is understood, and what it wishes beside its key is ignored")
  func foreignRequest() throws {
    let bench = try Bench()
    let key = bench.directory.file("foreign.key")
    try Program.require("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-out", key)
    let text = try Program.require(
      "openssl", "req", "-new", "-key", key, "-subj", "/CN=root", "-addext",
      "subjectAltName=URI:tidemark://\(bench.vault)/service", "-addext",
      "basicConstraints=critical,CA:TRUE")
    let machine = Identifier.random()
    let issued = try bench.authority.issue(
      .agent(machine), request: try CertificateRequest(pem: text), validity: Bench.ninetyDays,
      now: bench.now)
    let path = try bench.write(issued.pem, as: "issued.pem")
    let shown = try Program.require("openssl", "x509", "-in", path, "-noout", "-text")
    #expect(shown.contains("CA:FALSE") && shown.contains("/agent/\(machine)"))
    #expect(!shown.contains("CN = root") && !shown.contains("/service"))
  }

  @Test("openssl finds our requests in order")
  func ownRequest() throws {
    let bench = try Bench()
    let request = try bench.end("end").makeRequest(for: .agent(.random()))
    let path = try bench.write(request.pem, as: "request.pem")
    let result = try bench.openssl("req", "-in", path, "-verify", "-noout")
    #expect(result.succeeded, "\(result.report)")
  }

  @Test("requests with other keys, forged signatures or other content are refused")
  func badRequests() throws {
    let bench = try Bench()
    for arguments in [
      ["-newkey", "rsa:2048"], ["-newkey", "ed25519"],
      ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"],
    ] {
      let all = ["req", "-new", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x"] + arguments
      let text = try Program("openssl", all).wait(seconds: 60)
      try #require(text.succeeded, "\(text.report)")
      #expect(code { _ = try CertificateRequest(pem: text.output) } == .refused)
    }
    // The last bytes are the signature's.
    let good = try bench.end("end").makeRequest(for: .service).pem
    let other = try bench.end("other").makeRequest(for: .service).pem
    var lines = good.split(separator: "\n").map(String.init)
    let theirs = other.split(separator: "\n").map(String.init)
    lines[lines.count - 2] = theirs[theirs.count - 2]
    #expect(code { _ = try CertificateRequest(pem: lines.joined(separator: "\n")) } != nil)
    for text in ["", "x", bench.authority.certificatePEM, String(repeating: "A", count: 20000)] {
      #expect(code { _ = try CertificateRequest(pem: text) } == .damaged)
    }
  }

  @Test("names that are none, names for an agent, and lives that are none are refused")
  func badWishes() throws {
    let bench = try Bench()
    let request = try bench.end("end").makeRequest(for: .service)
    func issue(_ role: Role, _ names: [String], _ validity: Duration) -> IdentityError.Code? {
      code {
        _ = try bench.authority.issue(
          role, request: request, validity: validity, names: names, now: bench.now)
      }
    }
    for name in ["", "-a", "a-", "a..b", "a b", "ä.org", "1.2.3", "1.2.3.4.5", "*", "a/b", "[::1]"]
      + [String(repeating: "a", count: 64), String(repeating: "a.", count: 130) + "b"]
    {
      #expect(issue(.service, [name], Bench.ninetyDays) == .refused, "\(name)")
    }
    #expect(issue(.agent(.random()), ["a"], Bench.ninetyDays) == .refused)
    for validity in [Duration.seconds(0), .seconds(-5), .seconds(1 << 40)] {
      #expect(issue(.service, [], validity) == .refused)
    }
    #expect(issue(.service, ["a", "A-1.b", "::", "10.0.0.1"], .seconds(1)) == nil)
  }

  @Test("no certificate outlives its authority, and an authority whose time is over issues none")
  func authorityExpires() throws {
    let bench = try Bench()
    let request = try bench.end("end").makeRequest(for: .service)
    let end = bench.authority.trust.notAfter
    let issued = try bench.authority.issue(
      .service, request: request, validity: Bench.ninetyDays,
      now: Timestamp(seconds: end.seconds - 86400))
    #expect(issued.notAfter == end)
    #expect(end == bench.later(CertificateAuthority.life.components.seconds))
    let over = Timestamp(seconds: end.seconds + 1)
    #expect(
      code {
        _ = try bench.authority.issue(
          .service, request: request, validity: Bench.ninetyDays, now: over)
      } == .expired)
    #expect(
      code {
        _ = try CertificateAuthority(opening: bench.directory.file("ca"), now: over)
      } == .expired)
  }

  @Test("an authority is opened as it was made, is not made twice, and hides its key")
  func opening() throws {
    let bench = try Bench()
    let path = bench.directory.file("ca")
    let opened = try CertificateAuthority(opening: path, now: bench.now)
    #expect(opened.fingerprint == bench.authority.fingerprint)
    #expect(opened.vault == bench.vault)
    #expect(
      code {
        _ = try CertificateAuthority.create(
          in: path, vault: bench.vault, vaultName: "Bench", now: bench.now)
      } == .alreadyExists)
    #expect(try FileSystem.system.status(path).permissions == 0o700)
    for name in ["ca.key", "ca.pem"] {
      #expect(try FileSystem.system.status(path + "/" + name).permissions == 0o600)
    }
    let key = try FileSystem.system.readFile(path + "/ca.key", limit: 4096)
    #expect(String(decoding: key, as: UTF8.self).hasPrefix("-----BEGIN PRIVATE KEY-----\n"))
    try Program.require("openssl", "pkey", "-in", path + "/ca.key", "-noout", "-check")
  }

  @Test("an authority is not opened with a key others can read, another's key, or damaged files")
  func badFiles() throws {
    let bench = try Bench()
    let (path, system) = (bench.directory.file("ca"), FileSystem.system)
    func open() -> IdentityError.Code? {
      code { _ = try CertificateAuthority(opening: path, now: bench.now) }
    }
    #expect(open() == nil)
    try system.setPermissions(path + "/ca.key", directory: 0o700, file: 0o640)
    #expect(open() == .refused)
    try system.setPermissions(path + "/ca.key", directory: 0o700, file: 0o600)
    try system.setPermissions(path, directory: 0o750, file: 0o600)
    #expect(open() == .refused)
    try system.setPermissions(path, directory: 0o700, file: 0o600)
    let key = try system.readFile(path + "/ca.key", limit: 4096)
    let stranger = try Program.require(
      "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    for (bytes, expected) in [
      (Array(stranger.utf8), IdentityError.Code.refused), ([], .damaged),
      (Array(key.prefix(100)), .damaged), ([UInt8](repeating: 0, count: 100), .damaged),
      ([0xFF, 0xFE], .damaged),
    ] {
      try system.replaceFile(path + "/ca.key", with: bytes, permissions: 0o600)
      #expect(open() == expected)
    }
    try system.remove(path + "/ca.key")
    #expect(open() == .missing)
    try system.replaceFile(path + "/ca.key", with: key, permissions: 0o600)
    #expect(open() == nil)
    let agent = try bench.enrolled(.agent(.random())).certificatePEM
    try system.replaceFile(path + "/ca.pem", with: Array(agent.utf8), permissions: 0o600)
    #expect(open() == .refused)
    try system.replaceFile(
      path + "/ca.pem", with: [UInt8](repeating: 65, count: 20000), permissions: 0o600)
    #expect(open() == .io)
    try system.remove(path + "/ca.pem")
    #expect(open() == .missing)
    #expect(
      code {
        _ = try CertificateAuthority(opening: bench.directory.file("none"), now: bench.now)
      } == .missing)
  }
}
