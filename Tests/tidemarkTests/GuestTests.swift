import FileIO
import Foundation
import Support
import Testing

/// Goal: an app-consistent point of a real machine needs no repair. Method: Debian under QEMU with its own
/// qemu-guest-agent, writing all the time; `TIDEMARK_GUESTS` says how many points of each kind are looked at.
@Suite(.serialized) struct GuestTests {
  static let count = Count.of("TIDEMARK_GUESTS", normally: 0)

  /// What dumpe2fs(8) and e2fsck(8) say of the file system on a disk's partition.
  private static func judge(_ disk: String) throws -> (needsRecovery: Bool, isClean: Bool) {
    let part = disk + ".part"
    try Program.require(
      "dd", "if=\(disk)", "of=\(part)", "bs=1M", "skip=1", "conv=sparse", "status=none")
    defer { try? FileSystem.system.remove(part) }
    let facts = try Program.require("dumpe2fs", "-h", part)
    let check = try Program.run("e2fsck", "-f", "-n", part)
    return (facts.contains("needs_recovery"), check.status == 0)
  }

  @Test(
    "a guest's app-consistent points are clean without its journal; it goes on writing",
    .enabled(if: count > 0 && DebianDisk.isAvailable))
  func points() throws {
    let mount = try LoopMount(.xfs, size: 12 << 30)
    let disk = mount.file("web01.img")
    try DebianDisk.copy(to: disk)
    let guest = try Guest(disk: disk)
    try guest.start(
      "mkdir -p /srv/load; i=0; while :; do i=$((i+1)); head -c 300000 /dev/urandom >/srv/load/new; "
        + "mv /srv/load/new /srv/load/$((i%100)); sleep 0.05; done")
    let tool = try Tool.withVault("guest")
    let service = try RunningService(tool, "--https-port", "0", "--replication-port", "0")
    let port = try #require(try service.notice()["httpsPort"] as? Int)
    let key = try #require(try tool.json("key", "create")["key"] as? String)
    func agent(_ arguments: String...) throws -> Program {
      try tool.start(["agent"] + arguments + ["--state", tool.file("state")])
    }
    func require(_ program: Program) throws {
      let result = program.wait(seconds: 60)
      try #require(result.succeeded, "\(result.report)")
    }
    try require(
      agent("enrol", "--service", "127.0.0.1:\(port)", "--key", key, "--name", "web01"))
    try require(agent("add-disk", disk, "--capture", "reflink"))
    try require(agent("set-hook", "guest-agent", "--socket", guest.agentSocket))
    try require(agent("test-hook"))
    let running = try agent("run")
    #expect(Program.poll(seconds: 60) { running.outputSoFar.errors.contains("not enabled") })
    try tool.require(
      "machine", "enable", "web01", "--interval", "10", "--app-interval", "20")
    #expect(
      try Program.poll(seconds: 240 + 90 * Double(Self.count)) {
        let points = try tool.points(of: "web01")
        let quiet = points.count { $0.hasSuffix("-app") }
        return quiet >= Self.count && points.count - quiet >= Self.count
      })
    running.signal(SIGTERM)
    let end = running.wait(seconds: 60)
    #expect(end.succeeded, "\(end.report)")
    for point in try tool.points(of: "web01") {
      let out = mount.file("out.img")
      try tool.require("export", "web01", "--point", point, "--format", "raw", out)
      let (needsRecovery, isClean) = try Self.judge(out)
      if point.hasSuffix("-app") {
        #expect(!needsRecovery && isClean, "\(point)")
      } else {
        #expect(needsRecovery, "\(point): the guest writes all the time")
      }
      try FileSystem.system.remove(out)
    }
    #expect(!guest.console.contains("hung_task") && !guest.console.contains("I/O error"))
    #expect(service.stop().status == 0)
  }
}
