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

  @Test(
    "plain files that somebody writes to while they are exported give the disk of before, or no file"
  )
  func writtenMeanwhile() throws {
    let fixture = try VaultFixture("meanwhile", disks: [Self.size])
    fixture.write([UInt8](repeating: 7, count: Self.size), at: 0)
    try fixture.mark()
    let id = try fixture.branch(purpose: .failover).id
    let branch = try fixture.vault.openBranch(id)
    try branch.flatten(FlattenControl())
    try branch.close()
    let found = try FailedOverDisks(VaultFixture.machine, in: fixture.vault, isLive: false)
    let out = fixture.directory.file("out")
    let export = try ExportDisk(
      disk: nil, of: found, in: fixture.vault, format: .raw, for: nil, to: out, replaces: false)
    let again = try fixture.vault.openBranch(id)
    var isWritten = false
    do throws(OperationError) {
      _ = try export.write(
        progress: { _, _ in
          guard !isWritten else { return }
          isWritten = true
          #expect(throws: Never.self) {
            try [UInt8](repeating: 9, count: 5000).withUnsafeBytes {
              try again.disk(0).write($0, at: UInt64(Self.size - 5000))
            }
          }
        }, cancelled: { false })
      let bytes = try? File(out, .reading).read(at: UInt64(Self.size - 1), count: 1)
      #expect(bytes == [7])
    } catch {
      #expect(error.code == .refused && error.message.contains("written to"), "\(error)")
      #expect(!FileSystem.system.exists(out))
    }
    #expect(isWritten)
    try again.close()
    #expect(try self.export(fixture) != nil)
  }

  @Test(
    "of disks that a log does not name any more an export says that they are there, and what to do")
  func unnamed() throws {
    let fixture = try VaultFixture("unnamed", disks: [1 << 20])
    fixture.write([1, 2, 3], at: 0)
    try fixture.mark()
    let branch = try fixture.branch(purpose: .failover).id
    let machine = try fixture.vault.machine(named: VaultFixture.machine)
    let log = try MachineWriter(machine: machine, in: fixture.vault, lock: fixture.lock())
    try log.release(branch)
    try log.close()
    let refusal = #expect(throws: OperationError.self) { try export(fixture) }
    #expect(refusal?.code == .damaged && refusal?.message.contains("\(branch)") == true)
    #expect(refusal?.message.contains("tidemark vault rebuild") == true)
  }
}
