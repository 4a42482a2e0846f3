import Bytes
import Catalog
import FileIO
import Identity
import Support
import Testing

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
      (HostCheck(needsMount: true).fuse(isThere: false), .refused),
      (HostCheck(needsMount: false).fuse(isThere: false), .warning),
      (HostCheck(needsMount: true).fuse(isThere: true), .ok),
      (HostCheck.clock(offset: 300_000_000_000, source: "x"), .ok),
      (HostCheck.clock(offset: -300_000_000_001, source: "x"), .refused),
      (HostCheck.clock(offset: Int64.min, source: "x"), .refused),
    ]
    for (finding, verdict) in cases {
      #expect(finding.verdict == verdict, "\(finding)")
      if verdict != .ok { #expect(finding.advice?.isEmpty == false, "\(finding)") }
    }
  }

  @Test("a vault's room is looked at, and what was found is said")
  func findings() throws {
    let site = try Site()
    let findings = HostCheck(needsMount: false).findings(for: site.vault)
    #expect(findings.map(\.subject) == ["cores", "memory", "space", "fuse"])
    #expect(findings.allSatisfy { !$0.found.isEmpty })
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
