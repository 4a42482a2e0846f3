import FileIO
import Foundation
import Support
import Testing

/// Goal: the mount commands start, refuse and end as their help says. What a mount shows is tested
/// where it is made. Method: the real binary, in the background and in the foreground.
@Suite(.enabled(if: Available.fuse)) struct MountCommandTests {
  /// A vault with a machine that has one point.
  static func prepare(_ purpose: String) throws -> Tool {
    let tool = try Tool.withVault(purpose)
    let image = try tool.image("a.img", size: 4 << 20)
    var random = SeededGenerator(for: purpose)
    try File(image, .writing).write(random.bytes(1 << 20), at: 1 << 20)
    try tool.require("machine", "add", "web01", "--disk", image)
    try tool.require("replicate", "web01")
    return tool
  }

  @Test("a mount in the background answers when the command returns, and shows new points")
  func background() throws {
    let tool = try Self.prepare("background")
    let mount = try VaultMount(tool)
    let points = mount.path + "/web01/points"
    #expect(try FileSystem.system.list(points).count == 1)
    try Program.require("cmp", tool.file("a.img"), mount.path + "/web01/latest/disk0.raw")
    try File(tool.file("a.img"), .writing).write([1, 2, 3], at: 5000)
    let point = try tool.require("replicate", "web01", "--label", "second")
    #expect(
      Program.poll(seconds: 5) {
        (try? FileSystem.system.list(points).contains(point)) == true
      })
    try Program.require("cmp", tool.file("a.img"), mount.file("web01", point, "disk0.raw"))
    // While somebody reads a disk of it the machine stays.
    try keepsMachine(tool, mount.file("web01", point, "disk0.raw"))
    let again = try tool.run("mount", mount.path)
    #expect(again.status == 14 && again.errors.contains("mounted there already"))
  }

  private func keepsMachine(_ tool: Tool, _ path: String) throws {
    let disk = try File(path, .reading)
    let refused = try tool.run("machine", "remove", "web01", "--yes")
    #expect(refused.status == 14, "\(refused.report)")
    #expect(refused.errors.contains("'\(path)' is open in process \(RunningProcess.own)"))
    #expect(refused.errors.contains("'\(Product.tidemark) mount --foreground"), "\(refused.report)")
    #expect(try disk.read(at: 0, count: 4).count == 4)
  }

  @Test("a mount of which no file is open keeps no machine from being removed")
  func removal() throws {
    let tool = try Self.prepare("removal")
    let mount = try VaultMount(tool)
    let machine = mount.path + "/web01"
    try Program.require("cmp", tool.file("a.img"), machine + "/latest/disk0.raw")
    try Program.require("ls", "-lR", machine)
    // The kernel tells the mount a moment later that nobody has the file open any more.
    #expect(
      try Program.poll(seconds: 10) {
        try tool.run("machine", "remove", "web01", "--yes").succeeded
      })
    #expect(Program.poll(seconds: 10) { !FileSystem.system.exists(machine) })
    #expect(try FileSystem.system.list(mount.path).isEmpty)
  }

  @Test("links lead to the disks of a drill and of a failed-over machine while they are served")
  func branches() throws {
    let tool = try Self.prepare("links")
    let mount = try VaultMount(tool)
    let (drills, failovers) = (mount.path + "/test-failovers", mount.path + "/failed-over")
    let exists = FileSystem.system.exists
    #expect(!exists(drills) && !exists(failovers))
    try tool.require("test-failover", "start", "web01")
    #expect(Program.poll(seconds: 5) { (try? FileSystem.system.list(drills)) == ["web01"] })
    let drill = try #require(try FileSystem.system.list(drills + "/web01").first)
    let disk = "\(drills)/web01/\(drill)/disk0.raw"
    try File(disk, .writing).write([1, 2, 3], at: 5000)
    #expect(try File(disk, .reading).read(at: 5000, count: 3) == [1, 2, 3])
    try Program.require("cmp", tool.file("a.img"), mount.path + "/web01/latest/disk0.raw")
    try tool.require("test-failover", "cleanup", "web01", "--notes", "done")
    #expect(Program.poll(seconds: 5) { !exists(drills) })
    try tool.require("failover", "start", "web01", "--point", "latest")
    let failedOver = failovers + "/web01/disk0.raw"
    #expect(Program.poll(seconds: 5) { exists(failedOver) })
    try File(failedOver, .writing).write([4], at: 0)
    try tool.require("failover", "commit", "web01", "--complete-migration", "--yes")
    try File(failedOver, .writing).write([5], at: 0)
    // The mount keeps the machine from being removed.
    try mount.end()
    try tool.require("failover", "discard", "web01", "--yes")
    #expect(try FileSystem.system.list(tool.file("run")).isEmpty)
  }

  @Test("the VHD in the mount is the one that is exported")
  func sameVHD() throws {
    let tool = try Self.prepare("same-vhd")
    let mount = try VaultMount(tool)
    try tool.require(
      "export", "web01", "--point", "latest", "--format", "vhd", tool.file("out.vhd"))
    try Program.require("cmp", tool.file("out.vhd"), mount.path + "/web01/latest/disk0.vhd")
  }

  @Test("a mount in the foreground ends cleanly on SIGTERM")
  func foreground() throws {
    let tool = try Self.prepare("foreground")
    let path = tool.file("mnt")
    try FileSystem.system.makeDirectory(path)
    let program = try tool.start(["mount", "--foreground", path])
    let answers = Program.poll(seconds: 20) {
      (try? FileSystem.system.list(path))?.contains("web01") == true
    }
    #expect(answers)
    program.signal(SIGTERM)
    let result = program.wait(seconds: 20)
    #expect(result.status == 0, "\(result.report)")
    #expect(try FileSystem.system.list(path).isEmpty)
  }

  @Test("a mount that was killed is explained, and cleared away")
  func stale() throws {
    let tool = try Self.prepare("stale")
    let path = tool.file("mnt")
    try FileSystem.system.makeDirectory(path)
    let program = try tool.start(["mount", "--foreground", path])
    #expect(
      Program.poll(seconds: 20) {
        (try? FileSystem.system.list(path))?.contains("web01") == true
      })
    program.killGroup()
    _ = program.wait(seconds: 20)
    let result = try tool.run("mount", path)
    #expect(result.status == 14 && result.errors.contains("unmount"), "\(result.report)")
    try tool.require("unmount", path)
    #expect(try FileSystem.system.list(path).isEmpty)
  }

  @Test("directories that can't be mounted on, and what is not mounted, are refused")
  func refusals() throws {
    let tool = try Self.prepare("refusals")
    #expect(try tool.run("mount", tool.file("missing")).status == 14)
    #expect(try tool.run("mount", tool.file("a.img")).status == 14)
    #expect(try tool.run("mount", tool.directory.path).status == 14)
    #expect(try tool.run("unmount", tool.directory.path).status == 14)
    #expect(try tool.run("mount", tool.file("x"), "--vault", tool.file("none")).status == 10)
  }
}
