import FileIO
import Foundation
import Support
import Testing

/// Goal: bad input ends with a message that says what to do, its documented status, and nothing lost.
/// Method: each case against a vault with a machine and a point, which are checked afterwards.
@Suite struct BadInputTests {
  /// A vault with one machine and one point.
  static func prepare(_ purpose: String) throws -> Tool {
    let tool = try Tool.withVault(purpose)
    let image = try tool.image("good.img", size: 4 << 20)
    var random = SeededGenerator(for: purpose)
    try File(image, .writing).write(random.bytes(1 << 20), at: 1 << 20)
    try tool.require("machine", "add", "good", "--disk", image)
    try tool.require("replicate", "good")
    return tool
  }

  /// Expects a failure with a status and words, and that the vault is as it was.
  func expect(
    _ tool: Tool, _ arguments: String..., status: Int32, saying words: String...
  ) throws {
    let points = try tool.points(of: "good")
    let result = try tool.start(arguments).wait(seconds: 120)
    #expect(result.status == status, "\(arguments): \(result.report)")
    #expect(result.output.isEmpty)
    for word in words { #expect(result.errors.contains(word), "\(result.errors)") }
    #expect(try tool.points(of: "good") == points)
    #expect(try tool.run("verify").status == 0)
  }

  @Test("what is no vault is not taken for one")
  func noVault() throws {
    let tool = try Self.prepare("no-vault")
    let other = tool.file("other")
    try FileSystem.system.makeDirectory(other)
    try expect(tool, "status", "--vault", other, status: 10, saying: "is no vault", "vault init")
    try expect(tool, "status", "--vault", tool.file("missing"), status: 10, saying: "no vault")
    try expect(tool, "status", "--vault", "nickname", status: 10, saying: "neither")
    try expect(tool, "vault", "init", tool.vault, status: 14, saying: "is a vault already")
    try expect(tool, "vault", "init", tool.directory.path, status: 14, saying: "not empty")
    try expect(
      tool, "vault", "init", tool.file("new"), "--name", "a/b", status: 14, saying: "a/b")
    #expect(!FileSystem.system.exists(tool.file("new")))
  }

  @Test("a vault of a newer version is left alone")
  func newerVersion() throws {
    let tool = try Self.prepare("newer")
    let path = tool.vault + "/vault.json"
    let text = String(decoding: try FileSystem.system.readFile(path, limit: 4096), as: UTF8.self)
    let newer = text.replacing(/"version" ?: ?1/, with: "\"version\" : 2")
    #expect(newer != text)
    try FileSystem.system.replaceFile(path, with: Array(newer.utf8), permissions: 0o600)
    for command in [["status"], ["replicate", "good"], ["machine", "remove", "good", "--yes"]] {
      let result = try tool.start(command).wait(seconds: 60)
      #expect(result.status == 10)
      #expect(result.errors.contains("newer"))
    }
    try FileSystem.system.replaceFile(path, with: Array(text.utf8), permissions: 0o600)
    #expect(try tool.run("verify").status == 0)
    #expect(try tool.points(of: "good").count == 1)
  }

  @Test("a second writer is refused, readers are not")
  func secondWriter() throws {
    let tool = try Self.prepare("second-writer")
    let holder = try Program("flock", [tool.vault + "/lock", "sleep", "60"])
    defer { holder.killGroup() }
    let held = Program.poll(seconds: 10) {
      (try? Program.run("flock", "-n", tool.vault + "/lock", "true"))?.status == 1
    }
    #expect(held)
    try expect(tool, "replicate", "good", status: 11, saying: "Another process is writing")
    try expect(tool, "machine", "remove", "good", "--yes", status: 11)
    let image = try tool.image("b.img", size: 512)
    try expect(tool, "machine", "add", "b", "--disk", image, status: 11)
    #expect(try tool.run("status").status == 0)
  }

  @Test("unknown machines, points and disks are named, with what there is")
  func unknownNames() throws {
    let tool = try Self.prepare("unknown")
    try expect(tool, "machine", "show", "bad", status: 13, saying: "'bad'", "'good'")
    try expect(tool, "replicate", "../good", status: 13, saying: "../good")
    try expect(tool, "point", "show", "good", "nothing", status: 13, saying: "nothing")
    try expect(tool, "point", "show", "good", "2001-01-01T00:00:00Z", status: 13, saying: "before")
    try expect(tool, "point", "show", "good", "2100-01-01T00:00:00Z", status: 13, saying: "later")
    try expect(
      tool, "point", "show", "good", "latest-app-consistent", status: 13, saying: "app-consistent")
    try expect(
      tool, "export", "good", "--point", "latest", "--disk", "7", "--format", "raw",
      tool.file("o.img"), status: 13, saying: "disk 7")
    #expect(!FileSystem.system.exists(tool.file("o.img")))
  }

  @Test("names that break the rules or escape a path are refused")
  func badNames() throws {
    let tool = try Self.prepare("names")
    for name in ["../evil", "a/b", ".", "..", "-x", "test-failovers", "a b", "good"] {
      let result = try tool.start(
        ["machine", "add", "--disk", tool.file("good.img"), "--", name]
      ).wait(seconds: 60)
      #expect(result.status == 14, "\(name): \(result.report)")
    }
    #expect((try tool.json("machine", "list")["machines"] as? [Any])?.count == 1)
    try expect(tool, "replicate", "good", "--label", "latest", status: 14, saying: "latest")
    try expect(tool, "replicate", "good", "--label", "a/b", status: 14)
  }

  @Test("disks of no bytes, or not of whole sectors, are refused when added and when replicated")
  func badSizes() throws {
    let tool = try Self.prepare("sizes")
    let empty = try tool.image("empty.img", size: 0)
    let odd = try tool.image("odd.img", size: 4097)
    try expect(tool, "machine", "add", "m", "--disk", empty, status: 15, saying: "no bytes")
    try expect(tool, "machine", "add", "m", "--disk", odd, status: 15, saying: "4097", "512")
    try expect(
      tool, "machine", "add", "m", "--disk", tool.file("gone.img"), status: 15, saying: "gone.img")
    try File(tool.file("good.img"), .writing).truncate(to: 2 << 20)
    try expect(
      tool, "replicate", "good", status: 15, saying: "2097152", "4194304", "--accept-size")
    try FileSystem.system.remove(tool.file("good.img"))
    try expect(tool, "replicate", "good", status: 15, saying: "good.img", "intact")
  }

  @Test("a VHD that is cut off, has a wrong checksum or a parent is no disk")
  func badVHDs() throws {
    let tool = try Self.prepare("vhds")
    for (format, name) in [("vhd", "fixed"), ("vhd-dynamic", "dynamic")] {
      let whole = tool.file("\(name).vhd")
      try tool.require("export", "good", "--point", "latest", "--format", format, whole)
      let bytes = try FileSystem.system.readFile(whole, limit: 1 << 26)
      func variant(_ kind: String, _ change: (inout [UInt8]) -> Void) throws -> String {
        var changed = bytes
        change(&changed)
        let path = tool.file("\(name)-\(kind).vhd")
        try File(path, .creating(permissions: 0o600)).write(changed, at: 0)
        return path
      }
      let short = try variant("short") { $0.removeLast($0.count / 2) }
      let checksum = try variant("checksum") { $0[$0.count - 512 + 70] ^= 0x40 }
      let child = try variant("child") { bytes in
        Self.makeDifferencing(&bytes, footerAt: bytes.count - 512)
        if format == "vhd-dynamic" { Self.makeDifferencing(&bytes, footerAt: 0) }
      }
      try expect(tool, "machine", "add", "m", "--disk", short, status: 15, saying: short)
      try expect(tool, "machine", "add", "m", "--disk", checksum, status: 15, saying: "checksum")
      try expect(tool, "machine", "add", "m", "--disk", child, status: 15, saying: "differencing")
    }
    try expect(
      tool, "machine", "add", "m", "--disk", tool.image("disk.vhdx", size: 1 << 20), status: 14,
      saying: "qemu-img convert")
  }

  /// Turns a VHD's footer into that of a differencing disk, with a right checksum
  /// (VHD specification, "Hard Disk Footer Format").
  static func makeDifferencing(_ bytes: inout [UInt8], footerAt start: Int) {
    bytes[start + 63] = 4
    for index in start + 64..<start + 68 { bytes[index] = 0 }
    let sum = ~bytes[start..<start + 512].reduce(UInt32(0)) { $0 &+ UInt32($1) }
    for index in 0..<4 {
      bytes[start + 64 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * index))
    }
  }

