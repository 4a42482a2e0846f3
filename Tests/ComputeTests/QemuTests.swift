import Bytes
import Compute
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

/// Goal: a machine is what was asked for, outlives who started it, is found again, and ends as it is told to.
/// Method: guests in QEMU that are started by one provider and handled by others. (Debian, its address and its
/// orderly end are looked at where a whole recovery is.)
@Suite(.serialized) struct QemuTests {
  @Test(
    "a machine boots as planned, is found by others, and powers itself down when asked",
    .enabled(if: hasQemu))
  func life() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let (disk, directory) = (home.file("disk.raw"), home.file("run"))
    try SmallGuest.write(to: disk)
    let plan = try plan(disk: disk, in: directory)
    let first = QemuCompute()
    for finding in first.check(plan) {
      #expect(finding.verdict == .ok || ["kvm", "memory"].contains(finding.subject), "\(finding)")
    }
    #expect(try first.observe(in: directory) == nil)
    try first.start(plan)
    let qemu = QemuCompute()
    defer { #expect(throws: Never.self) { try qemu.end(in: directory) } }
    try Self.compare(try #require(try qemu.observe(in: directory)), plan)
    let started = try #require(try qemu.observe(in: directory)?.process)
    try qemu.start(plan)
    #expect(try qemu.observe(in: directory)?.process == started, "started twice, it is the same")
    let isUp = try Program.poll(seconds: 150) {
      String(decoding: try qemu.console(in: directory, limit: 1 << 16), as: UTF8.self)
        .contains(SmallGuest.greeting)
    }
    #expect(isUp)
    let connections = try #require(try qemu.connections(in: directory))
    #expect(FileSystem.system.exists(connections.displaySocket) && connections.ports.isEmpty)
    let deadline = ContinuousClock.now + .seconds(60)
    var screen = try ByteStream(connectingTo: connections.displaySocket, until: deadline)
    #expect(
      try screen.line(limit: 20, until: deadline)?.starts(with: Array("RFB 003.".utf8)) == true)
    #expect(throws: ComputeError.self) {
      try qemu.stop(in: directory, within: .seconds(60), force: false, isCancelled: { true })
    }
    #expect(try qemu.stop(in: directory) == .clean)
    #expect(try qemu.observe(in: directory)?.power == .off)
    #expect(try qemu.stop(in: directory) == .wasOff)
    #expect(try String(decoding: qemu.console(in: directory, limit: 99), as: UTF8.self).count > 9)
    try qemu.end(in: directory)
    #expect(!FileSystem.system.exists(directory))
  }

  private static func compare(_ seen: MachineObservation, _ plan: MachinePlan) throws {
    #expect(seen.power == .on && seen.name == plan.name && seen.notes.isEmpty)
    #expect(seen.cores == plan.cores && seen.memory == plan.memory && seen.firmware == .bios)
    #expect(seen.isAccelerated != nil && seen.started != nil)
    #expect(seen.disks.map(\.path) == plan.disks.map(\.path))
    #expect(seen.disks.map(\.isSystem) == plan.disks.map(\.isSystem))
    #expect(seen.adapters.map(\.hardware) == plan.adapters.map(\.hardware))
    #expect(seen.adapters.map(\.network) == plan.adapters.map(\.network))
  }

  /// A machine with disks that hold nothing: it stays at its firmware.
  private static func emptyPlan(
    _ home: borrowing TemporaryDirectory, _ network: MachinePlan.Network = .user
  ) throws -> MachinePlan {
    var disks: [MachinePlan.Disk] = []
    for (index, name) in ["data", "a,b", "system"].enumerated() {
      let path = home.file(name)
      try File(path, .creating(permissions: 0o600)).truncate(to: UInt64(index + 1) << 20)
      disks.append(MachinePlan.Disk(name: name, path: path, isSystem: name == "system"))
    }
    var plan = try plan(disk: disks[0].path, in: home.file("run, 1"), network: network)
    plan.disks = disks
    return plan
  }

  static var hasQemu: Bool { Available.programs("qemu-system-x86_64") }

  @Test(
    "disks keep their order, ports lead in, and a killed machine is noticed and can be started again",
    .enabled(if: hasQemu))
  func death() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let qemu = QemuCompute()
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    let seen = try #require(try qemu.observe(in: plan.directory + "/"))
    try Self.compare(seen, plan)
    #expect(seen.disks.map(\.size) == [1 << 20, 2 << 20, 3 << 20])
    #expect(seen.adapters.map(\.address) == [.notSeen])
    let ports = try #require(try qemu.connections(in: plan.directory)).ports
    #expect(ports.count == 1 && ports[0].guest == 22 && ports[0].host > 0, "\(ports)")
    try Program.require("kill", "-9", "\(try #require(seen.process))")
    let isNoticed = try Program.poll(seconds: 10) {
      try qemu.observe(in: plan.directory)?.power == .died
    }
    #expect(isNoticed)
    #expect(try qemu.observe(in: plan.directory)?.notes.count == 1)
    #expect(try qemu.stop(in: plan.directory) == .died)
    try qemu.start(plan)
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
    #expect {
      try qemu.stop(in: plan.directory, within: .milliseconds(300))
    } throws: { ($0 as? ComputeError)?.code == .timeout }
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
    #expect(try qemu.stop(in: plan.directory, within: .milliseconds(300), force: true) == .forced)
    #expect(try qemu.observe(in: plan.directory)?.power == .off)
    #expect(try qemu.observe(in: plan.directory)?.wasForced == true)
  }

  @Test(
    "an ended machine leaves neither process nor file, and a hanging one is taken its power",
    .enabled(if: hasQemu))
  func ending() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home, .isolated)
    let qemu = QemuCompute()
    try qemu.start(plan)
    let process = try #require(try qemu.observe(in: plan.directory)?.process)
    try Program.require("kill", "-STOP", "\(process)")
    #expect {
      _ = try qemu.observe(in: plan.directory)
    } throws: { ($0 as? ComputeError)?.code == .unresponsive }
    try qemu.end(in: plan.directory)
    #expect(!FileSystem.system.exists(plan.directory) && ProcessHandle(process)?.isRunning != true)
    try qemu.end(in: plan.directory)
    #expect(try qemu.observe(in: plan.directory) == nil)
    // As if who started it had been killed before it had written its number.
    let number = plan.directory + "/qemu.pid"
    func processes() -> Int {
      RunningProcess.all(of: FileSystem.userIdentifier) { $0.contains(number) }.count
    }
    try qemu.start(plan)
    try FileSystem.system.remove(number)
    try qemu.start(plan)
    #expect(processes() == 1)
    try qemu.end(in: plan.directory)
    #expect(processes() == 0)
  }

  @Test("a machine begins to boot with UEFI, which keeps its variables", .enabled(if: hasQemu))
  func uefi() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    var plan = try Self.emptyPlan(home)
    plan.firmware = .uefi
    let qemu = QemuCompute()
    guard qemu.check(plan).contains(where: { $0.subject == "uefi" && $0.verdict == .ok }) else {
      #expect(environment("CI") == nil, "OVMF is not installed")
      return
    }
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    let seen = try #require(try qemu.observe(in: plan.directory))
    #expect(seen.firmware == .uefi && seen.disks.map(\.path) == plan.disks.map(\.path))
    #expect(FileSystem.system.exists(plan.directory + "/uefi-variables.fd"))
  }

  @Test(
    "what a machine keeps outlives the directory of its run, also whether it is to run, until it is ended",
    .enabled(if: hasQemu))
  func kept() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let qemu = QemuCompute(keepingIn: home.file("kept"))
    let kept = home.file("kept/run, 1")
    func endHost() throws {
      let process = try #require(try qemu.observe(in: plan.directory)?.process)
      try Program.require("kill", "-9", "\(process)")
      #expect(Program.poll(seconds: 10) { ProcessHandle(process)?.isRunning != true })
      try Program.require("rm", "-rf", plan.directory)
    }
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    try endHost()
    let lost = try #require(try qemu.observe(in: plan.directory))
    #expect(lost.power == .died && lost.notes == ["It ran when this host went down."])
    #expect(try qemu.observe(in: plan.directory)?.power == .died, "it is not forgotten")
    try qemu.start(plan)
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
    #expect(try qemu.stop(in: plan.directory, within: .milliseconds(10), force: true) == .forced)
    try Program.require("rm", "-rf", plan.directory)
    #expect(try qemu.observe(in: plan.directory)?.power == .off)
    // The same directory in another run of the kernel.
    try qemu.start(plan)
    let process = try #require(try qemu.observe(in: plan.directory)?.process)
    try File(kept + "/powered-on", .writing).write([0], at: 0)
    try Program.require("kill", "-9", "\(process)")
    #expect(Program.poll(seconds: 10) { ProcessHandle(process)?.isRunning != true })
    try FileSystem.system.remove(plan.directory + "/qemu.pid")
    #expect(try qemu.observe(in: plan.directory)?.power == .died)
    try qemu.stop(in: plan.directory)
    #expect(try qemu.observe(in: plan.directory)?.power == .off)
    #expect(FileSystem.system.exists(kept + "/console.log"))
    try qemu.end(in: plan.directory)
    #expect(!FileSystem.system.exists(kept) && !FileSystem.system.exists(plan.directory))
  }

  @Test(
    "whoever looks at a machine while it is started does not make it forgotten that it is to run",
    .enabled(if: hasQemu))
  func lookedAt() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let slow = QemuCompute(
      program: try impostor(home, "sleep 2\nexec qemu-system-x86_64 \"$@\"\n"))
    let group = DispatchGroup()
    let failure = Mutex<String?>(nil)
    DispatchQueue.global().async(group: group) {
      do { try slow.start(plan) } catch { failure.withLock { $0 = "\(error)" } }
    }
    let qemu = QemuCompute()
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    while group.wait(timeout: .now() + .milliseconds(20)) == .timedOut {
      // It may be there, and not answer yet.
      _ = try? qemu.observe(in: plan.directory)
    }
    #expect(failure.withLock { $0 } == nil)
    #expect(FileSystem.system.exists(plan.directory + "/powered-on"))
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
  }

  @Test(
    "a machine that is to run stays so where a start fails, and where a signal ends QEMU",
    .enabled(if: hasQemu))
  func failedRestart() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let qemu = QemuCompute(keepingIn: home.file("kept"))
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    let process = try #require(try qemu.observe(in: plan.directory)?.process)
    try Program.require("kill", "-TERM", "\(process)")
    #expect(Program.poll(seconds: 20) { ProcessHandle(process)?.isRunning != true })
    #expect(try qemu.observe(in: plan.directory)?.power == .died)
    try Program.require("rm", "-rf", plan.directory)
    let dying = QemuCompute(
      program: try impostor(home, "echo 'no room for it' >&2; exit 1\n"),
      keepingIn: home.file("kept"))
    #expect(throws: ComputeError.self) { try dying.start(plan) }
    let seen = try #require(try qemu.observe(in: plan.directory))
    #expect(seen.power == .died && "\(seen.notes)".contains("no room for it"))
    #expect(throws: ComputeError.self) { try dying.startAgain(in: plan.directory) }
    #expect(try qemu.observe(in: plan.directory)?.power == .died)
    try qemu.startAgain(in: plan.directory)
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
  }

  @Test(
    "a machine is not to run any more while its guest powers down, and is again where that does not",
    .enabled(if: hasQemu))
  func stopping() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let qemu = QemuCompute()
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    let path = plan.directory + "/powered-on"
    // Called off once it is seen; and then waited for in vain.
    let error = #expect(throws: ComputeError.self) {
      try qemu.stop(
        in: plan.directory, within: .seconds(300), force: false,
        isCancelled: { !FileSystem.system.exists(path) })
    }
    #expect(error?.code == .cancelled)
    #expect(FileSystem.system.exists(path))
    #expect(throws: ComputeError.self) {
      try qemu.stop(in: plan.directory, within: .seconds(1), force: false)
    }
    #expect(FileSystem.system.exists(path))
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
  }

  @Test(
    "what was copied from another host is started by nobody but who asks for it",
    .enabled(if: hasQemu))
  func elsewhere() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    let qemu = QemuCompute(keepingIn: home.file("kept"))
    try qemu.start(plan)
    defer { #expect(throws: Never.self) { try qemu.end(in: plan.directory) } }
    let process = try #require(try qemu.observe(in: plan.directory)?.process)
    try Program.require("kill", "-9", "\(process)")
    #expect(Program.poll(seconds: 10) { ProcessHandle(process)?.isRunning != true })
    let path = home.file("kept/run, 1/powered-on")
    let lines = try FileSystem.system.readFile(path, limit: 256).split(separator: 10)
    guard lines.count == 2 else {
      #expect(!FileSystem.system.exists("/etc/machine-id"))
      return
    }
    let other = Array(lines[0]) + Array("\nanother\n".utf8)
    try FileSystem.system.replaceFile(path, with: other, permissions: 0o600)
    for _ in 0..<2 {
      let seen = try #require(try qemu.observe(in: plan.directory))
      #expect(seen.power == .off && seen.notes.count == 1, "\(seen)")
    }
    try qemu.start(plan)
    #expect(try qemu.observe(in: plan.directory)?.power == .on)
  }

  @Test("QEMU that is missing, dies at once or says nothing is told of, and nothing of it stays")
  func failures() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let plan = try Self.emptyPlan(home)
    #expect {
      try QemuCompute(program: "/nonexistent/qemu").start(plan)
    } throws: {
      let error = $0 as? ComputeError
      return error?.code == .missing && "\(error?.message ?? "")".contains("apt install")
    }
    let dying = QemuCompute(program: try impostor(home, "echo 'no room for it' >&2; exit 1\n"))
    #expect(dying.check(plan).first { $0.subject == "kvm" }?.verdict == .warning)
    #expect {
      try dying.start(plan)
    } throws: {
      let error = $0 as? ComputeError
      return error?.code == .failed && "\(error?.message ?? "")".contains("no room for it")
    }
    #expect(try dying.observe(in: plan.directory)?.power == .off)
    try dying.end(in: plan.directory)
    #expect(!FileSystem.system.exists(plan.directory))
  }

  @Test("a plan that can't be carried out is refused before anything is made")
  func plans() throws {
    let home = try TemporaryDirectory("qemu", in: "/tmp")
    let good = try Self.emptyPlan(home)
    var bad = [good, good, good, good, good, good, good]
    bad[0].cores = 0
    bad[1].memory = 1000
    bad[2].disks = []
    bad[3].disks[0].path += "-missing"
    bad[4].directory = home.file(String(repeating: "d", count: 100))
    bad[5].disks[0].isSystem = true
    bad[6].adapters[0].address = IPv4Address("10.98.0.1")
    for plan in bad {
      #expect {
        try QemuCompute().start(plan)
      } throws: { ($0 as? ComputeError)?.code == .plan }
      #expect(!FileSystem.system.exists(plan.directory))
    }
  }
}
