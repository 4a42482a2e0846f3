import FileIO
import Foundation
import Support
import Testing

/// Goal: a machine whose database writes is drilled without anybody noticing, and recovered once it is gone.
/// Method: Debian in QEMU as the source, the commands that a person types, and Debian in QEMU again on what
/// they recover. `TIDEMARK_RECOVERY_GUESTS` says how many drills are booted at each kind of point.
@Suite(
  .serialized, .timeLimit(.minutes(20 + 30 * Count.of("TIDEMARK_RECOVERY_GUESTS", normally: 0))),
  .enabled(if: DebianDisk.isAvailable && Available.fuse))
struct RecoveryEndToEndTests {
  /// Drills at a point of each kind, one after the other; 0 for one drill at an app-consistent one.
  static let rounds = Count.of("TIDEMARK_RECOVERY_GUESTS", normally: 0)
  /// MiB that the guest of a drill writes, a quarter at a time: its disk has no room for more at once.
  static let written = rounds == 0 ? 64 : 1024

  @Test("a Debian machine is drilled, fails over, changes its point, commits, and goes on")
  func wholeStory() throws {
    let start = ContinuousClock.now
    let source = try SourceMachine()
    try source.protect()
    for _ in 0..<max(1, Self.rounds) {
      try drill(source, at: "-app")
      if Self.rounds > 0 { try drill(source, at: "-crash") }
    }
    let instant = try corrupt(source)
    try failOver(source, to: instant)
    try commit(source)
    try goOn(source)
    print("the whole story: \(ContinuousClock.now - start)")
  }

  /// Drills at the newest point of a kind, has the guest write much, and finds nothing else changed.
  private func drill(_ source: SourceMachine, at kind: String) throws {
    let (tool, name) = (source.tool, SourceMachine.name)
    let known = try tool.points(of: name)
    let point = try #require(known.last { $0.hasSuffix(kind) })
    // (Every byte of the points is looked at where no guest takes the processors: DrillFootprintTests.)
    let before = try ReplicaPrint(source, withPoints: Self.rounds > 0)
    let wanted = kind == "-app" ? "latest-app-consistent" : point
    try source.timed(
      "test-failover", "start", name, "--point", wanted, "--boot", "--network", "isolated")
    let machine = try source.recovered()
    _ = try source.waitForLogin(of: machine, "the drill")
    let drill = try report(source)
    let used = try #require((drill["point"] as? [String: Any])?["id"] as? String)
    #expect(used.hasSuffix(kind) && used >= point, "\(drill)")
    try expectComparisons(drill)
    for command in [["test-failover", "start", name], ["failover", "start", name]] {
      let refusal = try tool.start(command).wait(seconds: 60)
      #expect(refusal.status == 14, "\(refusal.report)")
      #expect(refusal.errors.contains("tidemark test-failover cleanup \(name)"))
    }
    try #require(try machine.logIn(), "\(source.lastWords)")
    try write(source, in: machine)
    try before.expectUntouched()
    try source.wait(for: "replication beside the drill") {
      try tool.points(of: name).count > known.count + 1
    }
    try source.timed("test-failover", "cleanup", name, "--notes", "Booted, and wrote.")
    try expectCleanedUp(source)
  }

  private func report(_ source: SourceMachine) throws -> [String: Any] {
    try source.tool.json("test-failover", "report", SourceMachine.name)
  }

  /// Expects that what runs was compared with what was asked for, and is the same.
  private func expectComparisons(_ drill: [String: Any]) throws {
    try expectComparisons(drill["report"] as? [String: Any], in: drill)
  }

