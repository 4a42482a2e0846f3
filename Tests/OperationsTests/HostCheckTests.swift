import Bytes
import Catalog
import FileIO
import Identity
import Support
import Testing
import Vault

@testable import Operations

/// Goal: a host is refused only if a service can't work on it, and every line that is not ok says what
/// to do. Method: each limit, just below and at it.
@Suite struct HostCheckTests {
  @Test("cores, memory and FUSE are judged by their limits")
  func limits() {
    let cases: [(HostFinding, HostFinding.Verdict)] = [
      (HostCheck.cores(1), .warning), (HostCheck.cores(2), .ok),
      (HostCheck.memory(HostCheck.memoryNeeded - 1), .refused),
      (HostCheck.memory(HostCheck.memoryNeeded), .warning),
      (HostCheck.memory(HostCheck.memoryWanted), .ok),
      (HostCheck.fuse(isThere: false, isNeeded: true), .refused),
      (HostCheck.fuse(isThere: false, isNeeded: false), .warning),
      (HostCheck.fuse(isThere: true, isNeeded: true), .ok),
      (HostCheck.kernel((6, 9)), .ok), (HostCheck.kernel((7, 0)), .ok),
      (HostCheck.kernel((6, 8)), .warning), (HostCheck.kernel((5, 19)), .warning),
      (HostCheck.clock(offset: 300_000_000_000, source: "x"), .ok),
      (HostCheck.clock(offset: -300_000_000_001, source: "x"), .refused),
      (HostCheck.clock(offset: Int64.min, source: "x"), .refused),
    ]
    for (finding, verdict) in cases {
      #expect(finding.verdict == verdict, "\(finding)")
      if verdict != .ok { #expect(finding.advice?.isEmpty == false, "\(finding)") }
    }
  }

  @Test(
    "a vault or cache has its room looked at, and what was found is said; a relay needs no FUSE")
  func findings() throws {
    let site = try Site()
    let findings = HostCheck(for: .service(withMount: false)).findings(at: site.vault.path)
    #expect(findings.map(\.subject) == ["cores", "memory", "space", "fuse", "kernel"])
    #expect(findings.allSatisfy { !$0.found.isEmpty })
    let relay = HostCheck(for: .relay(limit: 64 << 20, kept: 0))
    #expect(relay.findings(at: site.vault.path).map(\.subject) == ["cores", "memory", "space"])
    let missing = relay.findings(at: site.vault.path + "/none").last
    #expect(missing?.verdict == .refused && missing?.advice != nil)
  }

  @Test("a cache needs the room that it may still take, a vault a GiB")
  func room() {
    let total: UInt64 = 100 << 30
    let relay = HostCheck(for: .relay(limit: 10 << 30, kept: 4 << 30))
    #expect(relay.space(6 << 30, of: total, at: "/c").verdict == .ok)
    let scarce = relay.space((6 << 30) - 1, of: total, at: "/c")
    #expect(scarce.verdict == .warning && scarce.advice?.contains("--cache-size") == true)
    let overfull = HostCheck(for: .relay(limit: 1 << 30, kept: 2 << 30))
    #expect(overfull.space(0, of: total, at: "/c").verdict == .ok)
    let service = HostCheck(for: .service(withMount: true))
    #expect(service.space(1 << 30, of: total, at: "/v").verdict == .ok)
    #expect(service.space((1 << 30) - 1, of: total, at: "/v").verdict == .warning)
  }

  @Test("the service's certificate is the authority's, and stays the same until it is due")
  func credentials() throws {
    let site = try Site()
    let first = try keysAndCertificates(site)
    let next = try VaultService(site.vault)
    #expect(try next.authority().fingerprint == first)
    next.close()
  }

  /// Looks at what a service makes, and gives its authority's fingerprint; the lock goes with it.
  private func keysAndCertificates(_ site: Site) throws -> Fingerprint {
    let service = try VaultService(site.vault)
    defer { service.close() }
    let first = try service.credentials(names: ["localhost"])
    #expect(try service.credentials(names: ["localhost"]).certificatePEM == first.certificatePEM)
    #expect(try service.authority().fingerprint == first.trust.fingerprint)
    #expect(try service.catalog.certificates().map(\.role) == ["service"])
    let made = try service.makeKey(label: "rack", validSeconds: 60, uses: 2)
    #expect(made.key.fingerprint == first.trust.fingerprint)
    let digest = VaultService.text(of: made.key.digest)
    #expect(try service.catalog.useRegistrationKey(digest: digest, now: .now())?.usesLeft == 1)
    return first.trust.fingerprint
  }
}
