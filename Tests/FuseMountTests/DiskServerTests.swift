internal import Bytes
internal import DiskServers
internal import Dispatch
internal import FileIO
internal import Glibc
internal import Support
internal import Synchronization
internal import Testing
internal import Vault

/// Goal: the disks of a branch can be used as disks, and outlive the processes that serve them. Method: real
/// mounts, file systems on them, and processes that are killed.
@Suite(
  .serialized, .timeLimit(.minutes(15 + Count.of("TIDEMARK_DISK_KILLS", normally: 0) / 4)),
  .enabled(if: Available.root && Available.fuse))
struct DiskServerTests {
  let directory: TemporaryDirectory
  let file: String

  init() throws {
    directory = try TemporaryDirectory("disks")
    file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 64 << 20)
  }

  private func allocated() throws -> UInt64 { try FileSystem.system.status(file).allocated }

  @Test("a file system on a branch stays whole over kills of its server, and trimming frees room")
  func fileSystem() throws {
    let fixture = try VaultFixture("branch", disks: [64 << 20])
    fixture.write([1], at: 0)
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    try Program.require("mkfs.ext4", "-q", "-F", served.disk)
    let mount = try MountedDisk(served.disk, at: fixture.directory.file("m"))
    let writer = try Program(
      "sh",
      ["-c", "for i in 1 2 3 4; do head -c 4000000 /dev/urandom > \(mount.path)/f$i; sync; done"])
    for _ in 0..<4 {
      usleep(150_000)
      try served.kill()
    }
    #expect(writer.wait(seconds: 60).succeeded)
    let sums = try Program.require("sh", "-c", "cd \(mount.path) && cat f1 f2 f3 f4 | sha256sum")
    try served.client.handOver()
    try Program.require("sh", "-c", "echo 3 > /proc/sys/vm/drop_caches")
    #expect(
      try Program.require("sh", "-c", "cd \(mount.path) && cat f1 f2 f3 f4 | sha256sum") == sums)
    try mount.unmount()
    try Program.require("e2fsck", "-fn", served.disk)
    let status = try served.client.status()
    #expect(status.starts >= 5)
    #expect(status.usedBytes ?? 0 > 16_000_000)
    try served.servers.end(served.branch, within: 5)
    let cut = try fixture.vault.readBranch(served.branch)
    #expect(try !cut.changedRanges(0).isEmpty)
  }

  @Test("trimming a file system frees the room of what was deleted")
  func trimming() throws {
    let served = try ServedBranch(file: file, in: directory)
    try Program.require("mkfs.ext4", "-q", "-F", served.disk)
    let mount = try MountedDisk(served.disk, at: directory.file("m"))
    try Program.require("sh", "-c", "head -c 30000000 /dev/urandom > \(mount.path)/f; sync")
    let full = try allocated()
    try Program.require("sh", "-c", "rm \(mount.path)/f; sync; fstrim \(mount.path)")
    #expect(try allocated() + 25_000_000 < full)
    try mount.unmount()
    try Program.require("e2fsck", "-fn", served.disk)
  }

  @Test("what is written is verified while server and holder are killed at random")
  func kills() throws {
    var generator = SeededGenerator(for: "moments of kills")
    let count = environment("TIDEMARK_DISK_KILLS").flatMap { Int($0) } ?? 10
    let fixture = try VaultFixture("kills", disks: [32 << 20])
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    var kills = (server: 0, holder: 0)
    // As many jobs as it takes: how long a kill does depends on the machine.
    while kills.server + kills.holder < count {
      let job = try Program(
        "fio",
        [
          "--name=job", "--filename=\(served.disk)", "--rw=randwrite", "--bs=4k", "--size=32M",
          "--ioengine=libaio", "--iodepth=8", "--direct=1", "--verify=crc32c",
          "--verify_backlog=256", "--time_based", "--runtime=6",
        ], in: directory.path)
      while job.isRunning, kills.server + kills.holder < count {
        usleep(UInt32.random(in: 50_000...500_000, using: &generator))
        let isOfHolder = Bool.random(using: &generator)
        try served.kill(holder: isOfHolder)
        if isOfHolder { kills.holder += 1 } else { kills.server += 1 }
      }
      let result = job.wait(seconds: 300)
      try #require(result.succeeded, "\(result.report)")
    }
    #expect(try served.client.status().starts == kills.server + 1)
  }

  /// Writes its numbers to one block after the other, and knows which were answered.
  private final class Counter: Sendable {
    struct State {
      var answered: [Int: UInt64] = [:]
      /// The block and the number that are not answered.
      var open: (block: Int, number: UInt64)?
      var isEnding = false
    }
    static let blocks = 256
    let state = Mutex(State())
    private let group = DispatchGroup()

    init(_ path: String) throws {
      let disk = try OpenDisk(path)
      DispatchQueue(label: "tidemark.test.counter").async(group: group) { [self] in
        for number in UInt64(1)... {
          let block = Int(number) % Self.blocks
          let isEnding = state.withLock { state in
            state.open = (block, number)
            return state.isEnding
          }
          if isEnding { return }
          do throws(IOError) {
            try disk.write(Self.page(number), at: UInt64(block) << 12)
          } catch { return }
          state.withLock { $0.answered[block] = number }
        }
      }
    }

    static func page(_ number: UInt64) -> [UInt8] {
      let bytes = withUnsafeBytes(of: number.littleEndian) { Array($0) }
      return [UInt8]((0..<512).map { _ in bytes }.joined())
    }

    func end(within seconds: Double) -> State {
      state.withLock { $0.isEnding = true }
      _ = group.wait(timeout: .now() + seconds)
      return state.withLock { $0 }
    }
  }

  @Test(
    "every write that was answered is in the branch, however its servers ended",
    arguments: [true, false])
  func answered(isForced: Bool) throws {
    var generator = SeededGenerator(for: "moments of kills")
    let fixture = try VaultFixture("answered", disks: [1 << 20])
    try fixture.mark()
    let served = try ServedBranch(try fixture.branch(), of: fixture)
    let counter = try Counter(served.disk)
    for _ in 0..<4 {
      usleep(UInt32.random(in: 20_000...200_000, using: &generator))
      try served.kill(holder: Bool.random(using: &generator))
    }
    let before = counter.state.withLock { $0.open?.number ?? 0 }
    #expect(
      Program.poll(seconds: 30) { counter.state.withLock { $0.open?.number ?? 0 } > before + 256 },
      "nobody serves it any more")
    if isForced {
      try served.servers.end(served.branch, within: 0, force: true)
    } else {
      // Nobody is left to hand over to.
      let processes = served.client.directory.processes
      for process in processes { Glibc.kill(process, SIGSTOP) }
      for process in processes { Glibc.kill(process, SIGKILL) }
    }
    let state = counter.end(within: 30)
    #expect(Program.poll(seconds: 30) { served.client.directory.processes.isEmpty })
    let branch = try fixture.vault.openBranch(served.branch)
    let disk = try #require(branch.disks.first)
    #expect(state.answered.count == Counter.blocks)
    for (block, number) in state.answered {
      var page = [UInt8](repeating: 0, count: 4096)
      try page.withUnsafeMutableBytes { try disk.read(into: $0, at: UInt64(block) << 12) }
      let isOpen = state.open.map { $0.block == block && page == Counter.page($0.number) }
      #expect(page == Counter.page(number) || isOpen == true, "block \(block), write \(number)")
    }
    try branch.close()
  }

  @Test("a write that a server has in its hands is answered by the next one, whoever is killed")
  func gap() throws {
    let holding = directory.file("holding")
    let served = try ServedBranch(file: file, in: directory, ["--holding", holding])
    for round in 1...4 {
      let page = [UInt8](repeating: UInt8(round), count: 4096)
      _ = try File(holding, .creating(permissions: 0o600))
      let held = try HeldWrite(page, to: served.disk, at: UInt64(round) << 20)
      #expect(HeldWrite.isHeld(by: served, start: round))
      if round > 2 {
        let holder = try served.kill(holder: true)
        #expect(
          Program.poll(seconds: 30) {
            (try? served.client.status().holder).map { $0 != holder } == true
          })
      }
      try served.kill()
      #expect(HeldWrite.isHeld(by: served, start: round + 1), "the next one was not handed it")
      #expect(try bytes(at: UInt64(round) << 20) != page)
      try FileSystem.system.remove(holding)
      #expect(held.result(within: 30) == 0)
      #expect(try bytes(at: UInt64(round) << 20) == page)
    }
  }

  private func bytes(at offset: UInt64) throws -> [UInt8] {
    try FuseMountTests.bytes(of: file, at: offset, count: 4096)
  }

  @Test(
    "where the kernel can't hand requests out again, they fail at once and later ones are answered")
  func withoutResending() throws {
    let holding = directory.file("holding")
    let served = try ServedBranch(
      file: file, in: directory, ["--no-resend", "--holding", holding])
    let disk = try File(served.disk, .writing)
    _ = try File(holding, .creating(permissions: 0o600))
    let held = try HeldWrite([5], to: served.disk, at: 0)
    #expect(HeldWrite.isHeld(by: served, start: 1))
    try served.kill()
    // It is held yet, so it was not carried out.
    #expect(held.result(within: 30) == ECONNABORTED)
    try FileSystem.system.remove(holding)
    // Until it is gone, a server that dies takes requests yet.
    #expect(Program.poll(seconds: 5) { (try? served.client.status().starts) == 2 })
    #expect(try bytes(at: 0) == [UInt8](repeating: 0, count: 4096))
    try disk.write([7, 7], at: 0)
    try served.kill(holder: true)
    #expect(Program.poll(seconds: 5) { (try? served.client.status().holder) != nil })
    try served.kill()
    #expect(Program.poll(seconds: 5) { (try? served.client.status().starts) == 3 })
    try disk.write([8, 8], at: 0)
    #expect(try bytes(at: 0).prefix(2) == [8, 8])
  }

  @Test(
    "sizes are fixed, overlapping writers are kept apart, and buffered readers see direct writes")
  func rules() throws {
    let image = try File(file, .writing)
    try image.write(VaultFixture.partitionTable([(2048, 2048)]), at: 446)
    let served = try ServedBranch(file: file, in: directory)
    let part = served.running.path(of: 0, partition: 1)
    #expect(try FileSystem.system.status(part).size == 1 << 20)
    #expect(try FileSystem.system.status(part).permissions == 0o600)
    do {
      let whole = try File(served.disk, .writing)
      expect(code: EBUSY) { () throws(IOError) in _ = try File(part, .writing) }
      expect(code: EPERM) { () throws(IOError) in try whole.truncate(to: 4096) }
      try whole.write([1, 2, 3], at: 1 << 20)
      #expect(try File(part, .reading).read(at: 0, count: 3) == [1, 2, 3])
    }
    let opened = Program.poll(seconds: 2) { (try? File(part, .writing)) != nil }
    #expect(opened)
    #expect(try File(served.disk, .reading).read(at: 1 << 20, count: 3) == [1, 2, 3])
    try Program.require(
      "sh", "-c",
      "printf '%4096s' x | dd of=\(part) bs=4096 oflag=direct conv=notrunc status=none")
    #expect(try File(served.disk, .reading).read(at: 1 << 20, count: 1) == [32])
  }

  @Test("a frozen disk is not written to, a used one is neither frozen nor taken away")
  func freezing() throws {
    let served = try ServedBranch(file: file, in: directory)
    do {
      let disk = try File(served.disk, .writing)
      try disk.write([1], at: 0)
      expect(.inUse) { () throws(DiskServerError) in try served.client.freeze(within: 0.1) }
      expect(.inUse) { () throws(DiskServerError) in try served.client.quit(within: 0) }
    }
    try served.client.freeze(within: 5)
    try served.kill()
    expect(code: EROFS) { () throws(IOError) in _ = try File(served.disk, .writing) }
    #expect(try served.client.status().isFrozen)
    try served.client.thaw()
    try File(served.disk, .writing).write([2], at: 0)
    try served.servers.end(served.branch, within: 5)
    #expect(!FileSystem.system.exists(served.client.directory.path))
    #expect(try served.servers.running().isEmpty)
    expect(.notRunning) { () throws(DiskServerError) in _ = try served.client.status() }
  }

  @Test(
    "servers are found again; what killed ones left is cleared away, and so is one whose disk is gone"
  )
  func finding() throws {
    let served = try ServedBranch(file: file, in: directory)
    let again = try served.servers.start(served.branch)
    #expect(try served.servers.running() == [again])
    let processes = again.client.directory.processes
    #expect(processes.count == 2)
    for process in processes { kill(process, SIGSTOP) }
    for process in processes { kill(process, SIGKILL) }
    #expect(Program.poll(seconds: 5) { again.client.directory.processes.isEmpty })
    #expect(again.client.directory.isMounted)
    #expect(try served.servers.find(served.branch) == nil)
    #expect(!FileSystem.system.exists(again.client.directory.path))
    _ = try served.servers.start(served.branch)
    try FileSystem.system.remove(file)
    try served.kill()
    #expect(Program.poll(seconds: 10) { !again.client.directory.isMounted })
    #expect(Program.poll(seconds: 10) { again.client.directory.processes.isEmpty })
    #expect(throws: DiskServerError.self) { _ = try served.servers.start(served.branch) }
    #expect(!FileSystem.system.exists(again.client.directory.path))
  }

  private func expect(code: Int32, _ body: () throws(IOError) -> Void) {
    do throws(IOError) {
      try body()
      Issue.record("succeeded instead of failing with \(code)")
    } catch { #expect(error.code == code, "\(error)") }
  }

  private func expect(
    _ code: DiskServerError.Code, _ body: () throws(DiskServerError) -> Void
  ) {
    do throws(DiskServerError) {
      try body()
      Issue.record("succeeded instead of failing with \(code)")
    } catch { #expect(error.code == code, "\(error)") }
  }
}
