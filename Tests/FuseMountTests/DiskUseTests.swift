internal import DiskServers
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: what lies on a served disk fares as on a device, and who may use the disks can. Method: file systems that
/// are cut off in the middle, budgets, damage, and other users.
@Suite(
  .serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct DiskUseTests {
  /// Writes files of 200 kB, each synced, until it can't; prints the number of each that is durable.
  private func writer(in path: String) throws -> Program {
    try Program(
      "sh",
      [
        "-c",
        "i=0; while i=$((i+1)); do"
          + " head -c 200000 /dev/zero | tr '\\0' \"$((i%10))\" > \(path)/f$i &&"
          + " sync \(path)/f$i \(path) || exit; echo $i; done",
      ])
  }

  @Test(
    "a file system that was not unmounted replays its journal after kills, and has all that was synced",
    arguments: ["ext4", "xfs"])
  func journal(system: String) throws {
    let directory = try TemporaryDirectory(system)
    let fixture = try VaultFixture("journal", disks: [64 << 20])
    try fixture.mark()
    let file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 320 << 20)
    // XFS needs more room than the small vault's disk has.
    let served =
      try system == "xfs"
      ? ServedBranch(file: file, in: directory) : ServedBranch(try fixture.branch(), of: fixture)
    try Program.require("mkfs.\(system)", system == "xfs" ? "-q" : "-qF", served.disk)
    let path = directory.file("m")
    let mount = try MountedDisk(served.disk, at: path)
    let writer = try writer(in: path)
    #expect(Program.poll(seconds: 20) { writer.outputSoFar.output.contains("3\n") })
    try served.kill()
    usleep(200_000)
    // The file system stops at once and writes nothing more, as if the power had gone (xfs_io(8)).
    try Program.require("xfs_io", "-x", "-c", "shutdown", path)
    let durable = writer.wait(seconds: 20).output.split(separator: "\n").count
    try served.kill()
    try mount.unmount()
    let again = try MountedDisk(served.disk, at: path)
    #expect(durable >= 3)
    for number in 1...max(1, durable) {
      let found = try bytes(of: "\(path)/f\(number)")
      #expect(found == [UInt8](repeating: UInt8(48 + number % 10), count: 200_000), "\(number)")
    }
    try again.unmount()
    if system == "xfs" {
      try Program.require("xfs_repair", "-n", served.disk)
    } else {
      try Program.require("e2fsck", "-fn", served.disk)
    }
  }

  @Test(
    "a branch whose budget is used up says ENOSPC, and can be read; damage says EIO, and only there"
  )
  func errors() throws {
    let fixture = try VaultFixture("errors", disks: [8 << 20])
    var generator = SeededGenerator(for: "content of the disk")
    for offset in [0, 4 << 20] { fixture.write(generator.bytes(1 << 20), at: offset) }
    try fixture.mark()
    let tight = try ServedBranch(try fixture.branch("tight", budget: 1 << 20), of: fixture)
    let disk = try File(tight.disk, .writing)
    let piece = generator.bytes(64 << 10)
    var written = 0
    let failure = code { () throws(IOError) in
      for _ in 0..<64 {
        try disk.write(piece, at: UInt64(written))
        written += piece.count
      }
    }
    #expect(failure == ENOSPC)
    #expect(written > 0 && written <= 1 << 20)
    try disk.sync()
    #expect(try bytes(of: tight.disk, count: piece.count) == piece)
    #expect(try tight.client.status().warnings.contains { $0.contains("budget") })
    let segments = try Program.require(
      "find", fixture.vault.path + "/machines", "-name", "*.seg", "-size", "+1M")
    let segment = try #require(segments.split(separator: "\n").first.map(String.init))
    // In the middle of what the first MiB is stored as.
    try File(segment, .writing).write([UInt8](repeating: 0xA5, count: 64), at: 600_000)
    let hurt = try ServedBranch(try fixture.branch("hurt"), of: fixture)
    let reader = try File(hurt.disk, .reading)
    #expect(code { () throws(IOError) in _ = try reader.read(at: 0, count: 1 << 20) } == EIO)
    #expect(code { () throws(IOError) in _ = try reader.read(at: 4 << 20, count: 1 << 19) } == nil)
    #expect(try hurt.client.status().fault?.isEmpty == false)
  }

  @Test("members of a group may use the disks if it is named, and nobody else")
  func group() throws {
    let directory = try TemporaryDirectory("group")
    let file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    try Program.require("chmod", "a+x", directory.path)
    let served = try ServedBranch(file: file, in: directory, group: 4321)
    let write = [
      "--clear-groups", "--reuid=65534", "dd", "if=/dev/zero", "of=\(served.disk)", "bs=4k",
      "count=1",
      "conv=notrunc",
    ]
    let member = try Program("setpriv", ["--regid=4321"] + write).wait(seconds: 20)
    #expect(member.succeeded, "\(member.report)")
    try served.kill()
    #expect(try !Program("setpriv", ["--regid=65534"] + write).wait(seconds: 20).succeeded)
    #expect(try FileSystem.system.status(served.disk).permissions == 0o660)
  }

  @Test("an ordinary user serves disks through fusermount3, for that user alone, over kills")
  func ordinaryUser() throws {
    let device = try OpenDevice()
    defer { withExtendedLifetime(device) {} }
    let directory = try TemporaryDirectory("user")
    let file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    try FileSystem.system.makeDirectory(directory.file("run"))
    try Program.require("chown", "65534:65534", file, directory.file("run"))
    try Program.require("chmod", "a+x", directory.path)
    let served = try ServedBranch(
      file: file, in: directory,
      command: [
        "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
        Product.path("MountServer"),
      ])
    let write = ["dd", "if=/dev/zero", "of=\(served.disk)", "bs=4k", "conv=notrunc,fsync"]
    for holder in [false, true, false] {
      let result = try ServedMount.asNobody("sh", "-c", write.joined(separator: " ") + " count=9")
      #expect(result.succeeded, "\(result.report)")
      try served.kill(holder: holder)
      #expect(Program.poll(seconds: 10) { (try? served.client.status().holder) != nil })
    }
    #expect(code { () throws(IOError) in _ = try File(served.disk, .reading) } == EACCES)
    try served.servers.end(served.branch, within: 5)
    #expect(served.isGone)
  }
}