  @Test(
    "a vault on a read-only file system is read, and not written", .enabled(if: Available.root))
  func readOnly() throws {
    let mount = try LoopMount(.ext4, size: 64 << 20)
    let tool = try Tool("read-only")
    let vault = mount.file("vault")
    try tool.require("vault", "init", vault)
    let image = try tool.image("a.img", size: 1 << 20)
    try tool.require("machine", "add", "m", "--disk", image, "--vault", vault)
    let point = try tool.require("replicate", "m", "--vault", vault)
    try Program.require("mount", "-o", "remount,ro", mount.path)
    defer { _ = try? Program.run("mount", "-o", "remount,rw", mount.path) }
    let result = try tool.run("replicate", "m", "--vault", vault)
    #expect(result.status == 16, "\(result.report)")
    #expect(try tool.run("machine", "remove", "m", "--yes", "--vault", vault).status == 16)
    #expect(try tool.require("point", "list", "m", "--vault", vault).contains(point))
    #expect(try tool.run("verify", "--vault", vault).status == 0)
    let out = tool.file("out.img")
    try tool.require(
      "export", "m", "--point", point, "--format", "raw", "--vault", vault, "--verify", out)
    let blocked = try tool.run(
      "export", "m", "--point", point, "--format", "raw", "--vault", vault, mount.file("o.img"))
    #expect(blocked.status == 16, "\(blocked.report)")
  }

