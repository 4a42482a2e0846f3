import Catalog
import FileIO
import Foundation
import Support
import Synchronization
import Testing

/// Somebody who has a disk open for as long as the value lives.
private final class DiskUser: Sendable {
  private let path: String
  private let state: Mutex<State>
  private let isOver = Mutex(false)

  private struct State: ~Copyable {
    let file: File
    var random: SeededGenerator
    /// What was written and synced, by sector.
    var stamps: [UInt64: [UInt8]] = [:]
  }

  init(_ path: String) throws {
    self.path = path
    let random = SeededGenerator(for: "the user of \(path)")
    state = Mutex(State(file: try File(path, .writing), random: random))
  }

  /// Writes some sectors, each synced before the next.
  func write() throws {
    try state.withLock { state in
      for _ in 0..<4 {
        let (sector, bytes) = (UInt64(state.random.number(0..<8192)), state.random.bytes(512))
        try state.file.write(bytes, at: sector * 512)
        try state.file.sync()
        state.stamps[sector] = bytes
      }
    }
  }

  /// Looks whether all is there that was written.
  func check() throws {
    let stamps = state.withLock { $0.stamps }
    let file = try File(path, .reading)
    for (sector, bytes) in stamps {
      #expect(try file.read(at: sector * 512, count: 512) == bytes, "sector \(sector)")
    }
  }

  /// Writes for as long as `body` runs.
  func writing(during body: () throws -> Void) throws {
    let end = DispatchSemaphore(value: 0)
    isOver.withLock { $0 = false }
    DispatchQueue(label: "writer").async { [self] in
      #expect(throws: Never.self) {
        repeat { try write() } while !isOver.withLock { $0 }
      }
      end.signal()
    }
    defer {
      isOver.withLock { $0 = true }
      end.wait()
    }
    try body()
  }
}

/// Goal: nothing takes from under a disk that is in use what it stands on, nor anything that was synced to it: no
/// commit, nobody who removes its machine, and no loss of a MANIFEST or of the catalog. Method: the real
/// service and disk servers, and somebody who has the disk open throughout.
@Suite(.serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct OpenDiskTests {
  @Test("a commit under a disk that is being written to takes nothing of it")
  func commit() throws {
    let machine = try FailedOverMachine("open-commit")
    let tool = machine.tool
    let user = try DiskUser(machine.disk)
    try user.writing { try tool.require("failover", "commit", "web01", "--yes") }
    try user.write()
    try user.check()
    #expect(try tool.points(of: "web01").isEmpty)
    machine.stopService()
    machine.killServers()
    try machine.startService()
    try user.check()
    // What lies below what was written is there, too.
    let source = try File(tool.file("a.img"), .reading).read(at: 1 << 20, count: 3 << 20)
    let found = try File(machine.disk, .reading).read(at: 1 << 20, count: 3 << 20)
    #expect(zip(source, found).count { $0 != $1 } < 1 << 20)
  }

  @Test("a machine is not removed or disabled while a drill of it runs, and that is said at once")
  func removal() throws {
    let tool = try MountCommandTests.prepare("open-removal")
    var service: RunningService? = try RunningService(tool)
    try tool.require("test-failover", "start", "web01")
    let recovery = try tool.json("machine", "show", "web01")["recovery"] as? [String: Any]
    let user = try DiskUser(try #require(recovery?["directory"] as? String) + "/disk0.raw")
    try user.write()
    for arguments in [
      ["remove", "web01"], ["remove", "web01", "--yes"], ["disable", "web01", "--yes"],
    ] {
      let refused = try tool.start(["machine"] + arguments).wait(seconds: 60)
      #expect(refused.status == 14 && refused.errors.contains("test-failover cleanup web01"))
    }
    try user.write()
    try user.check()
    #expect(service?.stop().status == 0)
    service = nil
    // Also where no service tells.
    let shown = try tool.require("machine", "show", "web01")
    #expect(
      shown.contains("test failover") && shown.contains("test-failover cleanup web01"), "\(shown)")
    #expect(!shown.contains("Last drill"))
    #expect(try tool.run("machine", "remove", "web01", "--yes").status == 14)
    try user.check()
    service = try RunningService(tool)
    try tool.require("test-failover", "cleanup", "web01", "--notes", "done")
    try tool.require("machine", "remove", "web01", "--yes")
    #expect(service?.stop().status == 0)
  }

  @Test(
    "a lost MANIFEST takes nothing from a disk that is open, and all goes on once it is made anew")
  func lostManifest() throws {
    let machine = try FailedOverMachine("open-manifest")
    let tool = machine.tool
    let user = try DiskUser(machine.disk)
    try user.write()
    let machines = tool.vault + "/machines"
    let id = try #require(try FileSystem.system.list(machines).first)
    try FileSystem.system.remove("\(machines)/\(id)/MANIFEST")
    try user.writing {
      let refused = try tool.run("failover", "commit", "web01", "--yes")
      #expect(!refused.succeeded && refused.errors.contains("MANIFEST"), "\(refused.report)")
      #expect(try !tool.run("machine", "remove", id, "--yes").succeeded)
      machine.stopService()
      try machine.startService()
    }
    try user.check()
    machine.stopService()
    try user.writing { try tool.require("vault", "rebuild") }
    try machine.startService()
    try user.write()
    try user.check()
    #expect(try state(tool) == "failedOver")
    try tool.require("failover", "commit", "web01", "--yes")
    try user.write()
    try user.check()
  }

  @Test(
    "a lost catalog takes nothing from a disk that is open, and where its machine stands is known")
  func lostCatalog() throws {
    let machine = try FailedOverMachine("open-catalog")
    let tool = machine.tool
    let user = try DiskUser(machine.disk)
    try user.write()
    machine.stopService()
    for end in ["", "-wal", "-shm"] {
      let path = tool.vault + "/" + Catalog.fileName + end
      if FileSystem.system.exists(path) { try FileSystem.system.remove(path) }
    }
    try user.writing { try machine.startService() }
    try user.check()
    #expect(try state(tool) == "failedOver")
    try user.writing { try tool.require("failover", "commit", "web01", "--yes") }
    try user.check()
  }

  private func state(_ tool: Tool) throws -> String? {
    (try tool.json("machine", "show", "web01")["recovery"] as? [String: Any])?["state"] as? String
  }
}
