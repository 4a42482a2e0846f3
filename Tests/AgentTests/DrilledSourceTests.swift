import Bytes
import Catalog
import Compute
import FileIO
import Support
import Testing
import Vault

@testable import Agent
@testable import Operations

/// Goal: a drill changes nothing for the source it is made of. Method: a vault in service, a real agent over TLS
/// that replicates all the time, and drills that are begun and cleaned up meanwhile.
@Suite(.serialized) struct DrilledSourceTests {
  @Test("a source goes on in the same session while drills of it begin and end")
  func session() throws {
    let site = try ProtectedSite()
    defer { site.endAgent() }
    try site.startAgent()
    #expect(try site.hasPoints(1))
    let disks = site.directory.file("disks")
    try FileSystem.system.makeDirectory(disks, permissions: 0o700)
    try File(disks + "/disk0.raw", .creating(permissions: 0o600)).truncate(to: 12 << 20)
    site.service.prepareRecovery(
      RecoveryParts(
        branches: VaultBranches(site.service.writable), servers: NoServers(directory: disks),
        provider: NoCompute(), directory: { "/nowhere/\($0)" }))
    let hellos = site.service.agentHost.activity.activity(of: site.machine).hellos
    var random = SeededGenerator(for: "a source that is drilled")
    for round in 0..<3 {
      try site.write(random.bytes(65536), at: UInt64(round) << 20)
      let start = try site.service.startTestFailover(
        "web01", RecoveryRequest(point: "latest-processed"), by: nil)
      #expect(site.waits { (try? site.service.jobs.job(start.id))?.state == .succeeded })
      #expect(try pins(site) == 1)
      let count = try site.points.count
      #expect(try site.hasPoints(count + 1))
      let end = try site.service.cleanUpTestFailover("web01", notes: nil, by: nil)
      #expect(site.waits { (try? site.service.jobs.job(end.id))?.state == .succeeded })
      #expect(try pins(site) == 0)
    }
    let count = try site.points.count
    #expect(try site.hasPoints(count + 2))
    #expect(site.service.agentHost.activity.activity(of: site.machine).hellos == hellos)
    let point = try #require(try site.points.last)
    #expect(try site.content(at: point) == site.source())
  }

  private func pins(_ site: ProtectedSite) throws -> Int {
    try site.vault.machine(named: "web01").snapshot().pins.count
  }
}