  @Test("a full file system stops a replication, and loses nothing", .enabled(if: Available.root))
  func fullFileSystem() throws {
    let mount = try LoopMount(.ext4, size: 48 << 20)
    let tool = try Tool("full")
    let vault = mount.file("vault")
    try tool.require("vault", "init", vault)
    let image = try tool.image("a.img", size: 80 << 20)
    var random = SeededGenerator(for: "full")
    let file = try File(image, .writing)
    try file.write(random.bytes(4 << 20), at: 0)
    try tool.require("machine", "add", "m", "--disk", image, "--vault", vault)
    let first = try tool.require("replicate", "m", "--vault", vault)
    try Program.require("cp", image, tool.file("first.img"))
    try file.write(random.bytes(60 << 20), at: 8 << 20)
    let result = try tool.run("replicate", "m", "--vault", vault)
    #expect(result.status == 16, "\(result.report)")
    #expect(try tool.run("verify", "--vault", vault).status == 0)
    let out = tool.file("out.img")
    try tool.require(
      "export", "m", "--point", first, "--format", "raw", "--vault", vault, out)
    try Program.require("cmp", tool.file("first.img"), out)
    let blocked = try tool.run(
      "export", "m", "--point", first, "--format", "raw", "--vault", vault, mount.file("o.img"))
    #expect(blocked.status == 16 || blocked.status == 0, "\(blocked.report)")
    try file.punchHole(at: 8 << 20, count: 60 << 20)
    let after = try tool.run("replicate", "m", "--vault", vault)
    #expect(after.status == 0 || after.status == 16, "\(after.report)")
    #expect(try tool.run("verify", "--vault", vault).status == 0)
  }

  @Test("an image is exported only where it would be accepted")
  func exportRules() throws {
    let tool = try Self.prepare("rules")
    try expect(
      tool, "export", "good", "--point", "latest", "--format", "vhd-dynamic", "--check",
      "azure-stack", tool.file("o.vhd"), status: 14, saying: "fixed VHD")
    try expect(
      tool, "export", "good", "--point", "latest", "--format", "raw", tool.file("good.img"),
      status: 14, saying: "exists already")
  }
}
