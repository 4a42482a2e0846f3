import FileIO
import Foundation
import Support
import Testing

/// Goal: whatever file system a machine has, every recovery point is its disk of that cycle, byte for
/// byte, and as good to the file system's own tools. Method: images made by mkfs and filled with real
/// files; `TIDEMARK_CYCLES` cycles of change on images of `TIDEMARK_IMAGE_MIB`.
@Suite(.enabled(if: Available.root && Available.fuse), .serialized) struct FileSystemCyclesTests {
  static let cycles = Count.of("TIDEMARK_CYCLES", normally: 8)
  /// mkfs.xfs makes nothing smaller than 300 MiB.
  static func size(_ kind: LoopMount.Kind) -> UInt64 {
    let wanted = UInt64(Count.of("TIDEMARK_IMAGE_MIB", normally: 256))
    return (kind == .xfs ? max(320, wanted) : wanted) << 20
  }

  @Test(
    "every point is the disk as it was at its cycle", arguments: LoopMount.Kind.allCases)
  func cycles(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "cycles on \(kind)")
    let tool = try Tool.withVault("cycles-\(kind)")
    let size = Self.size(kind)
    let guest = try GuestFileSystem(kind, image: tool.file("disk.img"), size: size)
    try guest.fill(upTo: size / 2)
    try tool.require("machine", "add", "m", "--disk", guest.image)
    var digests = [(try tool.require("replicate", "m"), try digest(of: guest.image))]
    for _ in 0..<Self.cycles {
      try guest.change(&random)
      digests.append((try tool.require("replicate", "m"), try digest(of: guest.image)))
    }
    #expect(try tool.points(of: "m") == digests.map(\.0))
    let mount = try VaultMount(tool)
    for (point, expected) in digests {
      #expect(try digest(of: mount.file("m", point, "disk0.raw")) == expected, "\(point)")
    }
    let newest = mount.file("m", digests[digests.count - 1].0, "disk0.raw")
    let status = try guest.check(newest)
    #expect(try status == guest.check(guest.image) && status == 0)
    try compareFiles(tool, newest, guest.image)
    let vhd = tool.file("disk.vhd")
    try tool.require("export", "m", "--point", "latest", "--format", "vhd", "--verify", vhd)
    try Program.require(
      "qemu-img", "compare", "-f", "raw", "-F", "vpc", guest.image, vhd, seconds: 600)
    #expect(try tool.run("verify").status == 0)
  }

  /// Mounts both images read-only and compares all files.
  private func compareFiles(_ tool: Tool, _ one: String, _ other: String) throws {
    let places = [(one, tool.file("one")), (other, tool.file("other"))]
    for (image, place) in places {
      try FileSystem.system.makeDirectory(place)
      // A copy of a file system has the same identifier, which XFS and btrfs mount only once.
      let isXFS = try Program.run("blkid", "-o", "value", "-s", "TYPE", image).output == "xfs\n"
      try Program.require("mount", "-o", isXFS ? "loop,ro,nouuid" : "loop,ro", image, place)
      try Program.require(
        "bash", "-c", "cd \"$1\" && find . -type f -print0 | sort -z | xargs -0 sha256sum >\"$2\"",
        "list", place, place + ".list", seconds: 600)
      try Program.require("umount", place)
    }
    let list = try FileSystem.system.status(tool.file("one.list"))
    #expect(list.size > 1000)
    try Program.require("cmp", tool.file("one.list"), tool.file("other.list"))
  }

  @Test("a machine in use, captured by cloning, is at every point as after a power cut")
  func liveImage() throws {
    var random = SeededGenerator(for: "live image")
    let host = try LoopMount(.xfs, size: 2 << 30)
    let tool = try Tool.withVault("live")
    let guest = try GuestFileSystem(.ext4, image: host.file("disk.img"), size: 256 << 20)
    try guest.fill(upTo: 100 << 20)
    try tool.require("machine", "add", "m", "--disk", guest.image, "--capture", "reflink")
    try guest.mounted { path in
      for _ in 0..<Self.cycles {
        let writer = try Program(
          "bash",
          [
            "-c",
            "cd \"$1\"; while :; do dd if=/dev/urandom of=live-$((RANDOM % 100)) bs=64k "
              + "count=$((RANDOM % 9 + 1)) conv=fsync status=none; rm -f live-1*; done", "writer",
            path,
          ])
        defer {
          writer.killGroup()
          _ = writer.wait(seconds: 10)
        }
        try guest.change(in: path, &random)
        try tool.require("replicate", "m")
      }
    }
    let points = try tool.points(of: "m")
    #expect(points.count == Self.cycles)
    for point in points {
      let copy = tool.file("copy.img")
      try tool.require(
        "export", "m", "--point", point, "--format", "raw", "--verify", "--force", copy)
      // The journal is replayed; nothing else may be left to mend.
      let replay = try Program.run("e2fsck", "-E", "journal_only", "-y", copy)
      #expect(replay.status == 0 || replay.status == 1, "\(replay.report)")
      let check = try Program.run("e2fsck", "-fn", copy)
      #expect(check.status == 0, "\(point): \(check.report)")
    }
  }

  @Test("the partitions of a disk are mounted as they are")
  func partitions() throws {
    var random = SeededGenerator(for: "partitions")
    let tool = try Tool.withVault("partitions")
    let image = try tool.image("disk.img", size: 64 << 20)
    try Program.require(
      "sgdisk", "--clear", "--new=1:2048:65535", "--new=2:65536:0", "--typecode=1:8300", image)
    try Program.require(
      "mkfs.ext4", "-q", "-F", "-E", "offset=1048576", image, "31744k")
    try tool.require("machine", "add", "m", "--disk", image)
    try tool.require("replicate", "m")
    let place = tool.file("part")
    try FileSystem.system.makeDirectory(place)
    try Program.require("mount", "-o", "loop,offset=1048576", image, place)
    let content = random.bytes(100_000)
    try File(place + "/file", .creating(permissions: 0o600)).write(content, at: 0)
    try Program.require("umount", place)
    #expect(LoopMount.isDetached(image))
    let point = try tool.require("replicate", "m")
    let mount = try VaultMount(tool)
    let part = mount.file("m", point, "disk0.part1.raw")
    #expect(try FileSystem.system.status(part).size == 31 << 20)
    try Program.require("mount", "-o", "loop,ro", part, place)
    #expect(try FileSystem.system.readFile(place + "/file", limit: 1 << 20) == content)
    try Program.require("umount", place)
  }
}
