import Bytes
import Catalog
import FileIO
import ImageFormats
import Support
import Testing
import Vault

@testable import Operations

/// Goal: an export of a failed-over disk that was cut off is never gone on with into a mix of two states.
/// Method: a branch that is written to between two runs.
@Suite struct FailedOverDisksTests {
  private static let size = 64 << 20

  private func export(
    _ fixture: VaultFixture, stopsAt limit: UInt64? = nil
  ) throws -> DiskExport.Summary? {
    let found = try FailedOverDisks(VaultFixture.machine, in: fixture.vault, isLive: false)
    let export = try ExportDisk(
      disk: nil, of: found, in: fixture.vault, format: .raw, for: nil,
      to: fixture.directory.file("out"), replaces: true)
    do throws(OperationError) {
      var done: UInt64 = 0
      let summary = try export.write(
        progress: { now, _ in done = now }, cancelled: { limit.map { done >= $0 } ?? false })
      try export.verify(progress: { _, _ in }, cancelled: { false })
      return summary
    } catch {
      #expect(error.code == .cancelled && limit != nil, "\(error)")
      return nil
    }
  }

  @Test(
    "an export goes on where it was cut off if nothing was written, and begins anew if something was"
  )
  func resuming() throws {
    let fixture = try VaultFixture("resuming", disks: [Self.size])
    var random = SeededGenerator(for: "resuming")
    fixture.write(random.bytes(Self.size), at: 0)
    try fixture.mark()
    let refusal = #expect(throws: OperationError.self) { try export(fixture) }
    #expect(refusal?.code == .refused && refusal?.message.contains("not failed over") == true)
    let description = try fixture.branch(purpose: .failover)
    func write(_ byte: UInt8) throws {
      let branch = try fixture.vault.openBranch(description.id)
      try [UInt8](repeating: byte, count: 5000).withUnsafeBytes {
        try branch.disk(0).write($0, at: 1 << 20)
      }
      #expect(throws: OperationError.self) { try export(fixture) }
      try branch.close()
    }
    try write(7)
    #expect(try export(fixture, stopsAt: 32 << 20) == nil)
    let whole = try #require(try export(fixture))
    #expect(whole.resumedAt >= 16 << 20, "\(whole)")
    try write(8)
    #expect(try export(fixture, stopsAt: 32 << 20) == nil)
    try write(9)
    let anew = try #require(try export(fixture))
    #expect(anew.resumedAt == 0, "\(anew)")
    let bytes = try File(fixture.directory.file("out"), .reading).read(at: 1 << 20, count: 5000)
    #expect(bytes == [UInt8](repeating: 9, count: 5000))
  }
}

/// Goal: who asks for the power of a machine gets that of the one that is meant, and never for one whose disks
/// are being taken away. Method: a real vault; only the processes that serve disks are stood in for.
@Suite struct MachinePowerTests {
  @Test(
    "a machine is started and stopped where it is drilled or failed over, and refused elsewhere")
  func states() throws {
    let site = try RecoverySite()
    let early = try site.refusal {
      _ = try site.service.startMachine("web01", isTest: true, by: nil)
    }
    #expect(early.contains("tidemark test-failover start web01"), "\(early)")
    _ = try site.drill()
    let wrong = try site.refusal { _ = try site.service.power(of: "web01", isTest: false) }
    #expect(wrong.contains("--test"), "\(wrong)")
    let stop = try site.end(
      try site.service.stopMachine("web01", isTest: true, .init(seconds: 5), by: "tester"))
    #expect(stop.state == .succeeded && stop.kind == "Stop machine", "\(stop)")
    #expect(try site.service.power(of: "web01", isTest: true).state == .off)
    try site.restart()
    #expect(try site.service.power(of: "web01", isTest: true).state == .off)
    #expect(
      try site.end(try site.service.startMachine("web01", isTest: true, by: nil)).state
        == .succeeded)
    #expect(try site.service.power(of: "web01", isTest: true).state == .on)
    _ = try site.end(try site.service.cleanUpTestFailover("web01", notes: nil, by: nil))
    #expect(site.service.power(of: "web01") == nil)
    _ = try site.failover()
    #expect(site.service.power(of: "web01")?.state == .on)
    #expect(
      try site.refusal {
        _ = try site.service.stopMachine("web01", isTest: false, .init(seconds: 0), by: nil)
      }.contains("1 s"))
  }
}
