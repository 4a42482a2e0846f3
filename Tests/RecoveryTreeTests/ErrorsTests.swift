internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

@testable import RecoveryTree

/// Goal: every failure below the tree has its errno, and damage is EIO, never wrong bytes.
struct ErrorsTests {
  @Test("every code of the vault's errors has an errno", arguments: VaultError.Code.allCases)
  func table(code: VaultError.Code) {
    let errno: Int32 =
      switch code {
      case .unknownMachine, .unknownPoint, .unknownDisk, .unknownBranch, .invalid: ENOENT
      case .locked, .inUse: EBUSY
      case .readOnly: EACCES
      case .cancelled: EINTR
      case .full, .overBudget: ENOSPC
      case .notAVault, .newerVersion, .alreadyExists, .damaged, .malformed, .io: EIO
      }
    let error = TreeError(VaultError(code, "what happened"))
    #expect(error.code == errno)
    #expect(error.message == "what happened")
    #expect(error.isFault == (errno != ENOENT))
  }

  @Test(
    "of a failed system call only what a person can change is handed on",
    arguments: [
      (EMFILE, EMFILE), (ENFILE, ENFILE), (ENOMEM, ENOMEM), (EACCES, EACCES), (ENOENT, EIO),
      (EIO, EIO), (ESTALE, EIO), (EINVAL, EIO),
    ])
  func systemCalls(cause: Int32, errno: Int32) {
    let error = VaultError(.io, "x", cause: IOError("read", "/a", code: cause))
    #expect(TreeError(error).code == errno)
    #expect(TreeError.wrapping(error).code == errno)
  }

  @Test("damage is EIO for the range it hurts; the rest stays readable and is never wrong")
  func damage() throws {
    var generator = SeededGenerator(for: "content and damage")
    let fixture = try VaultFixture(disks: [1 << 20])
    fixture.write(generator.bytes(1 << 20), at: 0)
    let point = try fixture.mark()
    try flip(in: fixture, &generator)
    let walker = try Walker(fixture)
    let file = try walker.file("points/\(point.id)/disk0.raw")
    var failures = 0
    for page in 0..<256 {
      var buffer = [UInt8](repeating: 0xEE, count: 4096)
      do throws(TreeError) {
        #expect(try file.read(at: UInt64(page * 4096), into: &buffer) == 4096)
        #expect(buffer[...] == fixture.history[0].disks[0][page * 4096..<page * 4096 + 4096])
      } catch {
        #expect(error.code == EIO)
        failures += 1
      }
    }
    #expect((1...16).contains(failures), "one cell, or one record: \(failures) pages")
    var whole = [UInt8](repeating: 0, count: 1 << 20)
    try expect(EIO) { () throws(TreeError) in try file.read(at: 0, into: &whole) }
  }

  /// Flips a bit of the stored content, which is about in the middle of the segment.
  private func flip(in fixture: VaultFixture, _ generator: inout SeededGenerator) throws {
    let machines = fixture.vault.path + "/machines"
    let name = try #require(try FileSystem.system.list(machines).first)
    let files = try FileSystem.system.list("\(machines)/\(name)").filter { $0.hasSuffix(".seg") }
    let file = try File("\(machines)/\(name)/\(try #require(files.first))", .writing)
    let place = try file.status().size / 2 + UInt64(generator.number(0..<1000))
    var byte = try file.read(at: place, count: 1)
    byte[0] ^= 1 << UInt8(generator.number(0..<8))
    try file.write(byte, at: place)
  }
}
