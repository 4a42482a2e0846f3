import FileIO
import Foundation
import Support
import Testing

/// Kills the processes of this user that have an argument: kill -9.
func killAll(with argument: String) {
  let found = RunningProcess.all(of: FileSystem.userIdentifier) { $0.contains(argument) }
  for process in found { kill(process, SIGKILL) }
}

/// A machine that is failed over by a real service, with its disks served; all of that ends with the value.
final class FailedOverMachine {
  static let name = "web01"
  let tool: Tool
  private(set) var service: RunningService?
  /// The path of its first disk.
  let disk: String

  /// With a `guest`, its disk boots the small one; else it begins with `bootSector`. It has another disk if
  /// `hasData`, and is failed over with `options`.
  init(
    _ purpose: String, guest: Bool = false, bootSector: [UInt8] = [], hasData: Bool = false,
    options: [String] = []
  ) throws {
    tool = try Tool.withVault(purpose)
    var disks = ["--disk", try tool.image("a.img", size: 8 << 20)]
    if hasData { disks += ["--disk", try tool.image("b.img", size: 4 << 20)] }
    let added = try tool.start(["machine", "add", Self.name] + disks).wait(seconds: 600)
    try #require(added.succeeded, "\(added.report)")
    let source = try File(tool.file("a.img"), .writing)
    var random = SeededGenerator(for: purpose)
    try source.write(random.bytes(3 << 20), at: 1 << 20)
    if guest { try SmallGuest.write(to: tool.file("a.img")) }
    if !bootSector.isEmpty { try source.write(bootSector, at: 0) }
    try tool.require("replicate", Self.name)
    service = try RunningService(tool)
    let begun = try tool.start(["failover", "start", Self.name] + options).wait(seconds: 120)
    guard begun.succeeded else { throw ProgramFailure(command: "failover start", result: begun) }
    let recovery = try tool.json("machine", "show", Self.name)["recovery"] as? [String: Any]
    disk = try #require(recovery?["directory"] as? String) + "/disk0.raw"
  }

  deinit {
    stopService()
    let machines = FileSystem.parent(of: FileSystem.parent(of: run))
    for name in (try? FileSystem.system.list(machines)) ?? [] where name.hasSuffix(".vm") {
      killAll(with: machines + "/" + name + "/qemu.pid")
    }
    killServers()
  }

  var run: String { FileSystem.parent(of: FileSystem.parent(of: disk)) }

