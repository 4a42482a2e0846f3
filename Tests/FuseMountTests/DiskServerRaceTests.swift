internal import DiskServers
internal import Dispatch
internal import FileIO
internal import Glibc
internal import Support
internal import Synchronization
internal import Testing
internal import Vault

/// Goal: what is done to served disks at the same time does not do harm. Method: real servers, asked for several
/// things at once.
@Suite(
  .serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct DiskServerRaceTests {
  private let directory: TemporaryDirectory
  private let file: String

  init() throws {
    directory = try TemporaryDirectory("races")
    file = directory.file("disk")
    try File(file, .creating(permissions: 0o600)).truncate(to: 8 << 20)
  }

  @Test("a disk can't be truncated by opening it, and its users notice nothing")
  func truncating() throws {
    let served = try ServedBranch(file: file, in: directory)
    let disk = try File(served.disk, .writing)
    try disk.write([1, 2, 3], at: 4096)
    #expect(try !Program("sh", ["-c", ": > \(served.disk)"]).wait(seconds: 20).succeeded)
    #expect(try FileSystem.system.status(served.disk).size == 8 << 20)
    #expect(try bytes(of: served.disk, at: 4096, count: 3) == [1, 2, 3])
  }

  @Test("who has opened a file sees what is written later through another one, or around the cache")
  func coherence() throws {
    try File(file, .writing).write(VaultFixture.partitionTable([(2048, 2048)]), at: 446)
    let served = try ServedBranch(file: file, in: directory)
    let part = try File(served.running.path(of: 0, partition: 1), .reading)
    #expect(try part.read(at: 0, count: 1) == [0])
    let whole = try File(served.disk, .writing)
    for round in 1...3 {
      try whole.write([UInt8(round)], at: 1 << 20)
      #expect(try part.read(at: 0, count: 1) == [UInt8(round)])
    }
    #expect(try whole.read(at: 1 << 20, count: 1) == [3])
    try Program.require(
      "sh", "-c",
      "printf '%4096s' x | dd of=\(served.disk) bs=4096 seek=256 oflag=direct conv=notrunc status=none"
    )
    #expect(try whole.read(at: 1 << 20, count: 1) == [32])
    #expect(try part.read(at: 0, count: 1) == [32])
  }

  @Test("a start whose processes are killed once is tried again")
  func killedStart() throws {
    let fixture = try VaultFixture("killed-start", disks: [8 << 20])
    try fixture.mark()
    let (branch, path) = (try fixture.branch().id, fixture.vault.path)
    let servers = DiskServers(
      vault: fixture.vault.description.id, in: fixture.directory.file("run"),
      program: Product.tidemark
    ) { run, branch in
      ["disk-server", "--vault", path, "--branch", "\(branch)", "--run-directory", run.path]
    }
    let place = try servers.directory(of: branch)
    for round in 0..<12 {
      let group = DispatchGroup()
      DispatchQueue.global().async(group: group) {
        _ = Program.poll(seconds: 20) { !place.processes.isEmpty }
        usleep(UInt32(round * 4000))
        let server = place.server
        for process in place.processes where process != server { kill(process, SIGKILL) }
      }
      let running = try servers.start(branch)
      group.wait()
      let isWhole = Program.poll(seconds: 30) {
        (try? running.client.status())?.holder != nil && place.isMounted
      }
      #expect(isWhole, "round \(round)")
      try File(running.path(of: 0), .writing).write([UInt8(round)], at: 4096)
      try servers.end(branch, within: 0, force: true)
    }
  }

  @Test(
    "who waits for the disks to be free waits on when they are handed over, and holds nobody up")
  func freezing() throws {
    let served = try ServedBranch(file: file, in: directory)
    let group = DispatchGroup()
    let client = served.client
    let frozen = Frozen()
    do {
      let disk = try File(served.disk, .writing)
      DispatchQueue.global().async(group: group) {
        frozen.note { () throws(DiskServerError) in try client.freeze(within: 300) }
      }
      usleep(100_000)
      try client.handOver()
      try disk.write([1], at: 0)
      #expect(Program.poll(seconds: 30) { (try? client.status().starts) == 2 })
      // So nothing of that has waited for the disks to be free.
      #expect(!frozen.isDone)
    }
    group.wait()
    #expect(frozen.isDone)
  }

  private final class Frozen: Sendable {
    private let done = Atomic(false)
    var isDone: Bool { done.load(ordering: .acquiring) }
    func note(_ body: () throws(DiskServerError) -> Void) {
      do { try body() } catch { return }
      done.store(true, ordering: .releasing)
    }
  }

  @Test("of two who start the same server both get the one there is")
  func twoStarters() throws {
    let served = try ServedBranch(file: file, in: directory)
    let disk = try File(served.disk, .writing)
    let (servers, branch) = (served.servers, served.branch)
    #expect(try servers.start(branch) == served.running)
    // One that looks for nobody first.
    let result = try Program(
      Product.path("MountServer"),
      ["disk-server", "--run-directory", served.client.directory.path, "--file", file]
    ).wait(seconds: 20)
    #expect(!result.succeeded)
    try Program.require(
      Product.path("MountServer"), "disk-server", "--run-directory",
      served.client.directory.path, "--clean-up")
    try disk.write([1], at: 0)
    #expect(served.client.directory.processes.count == 2)
    #expect(try served.client.status().starts == 1)
  }

  @Test(
    "what a killed server left open in its table is given up once nobody uses the disks, wherever they are mounted"
  )
  func leftOpen() throws {
    let served = try ServedBranch(file: file, in: directory)
    // The row of an open file whose end nobody was told of, in the memory that servers hand on.
    let row: [UInt64] = [1 << 53 | 1 << 36 | 1 << 16, 77, 0, 8 << 20]
    try File("/proc/\(served.client.status().server)/fd/5", .writing)
      .write(row.flatMap { word in withUnsafeBytes(of: word) { Array($0) } }, at: 64)
    let user = try Program(
      "unshare",
      ["-m", "--propagation", "slave", "sh", "-c", "exec 3<\(served.disk); echo; sleep 100"])
    #expect(Program.poll(seconds: 30) { user.outputSoFar.output == "\n" })
    try served.kill()
    #expect(Program.poll(seconds: 30) { (try? served.client.status().starts) == 2 })
    do throws(DiskServerError) {
      try served.client.freeze(within: 2.5)
      Issue.record("a disk was frozen that another namespace's process uses")
    } catch { #expect(error.code == .inUse) }
    user.killGroup()
    _ = user.wait(seconds: 30)
    try served.client.freeze(within: 120)
  }

  @Test("a server whose socket is removed listens again")
  func socket() throws {
    let served = try ServedBranch(file: file, in: directory)
    try FileSystem.system.remove(served.client.directory.control)
    #expect(try served.client.status().starts == 1)
  }

  @Test(
    "a process with a server's arguments somewhere in its command line is none of its processes")
  func processes() throws {
    let served = try ServedBranch(file: file, in: directory)
    let path = served.client.directory.path
    let words = ["disk-server", "--run-directory", path, "--role", "server"]
    let other = try Program("sh", ["-c", "sleep 20; :"] + words)
    #expect(served.client.directory.processes.count == 2)
    other.killGroup()
  }
}
