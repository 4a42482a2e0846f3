import FileIO
import Foundation
import Support
import Testing

/// Debian that runs in QEMU from an image on XFS, whose database writes all the time, and that an agent
/// replicates by reflink to a service of its own, which runs recovered machines by QEMU.
final class SourceMachine {
  static let name = "web01"
  /// The address that it is to have where it is recovered: of the network that every vault begins with.
  static let address = "10.213.0.20"
  /// Seconds that a guest may take to boot, on a busy host and without any help of the processor.
  static let patience = 240.0

  let mount: LoopMount
  let disk: String
  let tool: Tool
  let guest: Guest
  let service: ServiceWorker
  let agent: AgentWorker
  /// Where the servers of disks and the recovered machines have what is theirs.
  private let run: TemporaryDirectory

  /// Starts it; its boot and its first replication go on meanwhile.
  init() throws {
    mount = try LoopMount(.xfs, size: 12 << 30)
    disk = mount.file("web01.img")
    try DebianDisk.copy(to: disk)
    guest = try Guest(disk: disk)
    // Paths of sockets are short.
    run = try TemporaryDirectory("run", in: "/tmp")
    var tool = try Tool.withVault("guest")
    tool.more = ["TIDEMARK_RUNTIME_DIRECTORY": run.path]
    self.tool = tool
    service = ServiceWorker(tool)
    try service.start()
    agent = try AgentWorker(Self.name, of: service)
  }

  deinit {
    service.kill()
    guest.kill()
    // What outlives the service, outlives a test that failed, too.
    for process in Self.processes(with: run.path) { kill(process, SIGKILL) }
    for mount in (try? FileSystem.mounts()) ?? [] where mount.point.hasPrefix(run.path) {
      umount2(mount.point, 2)  // MNT_DETACH
    }
  }

  /// The processes that have a text in their arguments.
  private static func processes(with text: String) -> [Int32] {
    ((try? FileSystem.system.list("/proc")) ?? []).compactMap { Int32($0) }.filter { number in
      number != getpid()
        && RunningProcess.arguments(of: number).contains { $0.contains(text) }
    }
  }

  /// Has it replicated until there are points of both kinds, after it has booted.
  func protect() throws {
    try agent.protect([disk], capture: "reflink", interval: 10)
    try agent.require("set-hook", "guest-agent", "--socket", guest.agentSocket)
    try tool.require(
      "machine", "set", Self.name, "--app-interval", "20", "--memory", "512M", "--network",
      "isolated", "--target-address", Self.address)
    try wait(for: "the source's login prompt") { guest.console.contains("guest login:") }
    try agent.start()
    try cycle()
    try cycle()
    try wait(for: "points of both kinds") {
      let points = try tool.points(of: Self.name)
      return points.contains { $0.hasSuffix("-app") } && points.contains { $0.hasSuffix("-crash") }
    }
  }

  /// Has a cycle begin at once, and waits for a point.
  func cycle() throws {
    let count = try tool.points(of: Self.name).count
    try tool.require("machine", "replicate", Self.name)
    try wait(for: "a cycle") { try tool.points(of: Self.name).count > count }
  }

  /// Waits for something; where it does not come, everybody's last words are in the failure.
  func wait(
    for what: String, seconds: Double = patience, until condition: () throws -> Bool
  ) throws {
    let start = ContinuousClock.now
    let came = try Program.poll(seconds: seconds) {
      if try condition() { return true }
      usleep(200_000)
      return false
    }
    let words = came ? "" : lastWords
    try #require(came, "waited \(Int(seconds)) s for \(what)\n\(words)")
    print("\(what): \(ContinuousClock.now - start)")
  }

  /// The ends of consoles and logs.
  var lastWords: String {
    let texts = [
      ("the source's console", guest.console), ("the service", Self.said(service.program)),
      ("the agent", Self.said(agent.program)),
      ("the machine", (try? tool.run("machine", "show", Self.name).report) ?? ""),
      ("events", (try? tool.run("events", "--limit", "20").report) ?? ""),
      ("the recovered machine's console", (try? recovered().console) ?? "none"),
    ]
    return texts.map { "--- \($0.0):\n" + String($0.1.suffix(3000)) }.joined(separator: "\n")
  }

