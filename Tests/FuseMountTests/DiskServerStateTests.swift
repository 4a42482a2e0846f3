internal import DiskServers
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: a disk server that is in a state of its own says so, and its users lose nothing by it. Method: real servers
/// that hang, crash again and again, or are of two releases, and disks of unusual sizes.
@Suite(
  .serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct DiskServerStateTests {
  private let directory: TemporaryDirectory
  private let file: String
  private let holding: String

  init() throws {
    directory = try TemporaryDirectory("states")
    (file, holding) = (directory.file("disk"), directory.file("holding"))
    try make(8 << 20)
  }

  private func make(_ size: UInt64) throws {
    try? FileSystem.system.remove(file)
    try File(file, .creating(permissions: 0o600)).truncate(to: size)
  }

  private func hold() throws { _ = try File(holding, .creating(permissions: 0o600)) }
  private func release() throws { try FileSystem.system.remove(holding) }

  @Test(
    "what every server crashes on is refused in the end, all else is answered, and nothing stays open"
  )
  func wary() throws {
    let served = try ServedBranch(file: file, in: directory, ["--holding", holding])
    do {
      let disk = try File(served.disk, .writing)
      try disk.write([1], at: 0)
      try hold()
      let held = try HeldWrite([2], to: served.disk, at: 4096)
      #expect(HeldWrite.isHeld(by: served, start: 1))
      _ = try File(holding + ".crash", .creating(permissions: 0o600))
      #expect(held.result(within: 60) == EIO)
      try FileSystem.system.remove(holding + ".crash")
      try release()
      try disk.write([3], at: 8192)
      try disk.sync()
      #expect(try served.client.status().starts == 4)
      #expect(
        try bytes(of: file, count: 8193).enumerated().filter { $0.1 != 0 }.map(\.1) == [1, 3])
    }
    #expect(Program.poll(seconds: 20) { (try? served.client.status().isInUse) == false })
    // Killed by somebody, and not by what it was asked: the next one takes everything again.
    try served.kill()
    try hold()
    let held = try HeldWrite([4], to: served.disk, at: 4096)
    #expect(HeldWrite.isHeld(by: served, start: 5))
    try served.kill()
    #expect(HeldWrite.isHeld(by: served, start: 6))
    try release()
    #expect(held.result(within: 30) == 0)
    #expect(try bytes(of: file, at: 4096, count: 1) == [4])
  }

  @Test("a server that hangs is noticed in the time that is given, and one request that does, too")
  func hanging() throws {
    let served = try ServedBranch(file: file, in: directory, ["--holding", holding])
    let process = try served.client.status().server
    #expect(served.client.directory.server == process)
    kill(process, SIGSTOP)
    do throws(DiskServerError) {
      _ = try served.client.status(within: 0.3)
      Issue.record("a stopped server answered")
    } catch { #expect(error.code == .timeout) }
    kill(process, SIGCONT)
    #expect(try served.client.status().oldestSeconds == nil)
    try hold()
    let held = try HeldWrite([1], to: served.disk, at: 0)
    #expect(Program.poll(seconds: 30) { (try? served.client.status().oldestSeconds) ?? 0 > 0.5 })
    try release()
    #expect(held.result(within: 30) == 0)
    #expect(Program.poll(seconds: 30) { (try? served.client.status())?.oldestSeconds == nil })
  }

  @Test("of another release than its server's, a holder is replaced, and nobody notices")
  func versions() throws {
    let version = directory.file("version")
    try File(version, .creating(permissions: 0o600)).write(Array("1".utf8), at: 0)
    let served = try ServedBranch(file: file, in: directory, ["--version", version])
    let disk = try File(served.disk, .writing)
    let first = try served.client.status()
    #expect(first.version == "1")
    try File(version, .writing).write(Array("2".utf8), at: 0)
    try served.client.handOver()
    try disk.write([1], at: 0)
    let isReplaced = Program.poll(seconds: 30) {
      guard let status = try? served.client.status(), let holder = status.holder else {
        return false
      }
      return status.version == "2" && holder != first.holder
    }
    #expect(isReplaced)
    try disk.write([2], at: 4096)
    try served.kill()
    try disk.write([3], at: 8192)
    #expect(try served.client.status().starts == 3)
    #expect(try bytes(of: file, count: 1) == [1] && bytes(of: file, at: 8192, count: 1) == [3])
  }

  @Test(
    "a disk of any size is as long as it is, and whole to its last byte",
    arguments: [1, 511, 4097, (1 << 20) + 777, (8 << 20) - 512] as [UInt64])
  func sizes(size: UInt64) throws {
    try make(size)
    var generator = SeededGenerator(for: "content")
    let content = generator.bytes(Int(size))
    let served = try ServedBranch(file: file, in: directory)
    #expect(try FileSystem.system.status(served.disk).size == size)
    do {
      let disk = try File(served.disk, .writing)
      try disk.write(content, at: 0)
      let last = UInt64(max(0, Int(size) - 3))
      #expect(code { () throws(IOError) in try disk.write([9, 9, 9, 9, 9], at: last) } == ENOSPC)
      try disk.write(Array(content[Int(last)...]), at: last)
      #expect(code { () throws(IOError) in try disk.write([9], at: size) } == ENOSPC)
      try disk.sync()
      #expect(try disk.read(at: 0, count: content.count) == content)
      try served.kill()
      #expect(try disk.read(at: 0, count: content.count) == content)
    }
    #expect(try bytes(of: served.disk, count: content.count) == content)
    #expect(try bytes(of: file, count: content.count) == content)
    #expect(try FileSystem.system.status(file).size == size)
  }

  @Test("without a group nobody else gets in; with one its members can't steer the server")
  func others() throws {
    try Program.require("chmod", "a+x", directory.path)
    func read(_ path: String) throws -> Bool {
      try Program(
        "setpriv",
        ["--clear-groups", "--reuid=65534", "--regid=4321", "head", "-c1", path]
      ).wait(seconds: 20).succeeded
    }
    let own = try ServedBranch(file: file, in: directory)
    #expect(try !read(own.disk))
    let other = directory.file("other")
    try File(other, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    let shared = try ServedBranch(file: other, in: directory, group: 4321)
    #expect(try read(shared.disk))
    let control = try FileSystem.system.status(shared.client.directory.control)
    #expect(control.permissions & 0o077 == 0)
    for change in [["chmod", "666"], ["chown", "65534"]] {
      #expect(try !Program(change[0], [change[1], shared.disk]).wait(seconds: 20).succeeded)
    }
    #expect(try FileSystem.system.status(shared.disk).permissions == 0o660)
  }
}
