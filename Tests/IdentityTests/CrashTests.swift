import Bytes
import FileIO
import Support
import Testing

@testable import Identity

/// Goal: no loss of power leaves a key without its certificate, or an authority without its key.
/// Method: the power goes at every change of every step on the simulated disk, which then loses any
/// part of what was not synced.
struct CrashTests {
  private let now = Timestamp(seconds: 1_795_170_000)
  private let vault = Identifier.random()

  @Test("making an authority leaves it whole or not made, and making it again then works")
  func makingAuthority() throws {
    var random = SeededGenerator(for: "authority")
    var made = 0
    for cut in 0..<60 {
      let disk = SimulatedDisk(seed: random.next())
      let system = disk.fileSystem
      func make() throws -> CertificateAuthority {
        try CertificateAuthority.create(
          in: "/identity", vault: vault, vaultName: "V", now: now, on: system)
      }
      disk.cutPower(after: cut)
      let before = try? make()
      disk.crash()
      let found = try? CertificateAuthority(opening: "/identity", now: now, on: system)
      if let before {
        #expect(found?.fingerprint == before.fingerprint)
        made += 1
        break
      } else if found == nil {
        #expect(try make().vault == vault)
      } else {
        #expect(code { _ = try make() } == .alreadyExists)
      }
    }
    #expect(made == 1, "some attempt came to its end")
  }

  @Test("replacing key and certificate leaves both old or both new, whatever the power takes")
  func replacing() throws {
    var random = SeededGenerator(for: "replacing")
    let bench = try Bench()
    let role = Role.agent(.random())
    func renew(_ files: IdentityFiles) throws -> Credentials {
      try files.renew(
        from: bench.authority, role: role, validity: Bench.ninetyDays, now: bench.now
      ).credentials
    }
    var (cut, round, ends, seen) = (0, 0, 0, Set<Bool>())
    while ends < 6, round < 600 {
      let disk = SimulatedDisk(seed: random.next())
      let files = try IdentityFiles(in: "/agent", on: disk.fileSystem)
      let old = try renew(files)
      disk.cutPower(after: cut)
      let new = try? renew(files)
      disk.crash()
      (cut, round) = (cut + 1, round + 1)
      let again = try IdentityFiles(in: "/agent", on: disk.fileSystem)
      let found = try again.load()
      seen.insert(found.identity == old.identity)
      if let new {
        #expect(found.identity == new.identity, "what was stored is kept")
        (cut, ends) = (0, ends + 1)
      }
      // Whatever was left lying about does no harm to the next one, nor to a second crash.
      let next = try renew(again)
      disk.crash(.everything)
      let last = try IdentityFiles(in: "/agent", on: disk.fileSystem).load()
      #expect(last.identity == next.identity)
    }
    #expect(ends == 6 && seen.count == 2)
  }

  @Test("the power may go again while the next opening ends a replacement")
  func twice() throws {
    var random = SeededGenerator(for: "twice")
    let bench = try Bench()
    for round in 0..<200 {
      let disk = SimulatedDisk(seed: random.next())
      let files = try IdentityFiles(in: "/agent", on: disk.fileSystem)
      func renew(_ files: IdentityFiles) throws {
        _ = try files.renew(
          from: bench.authority, role: .service, validity: Bench.ninetyDays, now: bench.now)
      }
      try renew(files)
      disk.cutPower(after: random.number(0..<25))
      try? renew(files)
      disk.crash()
      disk.cutPower(after: random.number(0..<4))
      _ = try? IdentityFiles(in: "/agent", on: disk.fileSystem)
      disk.crash()
      let found = try? IdentityFiles(in: "/agent", on: disk.fileSystem).load()
      #expect(found != nil, "round \(round)")
    }
  }

  @Test("the first certificate is there whole or not at all, and enrolling again works")
  func first() throws {
    var random = SeededGenerator(for: "first")
    let bench = try Bench()
    for cut in 0..<40 {
      let disk = SimulatedDisk(seed: random.next())
      func enrol() throws -> Credentials {
        try IdentityFiles(in: "/agent", on: disk.fileSystem).renew(
          from: bench.authority, role: .service, validity: Bench.ninetyDays, now: bench.now
        ).credentials
      }
      disk.cutPower(after: cut)
      let stored = try? enrol()
      disk.crash()
      let files = try IdentityFiles(in: "/agent", on: disk.fileSystem)
      let found = code { _ = try files.load() }
      #expect(found == nil || (found == .missing && stored == nil), "cut \(cut): \(found)")
      let next = try enrol()
      #expect(try files.load().identity == next.identity)
    }
  }

  @Test("a full disk or a failed sync is an error, and the old key and certificate stay in use")
  func failures() throws {
    var random = SeededGenerator(for: "failures")
    let bench = try Bench()
    for after in 0..<12 {
      let disk = SimulatedDisk(seed: random.next())
      let files = try IdentityFiles(in: "/agent", on: disk.fileSystem)
      func renew() throws -> Credentials {
        try files.renew(
          from: bench.authority, role: .service, validity: Bench.ninetyDays, now: bench.now
        ).credentials
      }
      let old = try renew()
      if after == 0 { disk.setCapacity(4096) } else { disk.failSyncs(after: after - 1) }
      let failed = code { _ = try renew() }
      disk.setCapacity(nil)
      disk.failSyncs(0)
      let found = try IdentityFiles(in: "/agent", on: disk.fileSystem).load()
      if failed != nil, after < 7 { #expect(found.identity == old.identity) }
      _ = try renew()
    }
  }
}
