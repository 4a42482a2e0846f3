import Catalog
import FileIO
import ImageFormats
import Support
import Testing
import Vault

@testable import Operations

/// Goal: what a recovered machine uses is kept for it, and what it could start by is known before. Method: a vault
/// in service with drills, failovers and partitioned disks.
@Suite struct RecoveryTargetTests {
  @Test("a network that a drill or a failover was asked to join stays as long as its disks do")
  func networks() throws {
    let site = try RecoverySite()
    let service = site.service
    var request = site.request()
    request.network = "restored"
    let unknown = try site.refusal {
      _ = try service.startTestFailover(RecoverySite.name, request, by: nil)
    }
    #expect(unknown.contains("There is no network 'restored'"), "\(unknown)")
    _ = try service.createNetwork(NewNetwork(name: "restored", kind: .isolated))
    func users() throws -> [String] { try service.network(named: "restored").users }
    func expectKept(by user: String) throws {
      #expect(try users() == [user])
      let refusal = try site.refusal { try service.deleteNetwork(named: "restored") }
      #expect(refusal.contains("used by \(user)"), "\(refusal)")
    }
    try site.end(try service.startTestFailover(RecoverySite.name, request, by: nil))
    try expectKept(by: "the drill of 'web01'")
    try site.end(try service.cleanUpTestFailover(RecoverySite.name, notes: nil, by: nil))
    #expect(try users().isEmpty)
    try site.end(try service.startFailover(RecoverySite.name, request, by: nil))
    try expectKept(by: "the failed-over machine 'web01'")
  }

  @Test(
    "a disk's boot layout is that of the newest recovery point",
    .enabled(if: Available.programs("sgdisk")))
  func bootLayout() throws {
    let site = try RecoverySite()
    func disk() throws -> DiskOverview {
      let machine = try site.service.overview(of: RecoverySite.name)
      return try #require(try site.service.disks(of: machine).first)
    }
    #expect(try disk().bootLayout?.scheme == nil && disk().replication == .replicated)
    try Program.require(
      "sgdisk", "--set-alignment=1", "--new=1:64:1000", "--typecode=1:ef00",
      site.site.directory.file("a.img"))
    try site.released { try site.site.replicate(RecoverySite.name) }
    let layout = try #require(try disk().bootLayout)
    #expect(layout.scheme == .gpt && layout.systemPartition == 1 && layout.loader == .none)
  }
}
