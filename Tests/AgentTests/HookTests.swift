import FileIO
import Glibc
import Replication
import Support
import Testing
import Vault

@testable import Agent

/// Goal: what a hook holds is held, and let go whatever happens. Method: the real guard in a process of its
/// own, against machines that misbehave, real file systems, and scripts.
@Suite struct HookTests {
  @Test(
    "a machine is held from the beginning to the end, whoever used the socket before",
    arguments: [
      (FakeMachine.Manner.good, false), (.good, true), (.stale, false),
    ])
  func good(_ manner: FakeMachine.Manner, _ isMonitor: Bool) throws {
    let bench = try HookBench()
    let machine = try bench.machine(manner, isMonitor: isMonitor)
    let hold = bench.hold()
    try #require(hold.begin(), "\(hold.failure ?? "")")
    #expect(machine.notes.isFrozen && hold.isUnbroken && bench.note.exists)
    hold.end()
    #expect(!machine.notes.isFrozen && !bench.note.exists)
    let held = try #require(hold.held)
    #expect(held < .seconds(5) && hold.failure == nil && hold.remarks.isEmpty)
    #expect(hold.isQuieting == !isMonitor)
  }

  @Test(
    "a machine that answers badly is not held, and the reason is told",
    arguments: [FakeMachine.Manner.silent, .half, .endless, .failing, .noise, .hangingUp],
    [false, true])
  func bad(_ manner: FakeMachine.Manner, _ isMonitor: Bool) throws {
    let bench = try HookBench()
    let machine = try bench.machine(manner, isMonitor: isMonitor)
    let hold = bench.hold(limit: 1)
    let clock = ContinuousClock()
    let start = clock.now
    #expect(!hold.begin())
    #expect(clock.now - start < .seconds(8))
    #expect(hold.failure?.isEmpty == false)
    #expect(!machine.notes.isFrozen && !bench.note.exists)
    #expect(!machine.notes.commands.contains { ["guest-fsfreeze-freeze", "stop"].contains($0) })
  }

  @Test("a machine that says nothing once it is frozen is thawed as soon as it answers")
  func silentAfterFreeze() throws {
    let bench = try HookBench()
    let machine = try bench.machine(.silentAfterFreeze)
    BackgroundThread.run {
      sleep(2)
      machine.behave(.good)
    }
    let hold = bench.hold(limit: 1)
    #expect(!hold.begin() && hold.failure?.contains("did not answer in time") == true)
    #expect(!machine.notes.isFrozen && !bench.note.exists)
  }

  @Test("a machine that ends while it is held needs no thaw", arguments: [false, true])
  func gone(_ isMonitor: Bool) throws {
    let bench = try HookBench()
    _ = try bench.machine(.dyingAfterFreeze, isMonitor: isMonitor)
    let hold = bench.hold()
    #expect(!hold.begin() && hold.failure?.isEmpty == false)
    #expect(!bench.note.exists && hold.remarks.contains { $0.contains("Nobody listens") })
  }

  @Test(
    "a machine that somebody else has stopped is not let go, a guest that is frozen not touched")
  func strangers() throws {
    let bench = try HookBench()
    let monitor = try bench.machine(isMonitor: true)
    monitor.set(frozen: true)
    let hold = bench.hold()
    #expect(hold.begin())
    hold.end()
    #expect(monitor.notes.isFrozen && !monitor.notes.commands.contains("cont"))
    let guest = try bench.machine()
    guest.set(frozen: true)
    let other = bench.hold()
    #expect(!other.begin() && other.failure?.contains("frozen already") == true)
    #expect(guest.notes.isFrozen && !guest.notes.commands.contains("guest-fsfreeze-thaw"))
  }