  func stopService() {
    if let service { #expect(service.stop().status == 0) }
    service = nil
  }

  /// kill -9.
  func killService() {
    service?.program.killGroup()
    _ = service?.program.wait(seconds: 20)
    service = nil
  }

  func startService() throws { service = try RunningService(tool) }

  /// Takes the processes away that serve the disks, as the end of the host would.
  func killServers() {
    for _ in 0..<100 {
      let processes = RunningProcess.all(of: FileSystem.userIdentifier) { $0.contains(run) }
      guard !processes.isEmpty else { break }
      for process in processes { kill(process, SIGKILL) }
      usleep(10_000)
    }
    _ = try? Program.run("umount", "-l", run + "/disks")
  }

  /// Writes to the disk as whoever has it mounted does; gives whether that was let through.
  func write(_ text: String, at offset: Int) throws -> Bool {
    try Program.run(
      "sh", "-c", "printf '\(text)' | dd of=\(disk) bs=1 seek=\(offset) conv=notrunc,fsync"
    ).succeeded
  }

  func power() throws -> [String: Any] {
    try tool.json("machine", "connect", Self.name)
  }

  func export(_ name: String, _ options: String...) throws -> Program.Result {
    try tool.start(
      ["export", Self.name, "--failed-over", "--force", tool.file(name)] + options
    ).wait(seconds: 60)
  }

  func equals(_ name: String) throws -> Bool {
    try Program.run("cmp", disk, tool.file(name)).succeeded
  }
}

/// Goal: an exported disk is what its users see, never while they could be writing unknown to it, and a machine
/// that is stopped stays stopped. Method: the real commands, a real service and real disk servers.
@Suite(.serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct FailedOverDiskTests {
  @Test(
    "a failed-over disk is exported as it is used, refused while somebody writes, and the same once committed"
  )
  func export() throws {
    let machine = try FailedOverMachine("export-failed-over")
    #expect(try machine.write("written after the failover", at: 5 << 20))
    let first = try machine.export("a.raw", "--format", "raw", "--verify")
    #expect(first.succeeded && !first.errors.contains("loss of power"), "\(first.report)")
    #expect(try machine.equals("a.raw"))

    let user = try Program("sh", ["-c", "exec 3<>\(machine.disk); exec sleep 100"])
    #expect(
      try Program.poll(seconds: 10) { try machine.power()["openCount"] as? Int == 1 })
    let refused = try machine.export("b.raw", "--format", "raw")
    #expect(refused.status == 14, "\(refused.report)")
    for word in ["'disk0.raw'", "tidemark machine stop web01", "--live"] {
      #expect(refused.errors.contains(word), "\(refused.errors)")
    }
    let live = try machine.export("b.raw", "--format", "raw", "--live", "--json")
    #expect(live.succeeded && live.errors.contains("loss of power"), "\(live.report)")
    #expect(live.output.contains("\"isCrashConsistent\" : true"), "\(live.output)")
    #expect(try machine.equals("b.raw"))
    user.killGroup()
    _ = user.wait(seconds: 10)

    try machine.tool.require("failover", "commit", FailedOverMachine.name, "--yes")
    #expect(try machine.write("written after the commit", at: 6 << 20))
    machine.stopService()
    let vhd = try machine.export("c.vhd", "--format", "vhd", "--check", "azure-stack", "--verify")
    #expect(vhd.succeeded, "\(vhd.report)")
    #expect(try machine.export("c.raw", "--format", "raw").succeeded)
    #expect(try machine.equals("c.raw"))
    let digests = try ["c.vhd", "d.vhd"].map { name in
      #expect(try machine.export(name, "--format", "vhd").succeeded)
      return try digest(of: machine.tool.file(name))
    }
    #expect(digests[0] == digests[1])
    machine.killServers()
    #expect(try machine.export("e.vhd", "--format", "vhd").succeeded)
    #expect(try digest(of: machine.tool.file("e.vhd")) == digests[0], "without any server")
    let none = try machine.tool.run("export", "web01", "--point", "latest", "--failed-over", "x")
    #expect(none.status == 64)
  }

  @Test(
    "a check reads failed-over disks while they are in use, names what is damaged, and health tells of it"
  )
  func verify() throws {
    let machine = try FailedOverMachine("verify-failed-over")
    let (tool, name) = (machine.tool, FailedOverMachine.name)
    try Program.require(
      "dd", "if=/dev/urandom", "of=" + machine.disk, "bs=64k", "count=20", "seek=70",
      "conv=notrunc,fsync")
    // What comes behind a flush tells that it was one: else a damaged end is one that a loss of power left.
    #expect(try machine.write("more", at: 0))
    let whole = try tool.json("verify", name)
    let branch = try #require((whole["branches"] as? [[String: Any]])?.first, "\(whole)")
    #expect(whole["intact"] as? Bool == true && branch["intact"] as? Bool == true, "\(whole)")
    #expect(branch["purpose"] as? String == "failover" && branch["machine"] as? String == name)
    #expect(branch["records"] as? Int ?? 0 >= 20)
    let id = try #require(branch["id"] as? String)
    #expect(try tool.require("verify").contains("web01, failed-over disks: intact"))

    let directory = tool.vault + "/branches/" + id
    let segment = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max {
        try FileSystem.system.status(directory + "/" + $0).size
          < FileSystem.system.status(directory + "/" + $1).size
      })
    let path = directory + "/" + segment
    let file = try File(path, .writing)
    let place = try file.status().size / 4
    let byte = try file.read(at: place, count: 1)
    try file.write([byte[0] ^ 0x10], at: place)
    let text = try tool.run("verify", name)
    #expect(text.status == 12, "\(text.report)")
    #expect(
      text.output.contains("Disk 0, bytes ") && text.output.contains("the failed-over disks"),
      "\(text.report)")
    let found = try tool.json("verify", name)
    let damages = (found["branches"] as? [[String: Any]])?.first?["damages"] as? [[String: Any]]
    let hurting = try #require(damages?.first { ($0["branches"] as? [String]) == [id] })
    #expect(hurting["disk"] as? Int == 0 && hurting["firstByte"] as? Int ?? 0 >= 70 << 16)
    #expect(try tool.run("health").output.contains("can't read all of its recovered disks"))
    #expect(try tool.require("events").contains("can't read all of its recovered disks"))