  private static func said(_ program: Program?) -> String {
    program.map { $0.outputSoFar.output + $0.outputSoFar.errors } ?? ""
  }

  /// Runs a command that must succeed, and prints how long it took.
  @discardableResult
  func timed(_ arguments: String...) throws -> String {
    let start = ContinuousClock.now
    let result = try tool.start(arguments).wait(seconds: 300)
    let command = arguments.joined(separator: " ")
    try #require(result.succeeded, "tidemark \(command): \(result.report)\n\(lastWords)")
    print("tidemark \(command): \(ContinuousClock.now - start)")
    return result.output
  }

  /// What `machine show` tells of its recovery.
  func recovery() throws -> [String: Any] {
    let shown = try tool.json("machine", "show", Self.name)
    return try #require(shown["recovery"] as? [String: Any], "\(shown)")
  }

  /// The machine that was recovered, and runs.
  func recovered() throws -> RecoveredMachine {
    let disks = try #require(try recovery()["directory"] as? String)
    return RecoveredMachine(disks: disks, vault: tool.vault)
  }

  /// Waits for the login prompt and the judgement of the database, and gives how many rows it had.
  func waitForLogin(of machine: RecoveredMachine, _ what: String) throws -> Int {
    try wait(for: "the login prompt of \(what)") { machine.console.contains("guest login:") }
    try wait(for: "the database of \(what)", seconds: 60) { machine.console.contains("ledger: ") }
    let found = machine.console.firstMatch(of: /ledger: (.*), (\d+) rows/)
    let (state, rows) = try #require(found.map { ($0.1, Int($0.2) ?? 0) }, "\(machine.console)")
    #expect(state == "ok" && rows > 0, "\(what): \(state), \(rows) rows")
    print("\(what): ledger \(state), \(rows) rows")
    return rows
  }
}

/// A recovered machine that runs, at whose console root needs no password.
struct RecoveredMachine {
  /// The directory with its disks.
  let disks: String
  /// The vault that these are in.
  let vault: String
  /// The directory that the disks' servers have for the branch.
  private var branch: String { FileSystem.parent(of: disks) }
  /// The directory of its run, beside that of the vault with the branch's own.
  var directory: String {
    let base = FileSystem.parent(of: FileSystem.parent(of: branch))
    return "\(base)/\(branch.suffix(36)).vm"
  }
  /// The directory of what is kept of it.
  var kept: String { "\(vault)/machines-run/\(branch.suffix(36)).vm" }
  var disk: String { disks + "/disk0.raw" }

  /// What it wrote to its serial console.
  var console: String {
    let bytes = try? FileSystem.system.readFile(kept + "/console.log", limit: 1 << 24)
    return String(decoding: bytes ?? [], as: UTF8.self)
  }

  /// Types lines at its console.
  func type(_ lines: String...) throws {
    let deadline = ContinuousClock.now + .seconds(10)
    let stream = try ByteStream(connectingTo: directory + "/serial", until: deadline)
    for line in lines {
      // A terminal takes a line of 4095 bytes, and its buffer is small.
      try stream.send(Array((line + "\n").utf8), until: deadline)
      usleep(300_000)
    }
  }

  /// Logs in.
  func logIn() throws -> Bool {
    try type("root")
    return Program.poll(seconds: 60) { console.contains("root@guest") }
  }

  /// Runs a command and waits for its end; gives whether that was a success.
  func run(_ command: String, seconds: Double = 120) throws -> Bool {
    let mark = Int.random(in: 1_000_000...9_999_999)
    // What is typed is echoed, and is not to be taken for an answer.
    try type("\(command); echo \"done-$?-\"\(mark)")
    let answers = { (console: String) in
      console.matches(of: /done-([0-9]+)-([0-9]+)/).filter { $0.2 == "\(mark)" }.map(\.1)
    }
    let isOver = Program.poll(seconds: seconds) { !answers(console).isEmpty }
    return isOver && answers(console) == ["0"]
  }
}