  @Test("hooks freeze in order and thaw in reverse, and those before one that fails are thawed")
  func order() throws {
    let bench = try HookBench()
    let monitor = try bench.machine(isMonitor: true)
    let guest = try bench.machine()
    try bench.script("10-first", "pre")
    try bench.script("20-second", "pre")
    for name in ["10-first", "20-second"] { try bench.script(name, "post") }
    #expect(bench.configuration.hooks.map(\.kind) == [.guestAgent, .scripts, .monitor])
    let hold = bench.hold()
    #expect(hold.begin(), "\(hold.failure ?? "")")
    #expect(guest.notes.isFrozen && monitor.notes.isFrozen)
    #expect(bench.log == ["10-first pre", "20-second pre"])
    hold.end()
    #expect(!guest.notes.isFrozen && !monitor.notes.isFrozen)
    #expect(bench.log.suffix(2) == ["20-second post", "10-first post"])
    try bench.script("15-bad", "pre", "echo the database is away >&2; exit 3")
    let failing = bench.hold()
    #expect(!failing.begin())
    let failure = try #require(failing.failure)
    #expect(failure.contains("15-bad' ended with 3") && failure.contains("the database is away"))
    #expect(!guest.notes.isFrozen && monitor.notes.commands.filter { $0 == "stop" }.count == 1)
    #expect(
      bench.log.suffix(4) == ["10-first pre", "15-bad pre", "20-second post", "10-first post"])
  }

  @Test(
    "scripts know machine, disks and phase; one that hangs is killed; one after the cut is tried again"
  )
  func scripts() throws {
    let bench = try HookBench()
    let variables = "$TIDEMARK_MACHINE $TIDEMARK_MACHINE_ID $TIDEMARK_LIMIT $TIDEMARK_DISKS"
    try bench.script("a", "pre", "echo \"\(variables)\" >>'\(bench.file("log"))'")
    try bench.script("a", "post", "exit 1")
    try bench.script("b", "post")
    let hold = bench.hold()
    #expect(hold.begin())
    hold.end()
    let log = bench.log
    #expect(log.contains("web01 \(bench.configuration.machine) 20 \(bench.file("disk0.img"))"))
    #expect(log.contains(bench.file("disk1.img")))
    #expect(log.suffix(4) == ["b post", "a post", "a post", "a post"] && hold.failure == nil)
    #expect(hold.remarks.contains { $0.contains("run 3 times") } && !bench.note.exists)
    try bench.script("a", "post")
    try bench.script("c", "pre", "sleep 60 & sleep 60")
    let hanging = bench.hold(limit: 1)
    #expect(!hanging.begin() && hanging.failure?.contains("was killed") == true)
    #expect(bench.log.suffix(2) == ["b post", "a post"])
  }

  @Test("scripts that others may change are not run")
  func writableScripts() throws {
    let bench = try HookBench()
    try bench.script("a", "pre")
    let path = bench.file("scripts/pre.d/a")
    for (mode, isRun) in [(UInt32(0o755), true), (0o775, false), (0o644, false), (0o757, false)] {
      try FileSystem.system.setPermissions(path, directory: mode, file: mode)
      let hold = bench.hold()
      #expect(hold.begin() == isRun, "\(mode)")
      hold.end()
    }
    #expect(bench.log == ["a pre"])
    let preflight = Preflight(in: bench.agent, of: bench.configuration)
    #expect(preflight.hookFindings().map(\.verdict) == [.warning])
  }

  @Test(
    "a frozen file system makes its writers wait until it is thawed",
    .enabled(if: Available.root), arguments: [LoopMount.Kind.ext4, .xfs])
  func fileSystem(_ kind: LoopMount.Kind) throws {
    let mount = try LoopMount(kind, size: 320 << 20)
    let bench = try HookBench()
    try bench.configuration.set(Hook(.fileSystems, [mount.path]))
    #expect(Preflight(in: bench.agent, of: bench.configuration).hookFindings()[0].verdict == .ok)
    let hold = bench.hold()
    try #require(hold.begin(), "\(hold.failure ?? "")")
    let writer = try Program(
      "sh", ["-c", "echo new >'\(mount.file("written"))'; sync -f '\(mount.path)'"])
    usleep(200_000)
    #expect(writer.isRunning && hold.isUnbroken)
    hold.end()
    #expect(writer.wait(seconds: 5).succeeded && hold.failure == nil)
    // The time is over: it is thawed without being asked to.
    let limited = bench.hold(limit: 1)
    #expect(limited.begin())
    let second = try Program("touch", [mount.file("second")])
    #expect(second.wait(seconds: 5).succeeded && !limited.isUnbroken)
    limited.end()
    #expect(limited.failure?.contains("time limit") == true && !bench.note.exists)
  }

  @Test(
    "scripts may write to a file system that is frozen by another hook, whichever was set first",
    .enabled(if: Available.root))
  func scriptsThatWrite() throws {
    let mount = try LoopMount(.ext4, size: 16 << 20)
    let bench = try HookBench()
    try bench.configuration.set(Hook(.fileSystems, [mount.path]))
    for phase in ["pre", "post"] { try bench.script("a", phase, "date >>'\(mount.file("x"))'") }
    #expect(bench.configuration.hooks.map(\.kind) == [.scripts, .fileSystems])
    let hold = bench.hold(limit: 5)
    #expect(hold.begin(), "\(hold.failure ?? "")")
    hold.end()
    #expect(hold.failure == nil && hold.remarks.isEmpty && !bench.note.exists)
    // What an earlier release has left behind freezes in another order.
    bench.configuration.hooks.reverse()
    try Program.require("fsfreeze", "-f", mount.path)
    try bench.note.save(
      HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent))
    var remarks: [String]?
    BackgroundThread.run { [note = bench.note] in
      // Whatever becomes of the test: no mount may stay frozen.
      sleep(15)
      if note.exists { _ = try? Program.run("fsfreeze", "-u", mount.path) }
    }
    let start = ContinuousClock.now
    remarks = try bench.note.settle(
      usual: HookPlan([], of: bench.configuration, in: bench.agent))
    #expect(remarks == [] && ContinuousClock.now - start < .seconds(4))
  }

  @Test("nothing else is looked after while writers are held for the cut")
  func promptHold() throws {
    let bench = try HookBench()
    let machine = try bench.machine()
    var ticks = 0
    let plan = HookPlan(bench.configuration.hooks, of: bench.configuration, in: bench.agent)
    let hold = HookHold(plan, in: bench.agent, by: bench.command) {
      if machine.notes.isFrozen { ticks += 1 }
      return true
    }
    #expect(hold.begin() && ticks == 0)
    hold.end()
    #expect(!machine.notes.isFrozen)
  }

  @Test("file systems that must not be frozen are not", .enabled(if: Available.root))
  func unfreezable() throws {
    let mount = try LoopMount(.ext4, size: 16 << 20)
    let bench = try HookBench()
    func objection(_ paths: [String]) throws -> String {
      try bench.configuration.set(Hook(.fileSystems, paths))
      let hold = bench.hold()
      #expect(!hold.begin() && !bench.note.exists)
      return hold.failure ?? ""
    }
    #expect(try objection([bench.directory.path]).contains("Nothing is mounted"))
    #expect(try objection([mount.path, mount.path]).contains("one file system"))
    try FileSystem.system.makeDirectory(mount.file("image"))
    bench.configuration.disks[0].path = mount.file("image")
    bench.configuration.disks[0].capture = .reflink
    #expect(try objection([mount.path]).contains("can't be frozen"))
    bench.configuration.disks[0].capture = .scan
    try Program.require("fsfreeze", "-f", mount.path)
    #expect(try objection([mount.path]).contains("frozen already"))
    // What somebody else has frozen stays so.
    #expect(try Program.run("fsfreeze", "-u", mount.path).succeeded)
  }
}
