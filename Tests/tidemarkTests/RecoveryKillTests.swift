import Bytes
import Catalog
import ControlAPI
import FileIO
import Foundation
import Glibc
import Support
import Testing

@testable import Vault

/// Goal: whenever the service, or what serves a disk, is killed while a drill or a failover is begun, changed,
/// flattened, committed or ended, the machine is then as it was before or as it was to be, all that was synced to its
/// disks is there, and nothing is left behind. Method: the real binary as a service with real disk servers,
/// and SIGKILL at random moments of each action. `TIDEMARK_RECOVERY_KILLS` says how often for each.
@Suite(.serialized, .enabled(if: Available.root && Available.fuse)) struct RecoveryKillTests {
  @Test("a kill at any moment leaves the state before or the one after, and every synced write")
  func kills() throws {
    var random = SeededGenerator(for: "kills of drills and failovers")
    let count = Count.of("TIDEMARK_RECOVERY_KILLS", normally: 10)
    let site = try RecoveryKillSite(random.next())
    // The first one tells how long each action takes.
    for number in 0...count {
      try site.addMachine("m\(number)")
      try site.round("m\(number)", isKilled: number > 0)
    }
    try site.stop()
    print("kills: \(site.kills), states after them: \(site.ends.sorted { $0.key < $1.key })")
  }
}

/// Goal: what ends a drill's disks is told, and the drill ends all the same. Method: the same, unkilled.
@Suite(.serialized, .enabled(if: Available.root && Available.fuse)) struct DiskBudgetTests {
  @Test(
    "disks whose budget is used up take no more, say so, and are cleaned up; the job is followed")
  func budget() throws {
    let site = try RecoveryKillSite(1)
    try site.addMachine("m0")
    try site.overspend("m0")
    try site.stop()
  }
}

/// A vault in service whose processes are killed.
final class RecoveryKillSite {
  /// An action, and how it changes where a machine stands.
  private struct Action {
    let name: String
    let from: String
    let to: String
    let begin: @Sendable (ControlClient) throws -> JobDocument
    /// Whether the disks are the same before and after.
    var keepsDisks = false
  }

  private static let size: UInt64 = 8 << 20
  private let tool: Tool
  /// Where disk servers have their mounts; a path of few letters, as they have sockets there.
  private let runs: TemporaryDirectory
  private var program: Program?
  private var client: ControlClient
  private let vault: Vault
  private var random: SeededGenerator
  private var durations: [String: Double] = [:]
  /// What was written and synced to the disks of the machine of this moment, by sector.
  private var stamps: [UInt64: [UInt8]] = [:]
  private(set) var kills = 0
  /// What was killed last, and in which action.
  private var lastKill = "nothing"
  /// How often which state was found after a kill.
  private(set) var ends: [String: Int] = [:]

  init(_ seed: UInt64) throws {
    random = SeededGenerator(seed: seed)
    tool = try Tool.withVault("recovery-kills")
    runs = try TemporaryDirectory("k", in: "/run")
    // What is only looked at here stands in the way of no removal.
    vault = try Vault(opening: tool.vault, isGlancing: true)
    client = ControlClient(try NetworkTransport(to: .socket(tool.file("s/api.sock"))))
    try start()
  }

  deinit {
    program?.killGroup()
    for (process, _) in servers { kill(process, SIGKILL) }
    for mount in mounts { umount2(mount, 2) }  // MNT_DETACH
  }

