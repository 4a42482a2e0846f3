internal import DiskServers
internal import FileIO
internal import Glibc
internal import Support
internal import Testing
internal import Vault

/// Goal: disks that can't be served any more are not, nothing is left of their servers, and who uses them is told
/// the truth. Method: real servers whose disks are taken away, or fail, beneath them.
@Suite(
  .serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct DiskServerEndTests {
  @Test(
    "when a branch or its vault is removed the server ends within seconds, whoever has a disk open",
    arguments: [true, false])
  func removed(isVault: Bool) throws {
    let fixture = try VaultFixture("removed", disks: [1 << 20])
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    let lost = isVault ? fixture.vault.path : "\(fixture.vault.path)/branches/\(served.branch)"
    // The server may make a file in a directory that is just being removed.
    try Program.require("sh", "-c", "until rm -rf \(lost); do sleep 0.1; done")
    #expect(Program.poll(seconds: 10) { served.isGone })
    #expect(code { () throws(IOError) in try disk.write([2], at: 0) } != nil)
    #expect(try served.servers.running().isEmpty)
  }

  @Test("on SIGTERM all is durable at once, and the server ends when nobody has the disks open")
  func terminated() throws {
    let fixture = try VaultFixture("terminated", disks: [1 << 20])
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    do {
      let disk = try File(served.disk, .writing)
      try disk.write([1], at: 0)
      for process in served.client.directory.processes { kill(process, SIGTERM) }
      usleep(300_000)
      try disk.write([2], at: 4096)
      #expect(try served.client.status().starts == 1)
    }
    #expect(Program.poll(seconds: 10) { served.isGone })
    var found: [UInt8] = [0, 0]
    let cut = try fixture.vault.readBranch(served.branch).disk(0)
    try found.withUnsafeMutableBytes { bytes in
      try cut.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<1]), at: 0)
      try cut.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[1...]), at: 4096)
    }
    #expect(found == [1, 2])
    let idle = try ServedBranch(try fixture.branch("idle"), of: fixture)
    kill(try idle.client.status().server, SIGTERM)
    #expect(Program.poll(seconds: 10) { idle.isGone })
  }

  /// A disk of 1 MiB whose flushes fail while a file is there, which `also` adds a sign to.
  private func failing(_ directory: TemporaryDirectory, also sign: String? = nil) throws
    -> ServedBranch
  {
    let file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    if let sign { _ = try File(directory.file("failing.\(sign)"), .creating(permissions: 0o600)) }
    return try ServedBranch(
      file: file, in: directory, ["--failing", directory.file("failing")])
  }

  private func fail(_ directory: TemporaryDirectory) throws {
    _ = try File(directory.file("failing"), .creating(permissions: 0o600))
  }

  @Test(
    "after a flush that failed a successor makes everything durable, and nobody is told of an error"
  )
  func mended() throws {
    let directory = try TemporaryDirectory("mended")
    let served = try failing(directory)
    let disk = try File(served.disk, .writing)
    for round in 1...2 {
      try fail(directory)
      try disk.write([UInt8(round)], at: 0)
      try disk.sync()
      #expect(try served.client.status().starts == round + 1)
      try disk.write([9], at: 4096)
      try disk.sync()
    }
    #expect(try bytes(of: directory.file("disk"), count: 1) == [2])
    #expect(try served.client.status().warnings.isEmpty)
  }

  @Test(
    "where flushes go on failing one successor is tried, then writes and flushes fail; reads go on")
  func failing() throws {
    let directory = try TemporaryDirectory("failing")
    let served = try failing(directory, also: "always")
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    try fail(directory)
    #expect(code { () throws(IOError) in try disk.sync() } == EIO)
    #expect(code { () throws(IOError) in try disk.write([2], at: 0) } == EIO)
    #expect(try bytes(of: served.disk, count: 1) == [1])
    let status = try served.client.status()
    #expect(status.starts == 2)
    #expect(status.fault != nil)
  }

  @Test("where writes are lost that were answered, nobody can go on as if they were there")
  func lost() throws {
    let directory = try TemporaryDirectory("lost")
    let served = try failing(directory)
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    _ = try File(directory.file("failing.lost"), .creating(permissions: 0o600))
    try fail(directory)
    #expect(code { () throws(IOError) in try disk.sync() } == EIO)
    #expect(code { () throws(IOError) in try disk.write([2], at: 0) } == EIO)
    #expect(try bytes(of: served.disk, count: 1) == [1])
    let warnings = try served.client.status().warnings
    #expect(warnings.contains { $0.contains("2 writes are lost") }, "\(warnings)")
    try served.kill()
    #expect(code { () throws(IOError) in try disk.write([2], at: 0) } == EIO)
  }

  /// Looks for what a successor does with disks of which writes may be lost.
  private func isReadOnly(_ served: ServedBranch) throws {
    let disk = try File(served.disk, .writing)
    #expect(code { () throws(IOError) in try disk.write([2], at: 0) } == EIO)
    #expect(code { () throws(IOError) in try disk.sync() } == EIO)
    #expect(try bytes(of: served.disk, count: 1) == [1])
    let warnings = try served.client.status().warnings
    #expect(warnings.contains { $0.contains("writes may be lost") }, "\(warnings)")
  }

  @Test(
    "a flush of plain files that failed is told of, and no successor takes writes as if it had not")
  func plain() throws {
    let directory = try TemporaryDirectory("plain")
    let served = try failing(directory, also: "plain")
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    try fail(directory)
    #expect(code { () throws(IOError) in try disk.sync() } == EIO)
    #expect(try served.client.status().starts == 1)
    try served.kill()
    #expect(Program.poll(seconds: 60) { (try? served.client.status().starts) == 2 })
    try isReadOnly(served)
  }

  @Test("plain files that can't be made durable are not handed over")
  func plainHandOver() throws {
    let directory = try TemporaryDirectory("plain-hand-over")
    let served = try failing(directory, also: "plain")
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    try fail(directory)
    #expect(throws: DiskServerError.self) { try served.client.handOver() }
    #expect(try served.client.status().starts == 1)
    #expect(code { () throws(IOError) in try disk.sync() } == EIO)
  }

  @Test("where the last flush of plain files fails at a hand-over, the successor takes no writes")
  func plainClosing() throws {
    let directory = try TemporaryDirectory("plain-closing")
    let served = try failing(directory, also: "closing")
    let disk = try File(served.disk, .writing)
    try disk.write([1], at: 0)
    try served.client.handOver()
    #expect(Program.poll(seconds: 60) { (try? served.client.status().starts) == 2 })
    try isReadOnly(served)
  }

  @Test("a disk that is kept on itself is not served")
  func ownDisk() throws {
    let directory = try TemporaryDirectory("own")
    let (first, link) = (directory.file("first"), directory.file("link"))
    try File(first, .creating(permissions: 0o600)).truncate(to: 16 << 20)
    try Program.require("ln", "-s", first, link)
    let served = try ServedBranch(file: link, in: directory)
    try Program.require("mkfs.ext4", "-q", "-F", served.disk)
    let mount = try MountedDisk(served.disk, at: directory.file("m"))
    try File(mount.path + "/second", .creating(permissions: 0o600)).truncate(to: 1 << 20)
    try Program.require("ln", "-sfn", mount.path + "/second", link)
    try served.kill()
    #expect(Program.poll(seconds: 10) { served.isGone })
    #expect(FileSystem.system.exists(first))
  }
}