    try file.write(byte, at: place)
    #expect(try tool.require("verify", name).contains("failed-over disks: intact"))
    #expect(try !tool.run("health").output.contains("recovered disks"))
    machine.stopService()
    machine.killServers()
    #expect(try tool.require("verify", name).contains("failed-over disks: intact"))
    try checkBelow(machine)
    try FileSystem.system.remove(directory + "/MANIFEST")
    let lost = try tool.run("verify")
    #expect(lost.status == 12 && lost.output.contains("can't be read"), "\(lost.report)")
  }

  /// Damages what the disks stand on, looks what is told of them, and undoes it.
  private func checkBelow(_ machine: FailedOverMachine) throws {
    let (tool, name) = (machine.tool, FailedOverMachine.name)
    let shown = try tool.json("machine", "show", name)
    let directory = tool.vault + "/machines/" + (try #require(shown["id"] as? String))
    let segment = try #require(
      try FileSystem.system.list(directory).filter { $0.hasSuffix(".seg") }.max {
        try FileSystem.system.status(directory + "/" + $0).size
          < FileSystem.system.status(directory + "/" + $1).size
      })
    let file = try File(directory + "/" + segment, .writing)
    let place = try file.status().size / 2
    let byte = try file.read(at: place, count: 1)
    try file.write([byte[0] ^ 0xFF], at: place)
    let text = try tool.run("verify", name)
    #expect(
      text.status == 12 && text.output.contains("own files intact, hurt by damage"),
      "\(text.report)")
    let branch = (try tool.json("verify", name)["branches"] as? [[String: Any]])?.first
    #expect(branch?["intact"] as? Bool == true && branch?["hurtBelow"] as? Bool == true)
    try file.write(byte, at: place)
    #expect(try tool.require("verify", name).contains("failed-over disks: intact"))
  }

  @Test("disks whose server hangs or has ended are told of in health, and started again")
  func hanging() throws {
    let machine = try FailedOverMachine("hanging")
    let (tool, name) = (machine.tool, FailedOverMachine.name)
    func errors() throws -> [String] {
      let shown = try tool.json("health")["errors"] as? [[String: Any]]
      return (shown ?? []).compactMap { $0["code"] as? String }
    }
    let servers = RunningProcess.all(of: FileSystem.userIdentifier) {
      $0.contains(machine.run) && $0.contains("server")
    }
    let server = try #require(servers.first)
    kill(server, SIGSTOP)
    #expect(try machine.power()["diskServer"] as? String == "silent")
    #expect(try tool.require("machine", "show", name).contains("does not answer"))
    #expect(try tool.require("machine", "list").contains(name))
    #expect(try Program.poll(seconds: 30) { try errors().contains("disk-server-hangs") })
    kill(server, SIGCONT)
    #expect(try machine.power()["diskServer"] as? String == "answers")
    #expect(try machine.write("still", at: 0))
    #expect(try Program.poll(seconds: 30) { try !errors().contains("disk-server-hangs") })
    machine.killServers()
    #expect(try Program.poll(seconds: 30) { try errors().contains("disks-not-served") })
    try tool.require("machine", "start", name)
    #expect(try machine.write("again", at: 0))
    #expect(try Program.poll(seconds: 30) { try !errors().contains("disks-not-served") })
  }

  @Test("a machine that is stopped refuses writes until it is started, over restarts of everything")
  func stopAndStart() throws {
    let machine = try FailedOverMachine("stop-and-start")
    let (tool, name) = (machine.tool, FailedOverMachine.name)
    #expect(try machine.power()["power"] as? String == "on")
    let user = try Program("sh", ["-c", "exec 3<>\(machine.disk); exec sleep 100"])
    #expect(
      try Program.poll(seconds: 10) { try machine.power()["openCount"] as? Int == 1 })
    let inTime = try tool.run("machine", "stop", name, "--timeout", "1s")
    #expect(inTime.status == 11 && inTime.errors.contains("disk0.raw"), "\(inTime.report)")
    #expect(try machine.write("still", at: 0), "nothing changed")
    try tool.require("machine", "stop", name, "--timeout", "20s", "--no-wait")
    let second = try tool.run("machine", "stop", name)
    #expect(second.status == 14 && second.errors.contains("Stop machine"), "\(second.report)")
    user.killGroup()
    _ = user.wait(seconds: 10)
    #expect(try Program.poll(seconds: 10) { try machine.power()["power"] as? String == "off" })
    #expect(try !machine.write("no", at: 0))
    #expect(try tool.require("machine", "show", name).contains("its disks refuse writes"))
    #expect(try machine.export("a.raw", "--format", "raw").succeeded && machine.equals("a.raw"))

    machine.stopService()
    machine.killServers()
    try machine.startService()
    #expect(try machine.power()["power"] as? String == "off")
    #expect(try !machine.write("no", at: 0))
    try tool.require("machine", "start", name)
    try tool.require("machine", "start", name)
    #expect(try machine.write("yes", at: 0))

    let holder = try Program("sh", ["-c", "exec 3<>\(machine.disk); exec sleep 100"])
    #expect(
      try Program.poll(seconds: 10) { try machine.power()["openCount"] as? Int == 1 })
    try tool.require("machine", "stop", name, "--timeout", "1s", "--force")
    #expect(try !machine.write("no", at: 0))
    holder.killGroup()
    _ = holder.wait(seconds: 10)
    let none = try tool.run("machine", "stop", name, "--test")
    #expect(none.status == 14 && none.errors.contains("Leave out --test"), "\(none.report)")
    let console = try tool.run("machine", "connect", name)
    #expect(console.status == 14 && console.errors.contains("'none'"), "\(console.report)")
  }

  @Test("a copy of a vault beside it is kept from the disks that the vault serves")
  func copiedVault() throws {
    let machine = try FailedOverMachine("copied-vault")
    machine.stopService()
    let (tool, copy) = (machine.tool, machine.tool.file("copy"))
    try Program.require("cp", "-a", tool.vault, copy)
    for words in [
      ["machine", "stop", FailedOverMachine.name, "--timeout", "5s", "--force"],
      ["export", FailedOverMachine.name, "--failed-over", "--format", "raw", tool.file("a.raw")],
    ] {
      let result = try Program(
        Product.tidemark, words,
        environment: tool.variables.merging(["TIDEMARK_VAULT": copy]) { $1 }
      ).wait(seconds: 60)
      #expect(result.status == 14 && result.errors.contains("is a copy"), "\(result.report)")
    }
    #expect(try machine.write("still", at: 0))
  }
}