  private func expectComparisons(_ report: [String: Any]?, in drill: [String: Any]) throws {
    let found = try #require(report?["comparisons"] as? [[String: Any]], "\(drill)")
    let asked = Dictionary(
      found.compactMap { row in
        (row["name"] as? String).map { ($0, "\(row["asked"] ?? "") \(row["found"] ?? "")") }
      }, uniquingKeysWith: { first, _ in first })
    for (name, values) in [
      "power": "on on", "cores": "2 2", "memory": "512 MiB 512 MiB",
      "network of adapter 0": "isolated isolated",
      // Leased, or already used.
      "address of adapter 0": "\(SourceMachine.address) \(SourceMachine.address), ",
    ] { #expect(asked[name]?.hasPrefix(values) == true, "\(name): \(found)") }
    #expect(found.allSatisfy { $0["isSame"] as? Bool == true }, "\(found)")
    #expect(asked["disk 0"] == "\(DebianDisk.size) bytes \(DebianDisk.size) bytes")
  }

  /// Has the guest of a drill write, while nothing is replicated: then every counter of the replica stays as
  /// it is, and so do its files.
  private func write(_ source: SourceMachine, in machine: RecoveredMachine) throws {
    let (tool, name) = (source.tool, SourceMachine.name)
    try tool.require("machine", "pause", name)
    try source.wait(for: "the agent to pause", seconds: 60) {
      source.agent.status.state == "paused"
    }
    let quiet = try ReplicaPrint(source, withPoints: false)
    let count = try tool.points(of: name).count
    let isWritten = try machine.run(
      "for i in 1 2 3 4; do dd if=/dev/urandom of=/srv/much bs=1M count=\(Self.written / 4) conv=fsync "
        + "|| break; done", seconds: 300)
    try #require(isWritten, "\(source.lastWords)")
    try quiet.expectUntouched()
    // A log that comes to rest is vouched for once more.
    try quiet.expectOnlySyncs()
    #expect(source.agent.status.durable == quiet.durable)
    #expect(try tool.points(of: name).count == count)
    try tool.require("machine", "resume", name)
  }

  private func expectCleanedUp(_ source: SourceMachine) throws {
    let ended = try report(source)
    #expect(ended["outcome"] as? String == "succeeded", "\(ended)")
    #expect(ended["notes"] as? String == "Booted, and wrote.")
    try expectComparisons(ended)
    let shown = try source.tool.require("test-failover", "report", SourceMachine.name)
    #expect(shown.contains("Booted, and wrote."))
    let branches = source.tool.vault + "/branches"
    #expect(try FileSystem.system.list(branches).isEmpty)
  }

  /// Spoils the database of the source, waits until that is replicated, and takes the source its power; gives
  /// the instant before.
  private func corrupt(_ source: SourceMachine) throws -> String {
    let instant = Date.now.ISO8601Format()
    sleep(1)
    try source.guest.start(
      "systemctl stop ledger; dd if=/dev/urandom of=/srv/ledger.db bs=4096 count=8 conv=notrunc; "
        + "rm -f /srv/ledger.db-*; sync; echo spoiled >/dev/console")
    try source.wait(for: "the corruption") { source.guest.console.contains("spoiled") }
    // One of a cycle that had begun before, and one that shows the corrupt disk.
    for _ in 0..<2 { try source.cycle() }
    #expect(!source.guest.console.contains("I/O error"))
    source.guest.kill()
    return instant
  }

  /// Fails over to the newest point before an instant, and then to an older one.
  private func failOver(_ source: SourceMachine, to instant: String) throws {
    let (tool, name) = (source.tool, SourceMachine.name)
    let points = try tool.points(of: name)
    try source.timed("failover", "start", name, "--point", instant, "--boot")
    let jobs = try tool.json("jobs")["jobs"] as? [[String: Any]] ?? []
    let job = try #require(jobs.first { $0["kind"] as? String == "Failover" })
    try expectComparisons(job["recovery"] as? [String: Any], in: job)
    let first = try source.recovered()
    let rows = try source.waitForLogin(of: first, "the failover")
    #expect(try tool.points(of: name).starts(with: points))
    let older = try #require(points.first { $0.hasSuffix("-app") })
    let refusal = try tool.run("failover", "change-point", name, "--point", older)
    #expect(refusal.status == 14 && refusal.errors.contains("--yes"), "\(refusal.report)")
    try source.timed("failover", "change-point", name, "--point", older, "--yes")
    let second = try source.recovered()
    #expect(second.disks != first.disks && !FileSystem.system.exists(first.disk))
    let fewer = try source.waitForLogin(of: second, "the other point")
    #expect(fewer < rows, "an older point has fewer rows")
    try source.wait(for: "the agent to be fenced", seconds: 60) {
      source.agent.status.state == "fenced"
    }
  }

  /// Makes it final.
  private func commit(_ source: SourceMachine) throws {
    let (tool, name) = (source.tool, SourceMachine.name)
    try source.timed("failover", "commit", name, "--yes")
    #expect(try tool.points(of: name) == [])
    #expect(try source.recovery()["state"] as? String == "committed")
  }

  /// Goes on in the guest while the service is killed and comes back, which the guest doesn't notice; then
  /// takes its disk elsewhere.
  private func goOn(_ source: SourceMachine) throws {
    let machine = try source.recovered()
    try #require(try machine.logIn(), "\(source.lastWords)")
    let text = "written after the failover, \(Int.random(in: 1...1_000_000))"
    #expect(try machine.run("echo '\(text)' >/srv/after"))
    try machine.type(
      "while sleep 1; do n=$((n+1)); echo $n >/srv/count; sync; echo \"count-\"$n; done &")
    func count() -> Int {
      machine.console.matches(of: /count-(\d+)/).compactMap { Int($0.1) }.max() ?? 0
    }
    try source.wait(for: "the guest to count", seconds: 60) { count() > 1 }
    source.service.kill()
    let killed = count()
    try source.wait(for: "the guest to count on", seconds: 60) { count() > killed + 1 }
    try source.service.start()
    let restarted = count()
    try source.wait(for: "the guest to count on", seconds: 60) { count() > restarted + 1 }
    #expect(!machine.console.contains("I/O error") && !machine.console.contains("hung_task"))
    #expect(try source.recovery()["state"] as? String == "committed")
    #expect(try source.recovered().disks == machine.disks)
    try takeElsewhere(source, machine, text)
  }

  /// Stops the machine, and boots its disk elsewhere from a VHD, with what was written after the failover.
  private func takeElsewhere(
    _ source: SourceMachine, _ machine: RecoveredMachine, _ text: String
  ) throws {
    let (tool, name) = (source.tool, SourceMachine.name)
    func power() throws -> String? { try tool.json("machine", "connect", name)["power"] as? String }
    let vhd = source.mount.file("out.vhd")
    let refusal = try tool.run("export", name, "--failed-over", "--format", "vhd", vhd)
    #expect(refusal.status == 14 && refusal.errors.contains("machine stop"), "\(refusal.report)")
    #expect(try power() == "on")
    try source.timed("machine", "stop", name)
    #expect(try power() == "off" && machine.console.contains("Power down"))
    try source.timed("export", name, "--failed-over", "--format", "vhd", "--verify", vhd)
    let elsewhere = try Guest(disk: vhd, format: "vpc", keepsWrites: false)
    defer { elsewhere.kill() }
    try source.wait(for: "the login prompt of the VHD") {
      elsewhere.console.contains("guest login:")
    }
    #expect(elsewhere.console.contains("ledger: ok"))
    try elsewhere.start("cat /srv/after >/dev/console")
    try source.wait(for: "the file on the VHD") { elsewhere.console.contains(text) }
  }
}
