import Bytes
import FileIO
import Support
import Testing

@testable import Identity

/// Goal: an end has a key, its certificate and the right authority, or a clear error. Method: real
/// files, changed, cut, swapped and opened to others.
struct IdentityFilesTests {
  @Test("a key is made, its certificate stored, and all of it found again, hidden from others")
  func enrolling() throws {
    let bench = try Bench()
    let files = try bench.end("agent")
    #expect(code { _ = try files.load() } == .missing)
    let role = Role.agent(.random())
    let request = try files.makeRequest(for: role)
    #expect(code { _ = try files.load() } == .missing)
    let issued = try bench.authority.issue(
      role, request: request, validity: Bench.ninetyDays, now: bench.now)
    let stored = try files.store(
      certificatePEM: issued.pem, authorityPEM: bench.authority.certificatePEM, now: bench.now)
    #expect(stored.identity.role == role && stored.identity.serial == issued.serial)
    let loaded = try bench.end("agent").load()
    #expect(loaded.identity == stored.identity && loaded.trust.vault == bench.vault)
    #expect(loaded.trust.fingerprint == bench.authority.fingerprint)
    let directory = bench.directory.file("agent")
    #expect(try FileSystem.system.status(directory).permissions == 0o700)
    let names = try FileSystem.system.list(directory)
    #expect(Set(names) == ["key.pem", "certificate.pem", "ca.pem"])
    for name in names {
      #expect(try FileSystem.system.status(directory + "/" + name).permissions == 0o600)
    }
    #expect(!"\(loaded)".contains("PRIVATE"))
  }

  @Test("a renewal leaves the old pair in use until key and certificate change together")
  func renewing() throws {
    let bench = try Bench()
    let files = try bench.end("agent")
    let role = Role.agent(.random())
    let old = try files.renew(
      from: bench.authority, role: role, validity: Bench.ninetyDays, now: bench.now
    ).credentials
    let request = try files.makeRequest(for: role)
    #expect(try files.load().identity == old.identity)
    #expect(try bench.end("agent").load().identity == old.identity)
    let issued = try bench.authority.issue(
      role, request: request, validity: Bench.ninetyDays, now: bench.now)
    let new = try files.store(
      certificatePEM: issued.pem, authorityPEM: bench.authority.certificatePEM, now: bench.now)
    #expect(new.identity != old.identity && new.privateKeyPEM != old.privateKeyPEM)
    #expect(try files.load().identity == new.identity)
  }

  @Test("a certificate for another key, of another authority, or expired changes nothing")
  func refusing() throws {
    let (bench, other) = (try Bench(), try Bench())
    let files = try bench.end("agent")
    let role = Role.agent(.random())
    let old = try files.renew(
      from: bench.authority, role: role, validity: Bench.ninetyDays, now: bench.now
    ).credentials
    func store(_ pem: String, _ authority: String, _ now: Timestamp) -> IdentityError.Code? {
      code { _ = try files.store(certificatePEM: pem, authorityPEM: authority, now: now) }
    }
    #expect(store(old.certificatePEM, bench.authority.certificatePEM, bench.now) == .missing)
    let request = try files.makeRequest(for: role)
    let good = try bench.authority.issue(
      role, request: request, validity: Bench.ninetyDays, now: bench.now)
    let stranger = try other.authority.issue(
      role, request: request, validity: Bench.ninetyDays, now: bench.now)
    let authority = bench.authority.certificatePEM
    #expect(store(old.certificatePEM, authority, bench.now) == .refused)
    #expect(store(stranger.pem, authority, bench.now) == .refused)
    #expect(store(good.pem, other.authority.certificatePEM, bench.now) == .refused)
    #expect(store(good.pem, good.pem, bench.now) == .refused)
    #expect(store(good.pem, authority, bench.later(91 * 86400)) == .expired)
    #expect(store("", authority, bench.now) == .damaged)
    #expect(try files.load().identity == old.identity)
    #expect(store(good.pem, authority, bench.now) == nil)
  }

  @Test("files that were changed, cut, exchanged, or opened to others are refused by name")
  func damage() throws {
    let bench = try Bench()
    let files = try bench.end("agent")
    let directory = bench.directory.file("agent")
    _ = try files.renew(
      from: bench.authority, role: .relay(.random()), validity: Bench.ninetyDays, now: bench.now)
    let stranger = try bench.enrolled(.relay(.random()))
    let system = FileSystem.system
    for (name, others) in [
      ("key.pem", stranger.privateKeyPEM), ("certificate.pem", stranger.certificatePEM),
      ("ca.pem", try Bench().authority.certificatePEM),
    ] {
      let path = directory + "/" + name
      let good = try system.readFile(path, limit: 4096)
      let bad: [(bytes: [UInt8], code: IdentityError.Code)] = [
        (Array(others.utf8), .refused), ([], .damaged), (Array(good.dropLast(30)), .damaged),
        ([0xFF], .damaged),
      ]
      for (bytes, expected) in bad {
        try system.replaceFile(path, with: bytes, permissions: 0o600)
        let told = message { _ = try files.load() }
        #expect(code { _ = try files.load() } == expected, "\(name): \(told)")
        #expect(told.contains(directory), "\(told)")
      }
      try system.replaceFile(path, with: good, permissions: 0o600)
      #expect(code { _ = try files.load() } == nil)
    }
    try system.setPermissions(directory + "/key.pem", directory: 0, file: 0o604)
    #expect(code { _ = try files.load() } == .refused)
    #expect(message { _ = try files.load() }.contains("chmod 600"))
    try system.setPermissions(directory + "/key.pem", directory: 0, file: 0o600)
    try system.setPermissions(directory, directory: 0o755, file: 0)
    #expect(code { _ = try bench.end("agent") } == .refused)
  }
}