  private func start() throws {
    var variables = tool.variables
    variables["TIDEMARK_RUNTIME_DIRECTORY"] = runs.path
    program = try Program(
      Product.tidemark,
      [
        "serve", "--socket", tool.file("s/api.sock"), "--time-source", "none", "--https-port",
        "none", "--replication-port", "none",
      ], environment: variables, in: tool.directory.path)
    let isReady = Program.poll(seconds: 30) { [program] in
      program?.isRunning != true || program?.outputSoFar.errors.contains("Serving") == true
    }
    try #require(
      isReady && program?.isRunning == true, "\(String(describing: program?.outputSoFar))")
    client = ControlClient(try NetworkTransport(to: .socket(tool.file("s/api.sock"))))
  }

  func stop() throws {
    program?.signal(SIGTERM)
    let result = try #require(program?.wait(seconds: 30))
    #expect(result.status == 0, "\(result.report)")
  }

  /// A machine with two recovery points.
  func addMachine(_ name: String) throws {
    let path = try tool.image(name, size: Self.size)
    try tool.require("machine", "add", name, "--disk", path)
    for label in ["p0", "p1"] {
      try File(path, .writing).write(random.bytes(65536), at: 1 << 20)
      try tool.require("replicate", name, "--label", label)
    }
  }

  // MARK: - The life of a machine

  func round(_ name: String, isKilled: Bool) throws {
    stamps = [:]
    let drill = Action(name: "start a drill", from: "protected", to: "testActive p1") {
      try $0.startTestFailover(name, Self.request("p1"))
    }
    let cleanup = Action(name: "clean up", from: "testActive p1", to: "protected") {
      try $0.cleanUpTestFailover(name, notes: nil)
    }
    let failover = Action(name: "fail over", from: "protected", to: "failedOver p1") {
      try $0.startFailover(name, Self.request("p1"))
    }
    let change = Action(name: "change the point", from: "failedOver p1", to: "failedOver p0") {
      try $0.changeRecoveryPoint(name, Self.request("p0"))
    }
    let flatten = Action(
      name: "flatten", from: "failedOver p0", to: "failedOver p0",
      begin: { try $0.flattenFailover(name) }, keepsDisks: true)
    let commit = Action(
      name: "commit", from: "failedOver p0", to: "committed p0",
      begin: { try $0.commitFailover(name, completesMigration: false) }, keepsDisks: true)
    for action in [drill, cleanup, failover, change, flatten, commit] {
      try carry(out: action, on: name, isKilled: isKilled)
      if action.to != "protected" { try write(name) }
    }
    try check(name)
    _ = try client.disable(name)
    let discard = try end(of: try client.discardFailedOver(name))
    try #require(discard.state == .succeeded, "\(discard)")
    try expectNothingElse()
  }

  /// Writes more to the disks of a drill than it may.
  func overspend(_ name: String) throws {
    var request = Self.request("p1")
    request.budgetBytes = 4 << 20
    let job = try client.startTestFailover(name, request)
    let followed = try tool.run("jobs", "\(job.id)", "--follow")
    #expect(followed.output.contains("Create disks: Succeeded"), "\(followed.report)")
    #expect(try client.job(job.id).state == .succeeded)
    let directory = try #require(try client.recovery(of: name).directory)
    let file = try File(directory + "/disk0.raw", .writing)
    var failure: IOError?
    for part in 0..<128 where failure == nil {
      do throws(IOError) { try file.write(random.bytes(65536), at: UInt64(part) << 16) } catch {
        failure = error
      }
    }
    #expect(failure?.code == ENOSPC, "\(String(describing: failure))")
    try file.sync()
    let isTold = try Program.poll(seconds: 15) {
      try client.events(after: 0, limit: 100).events.contains {
        $0.code == "disk-budget" && $0.severity == .critical && $0.message.contains("writes fail")
      }
    }
    #expect(isTold)
    let cleanup = try end(of: try client.cleanUpTestFailover(name, notes: "full"))
    #expect(cleanup.state == .succeeded, "\(cleanup)")
    try check(name)
  }

  private static func request(_ point: String) -> RecoveryRequestDocument {
    var request = RecoveryRequestDocument(point: point)
    request.confirm = true
    return request
  }

  private func carry(out action: Action, on name: String, isKilled: Bool) throws {
    if isKilled {
      try killDuring(action, name)
      let found = try state(of: name)
      ends[found, default: 0] += 1
      #expect([action.from, action.to].contains(found), "\(action.name) of \(name): \(found)")
      if found == action.to, !action.keepsDisks { stamps = [:] }
      try check(name)
      guard found != action.to else { return }
    }
    let start = ContinuousClock.now
    let job = try end(of: try action.begin(client))
    try #require(job.state == .succeeded, "\(action.name): \(job)")
    if !isKilled { durations[action.name] = (ContinuousClock.now - start) / .seconds(1) }
    #expect(try state(of: name) == action.to)
    if !action.keepsDisks { stamps = [:] }
    try check(name)
  }

  private func killDuring(_ action: Action, _ name: String) throws {
    let limit = Int((durations[action.name] ?? 0.5) * 1_100_000)
    let moment = random.number(0..<max(1, limit))
    // The service; it and one that serves a disk; or only that.
    let victims = random.number(0..<4)
    let (client, begin, asked) = (client, action.begin, DispatchSemaphore(value: 0))
    DispatchQueue(label: "ask").async {
      _ = try? begin(client)
      asked.signal()
    }
    usleep(UInt32(moment))
    var isServiceKilled = victims < 3
    lastKill = "\(action.name) of \(name) after \(moment) us: "
    if victims >= 2 {
      if let (process, _) = servers.randomElement(using: &random) {
        lastKill += RunningProcess.arguments(of: process).joined(separator: " ")
        Glibc.kill(process, SIGKILL)
        kills += 1
      } else {
        isServiceKilled = true
      }
    }
    if isServiceKilled {
      lastKill += ", the service"
      program?.killGroup()
      _ = program?.wait(seconds: 20)
      kills += 1
    }
    asked.wait()
    if isServiceKilled { try start() }
    let isSettled = try Program.poll(seconds: 30) {
      try self.client.recovery(of: name).running == nil
    }
    try #require(isSettled, "\(action.name) goes on and on")
  }

  private func end(of job: JobDocument) throws -> JobDocument {
    var job = job
    _ = try Program.poll(seconds: 30) {
      job = try client.job(job.id)
      return job.state.isFinal
    }
    return job
  }

  private func state(of name: String) throws -> String {
    let recovery = try client.recovery(of: name)
    let point = recovery.state == "protected" ? nil : recovery.point?.asked
    return recovery.state + (point.map { " \($0)" } ?? "")
  }

  // MARK: - What must hold

  /// Writes some sectors, each synced before the next.
  private func write(_ name: String) throws {
    let directory = try #require(try client.recovery(of: name).directory)
    let file = try File(directory + "/disk0.raw", .writing)
    for _ in 0..<4 {
      let (sector, bytes) = (UInt64(random.number(0..<16384)), random.bytes(512))
      try file.write(bytes, at: sector * 512)
      try file.sync()
      stamps[sector] = bytes
    }
  }

  private func check(_ name: String) throws {
    try expectNothingElse()
    let pins = try vault.machine(named: name).snapshot().pins
    let found = try state(of: name)
    #expect(pins.count == (found == "protected" ? 0 : 1), "\(found): \(pins)")
    guard let pin = pins.first else { return }
    let directory = try #require(try client.recovery(of: name).directory)
    let disk = try vault.readBranch(pin.branch).disk(0)
    let file = try File(directory + "/disk0.raw", .reading)
    for (sector, bytes) in stamps {
      var stored = [UInt8](repeating: 0, count: 512)
      try stored.withUnsafeMutableBytes { try disk.read(into: $0, at: sector * 512) }
      #expect(stored == bytes, "\(found): sector \(sector) is lost")
      #expect(try file.read(at: sector * 512, count: 512) == bytes)
    }
  }

  /// That there are exactly the branches that machines pin, and what serves them.
  private func expectNothingElse() throws {
    let pinned = try vault.machines().flatMap { try $0.snapshot().pins.map(\.branch) }
    let expected = Set(pinned.map(\.description))
    #expect(Set(try vault.branchIdentifiers().map(\.description)) == expected)
    // Of server and holder the one has just started the other again, perhaps.
    let isQuiet = Program.poll(seconds: 10) {
      servers.map(\.branch).sorted() == (Array(expected) + Array(expected)).sorted()
        && mounts.count == expected.count
    }
    let events = try? client.events(after: 0, limit: 1000).events.prefix(6).map(\.message)
    #expect(
      isQuiet,
      "\(servers) \(mounts), and \(expected) are expected; killed in \(lastKill); \(events ?? [])")
  }

  /// The processes that serve disks here, each with its branch.
  private var servers: [(process: Int32, branch: String)] {
    RunningProcess.all(of: FileSystem.userIdentifier) { $0.contains("disk-server") }.compactMap {
      process in
      let words = RunningProcess.arguments(of: process)
      guard let flag = words.firstIndex(of: "--run-directory"), flag + 1 < words.count,
        words[flag + 1].hasPrefix(runs.path + "/")
      else { return nil }
      return (process, String(words[flag + 1].split(separator: "/").last ?? ""))
    }
  }

  private var mounts: [String] {
    ((try? FileSystem.mounts()) ?? []).map(\.point).filter { $0.hasPrefix(runs.path + "/") }
  }
}
