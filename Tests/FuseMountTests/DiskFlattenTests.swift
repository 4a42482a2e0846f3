internal import Bytes
internal import DiskServers
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: the disks of a branch become plain files under whoever uses them. Method: real mounts, programs that
/// write and verify, and servers that are killed.
@Suite(
  .serialized, .timeLimit(.minutes(15 + Count.of("TIDEMARK_DISK_KILLS", normally: 0) / 4)),
  .enabled(if: Available.root && Available.fuse))
struct DiskFlattenTests {
  private static let size = 192 << 20
  /// What is written by the program lies in front of this, what stays as it is behind it.
  private static let border = 32 << 20

  private func isFlat(_ served: ServedBranch) -> Bool {
    (try? served.client.status().copy?.state) == .done
  }

  private func sum(_ path: String) throws -> String {
    try Program.require(
      "sh", "-c", "dd if=\(path) bs=1M skip=\(Self.border >> 20) status=none | sha256sum")
  }

  @Test(
    "what is written is verified while its disk becomes a plain file and its servers are killed")
  func kills() throws {
    var generator = SeededGenerator(for: "moments of kills of a copy")
    let count = environment("TIDEMARK_DISK_KILLS").flatMap { Int($0) } ?? 10
    let fixture = try VaultFixture("branch", disks: [Self.size])
    fixture.write([1], at: 0)
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    let border = Self.border >> 20
    try Program.require(
      "sh", "-c",
      "dd if=/dev/urandom of=\(served.disk) bs=1M seek=\(border) count=100 conv=notrunc,fsync status=none"
    )
    let before = try sum(served.disk)
    let seconds = max(8, count)
    let job = try Program(
      "fio",
      [
        "--name=job", "--filename=\(served.disk)", "--rw=randwrite", "--bs=4k",
        "--size=\(border)M", "--ioengine=libaio", "--iodepth=8", "--direct=1", "--verify=crc32c",
        "--verify_backlog=256", "--fsync=64", "--time_based", "--runtime=\(seconds)",
      ], in: fixture.directory.path)
    try served.client.flatten()
    // Before that nobody but who asked for it knows that a copy is wanted.
    let begun = "\(fixture.vault.path)/branches/\(served.branch)/flatten.state"
    #expect(Program.poll(seconds: 60) { isFlat(served) || FileSystem.system.exists(begun) })
    var whileCopied = 0
    for number in 0..<count where job.isRunning {
      // Behind a kill the copy begins anew: the first ones let it come to no end.
      let longest: UInt32 = number < count / 4 * 3 ? 40_000 : 250_000
      usleep(UInt32.random(in: 1000...longest, using: &generator))
      if !isFlat(served) { whileCopied += 1 }
      try served.kill(holder: UInt32.random(in: 0..<4, using: &generator) == 0)
    }
    print("\(whileCopied) of \(count) kills came before the disk was a plain file")
    #expect(Program.poll(seconds: 200) { isFlat(served) })
    let result = job.wait(seconds: Double(seconds) + 200)
    #expect(result.succeeded, "\(result.report)")
    #expect(try sum(served.disk) == before)
    try served.servers.end(served.branch, within: 20)
    let directory = "\(fixture.vault.path)/branches/\(served.branch)"
    #expect(try !FileSystem.system.list(directory).contains { $0.hasSuffix(".seg") })
    #expect(try sum("\(directory)/disk0.raw") == before)
    #expect(try FileSystem.system.status("\(directory)/disk0.raw").allocated < UInt64(Self.size))
  }

  @Test("a copy that is given up leaves the disk as it is, and its file system whole")
  func cancelled() throws {
    let fixture = try VaultFixture("branch", disks: [64 << 20])
    fixture.write([1], at: 0)
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    try Program.require("mkfs.ext4", "-q", "-F", served.disk)
    let mount = try MountedDisk(served.disk, at: fixture.directory.file("m"))
    try Program.require("sh", "-c", "head -c 9000000 /dev/urandom > \(mount.path)/f; sync")
    #expect(try served.client.status().copy?.state == .idle)
    try served.client.flatten()
    try served.client.cancelFlatten()
    let state = try served.client.status().copy?.state
    #expect(state == .idle || state == .done)
    try served.client.flatten()
    #expect(Program.poll(seconds: 100) { isFlat(served) })
    try Program.require("sh", "-c", "head -c 9000000 /dev/urandom > \(mount.path)/g; sync")
    try Program.require("sh", "-c", "rm \(mount.path)/f; sync; fstrim \(mount.path)")
    try served.kill()
    try mount.unmount()
    try Program.require("e2fsck", "-fn", served.disk)
    #expect(try served.client.status().budgetBytes == nil)
  }
}
