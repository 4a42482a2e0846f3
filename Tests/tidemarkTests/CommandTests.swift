import FileIO
import Foundation
import Support
import Testing

@testable import tidemark

/// Goal: the command does what its help says, as text and as JSON. Method: the real binary.
@Suite struct CommandTests {
  @Test("a machine goes from a new vault to an exported VHD and back out of the vault")
  func story() throws {
    let tool = try Tool("story")
    #expect(try tool.require("vault", "init", tool.vault, "--name", "main").contains("main"))
    #expect(try FileSystem.system.status(tool.vault).permissions == 0o700)
    let image = try tool.image("web01.img", size: 24 << 20)
    var random = SeededGenerator(for: "story")
    try File(image, .writing).write(random.bytes(3 << 20), at: 1 << 20)
    try tool.require("machine", "add", "web01", "--disk", image)
    let first = try tool.require("replicate", "web01", "--label", "clean install")
    try Program.require("cp", image, tool.file("first.img"))
    try File(image, .writing).write(random.bytes(8192), at: 2 << 20)
    let second = try tool.require("replicate", "web01")
    #expect(try tool.points(of: "web01") == [first, second])
    #expect(try tool.json("point", "show", "web01", "clean install")["id"] as? String == first)
    #expect(try tool.json("point", "show", "web01", "latest")["id"] as? String == second)
    for (point, reference) in [(first, tool.file("first.img")), (second, image)] {
      let out = tool.file("\(point).img")
      try tool.require("export", "web01", "--point", point, "--format", "raw", "--verify", out)
      try Program.require("cmp", reference, out)
    }
    try tool.require(
      "export", "web01", "--point", "latest", "--format", "vhd", "--check", "azure", "--verify",
      tool.file("web01.vhd"))
    try Program.require(
      "qemu-img", "compare", "-f", "raw", "-F", "vpc", image, tool.file("web01.vhd"))
    #expect(try tool.require("verify").contains("intact"))
    #expect(try tool.require("status").contains("healthy"))
    try tool.require("machine", "remove", "web01", "--yes")
    #expect(try tool.run("machine", "show", "web01").status == 13)
    #expect(try tool.require("machine", "list").contains("no machines"))
  }

  @Test("replicate prints nothing but the point's id to standard output")
  func outputIsTheID() throws {
    let tool = try Tool.withVault()
    try tool.require("machine", "add", "m", "--disk", tool.image("a.img", size: 1 << 20))
    let result = try tool.run("replicate", "m")
    #expect(result.output.wholeMatch(of: /\d{8}T\d{6}Z-crash\n/) != nil)
    #expect(result.errors.contains("stored"))
    #expect(!result.errors.contains("\u{1B}"))
  }

  @Test("everything that prints data prints one JSON object when asked")
  func jsonEverywhere() throws {
    let tool = try Tool("json")
    let made = try tool.json("vault", "init", tool.vault, "--name", "main", "--codec", "zlib")
    #expect(made["codec"] as? String == "zlib")
    #expect(made["registered"] as? Bool == true)
    let image = try tool.image("a.img", size: 2 << 20)
    let added = try tool.json("machine", "add", "m", "--disk", image, "--os", "windows")
    #expect(added["operatingSystem"] as? String == "windows")
    let cycle = try tool.json("replicate", "m")
    #expect((cycle["cycles"] as? [[String: Any]])?.count == 1)
    #expect(try tool.json("vault", "info")["points"] as? Int == 1)
    #expect((try tool.json("machine", "list")["machines"] as? [Any])?.count == 1)
    #expect(try tool.json("machine", "show", "m")["points"] as? Int == 1)
    #expect((try tool.json("point", "list", "m")["points"] as? [Any])?.count == 1)
    #expect(try tool.json("verify")["intact"] as? Bool == true)
    #expect(try tool.json("status")["health"] as? String == "healthy")
    #expect((try tool.json("vault", "rebuild")["rebuilt"] as? [Any])?.count == 0)
    let asked = try tool.json("point", "show", "m", "0s-ago")["asked"] as? [String: Any]
    #expect(asked?["spelling"] as? String == "0s-ago")
    let export = try tool.json(
      "export", "m", "--point", "latest", "--format", "vhd-dynamic", tool.file("o.vhd"))
    #expect(export["diskSize"] as? Int == 2 << 20)
    let failed = try tool.run("machine", "show", "nobody", "--json")
    let error = try JSONSerialization.jsonObject(with: Data(failed.errors.utf8)) as? [String: Any]
    #expect(error?["exitStatus"] as? Int == 13)
    #expect(failed.status == 13 && failed.output.isEmpty)
    let jobs = try tool.json("jobs")
    #expect((jobs["jobs"] as? [[String: Any]])?.first?["state"] as? String == "Succeeded")
    let events = try tool.json("events")
    #expect((events["events"] as? [[String: Any]])?.first?["code"] as? String == "machine-added")
    let token = try tool.json("token", "create", "monitor", "--role", "reader", "--valid", "1h")
    #expect((token["token"] as? String)?.hasPrefix("tidemark_") == true)
    let key = try tool.json("key", "create", "--label", "rack")
    #expect((key["key"] as? String)?.hasPrefix("TMK1-") == true && key["usesLeft"] as? Int == 1)
    let keys = try tool.json("key", "list")
    #expect((keys["keys"] as? [Any])?.count == 1)
    try tool.require("key", "revoke", #require(key["id"] as? String))
    #expect(try tool.run("key", "revoke", "none").status == 13)
    let host = try tool.json("serve", "--check", "--time-source", "none", "--https-port", "0")
    #expect(host["verdict"] as? String != nil)
    let page = try PagesTests.page("JSON")
    for object in [
      made, added, cycle, export, error ?? [:], try tool.json("status"), jobs, events, token, key,
      keys, host, try tool.json("token", "list"), try tool.json("server", "list"),
      try tool.json("server", "show", "service"), try tool.json("machine", "list"),
      try tool.json("point", "list", "m"), try tool.json("verify"), try tool.json("vault", "info"),
      try tool.json("key", "rotate-service"),
    ] {
      for field in Self.fields(object) {
        #expect(page.contains("`\(field)`") || page.contains("\"\(field)\""), "\(field)")
      }
    }
  }

  /// The names of all fields in an object and in those within it.
  static func fields(_ value: Any) -> Set<String> {
    if let list = value as? [Any] { return Set(list.flatMap { fields($0) }) }
    guard let object = value as? [String: Any] else { return [] }
    return Set(object.keys).union(object.values.flatMap { fields($0) })
  }

  @Test("every command's help shows examples and how it can end")
  func help() throws {
    let tool = try Tool("help")
    let commands = try Self.commands(tool)
    #expect(commands.count > 50)
    for command in commands {
      let help = try tool.start(command + ["--help"]).wait(seconds: 60)
      #expect(help.succeeded)
      #expect(help.output.contains("EXAMPLES\n  tidemark \(command.joined(separator: " "))"))
      #expect(help.output.contains("EXIT STATUS\n  0    done"), "\(command)")
    }
    #expect(try tool.require("--help").contains("130  interrupted"))
    #expect(try tool.require("--version").contains("."))
    #expect(try tool.run("nonsense").status == 64)
    #expect(try tool.run("replicate").status == 64)
  }

  /// The names of all commands that do something, as they are typed: those that help names, and so on.
  private static func commands(_ tool: Tool, _ group: [String] = []) throws -> [[String]] {
    let help = try tool.start(group + ["--help"]).wait(seconds: 60).output
    guard let list = help.split(separator: "SUBCOMMANDS:\n").dropFirst().last else {
      return [group]
    }
    let names = list.split(separator: "\n").compactMap { line in
      line.firstMatch(of: /^  ([a-z][a-z-]*)/).map { String($0.1) }
    }
    return try names.flatMap { try commands(tool, group + [$0]) }
  }

  @Test("the README names every command in its table, with its group")
  func readme() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "../../README.md")
    var group = ""
    var named: Set<[String]> = []
    for line in try String(contentsOf: path, encoding: .utf8).split(separator: "\n") {
      let cells = line.split(separator: "|").map { cell in
        cell.matches(of: /`([a-z-]+)`/).map { String($0.1) }
      }
      guard line.hasPrefix("| "), cells.count == 3 else { continue }
      if let first = cells[0].first { group = first }
      for name in cells[0] where cells[1].isEmpty { named.insert([name]) }
      for name in cells[1] { named.insert([group, name]) }
    }
    let commands = try Self.commands(try Tool("readme"))
    #expect(commands.count > 50)
    for command in commands { #expect(named.contains(Array(command.prefix(2))), "\(command)") }
  }

  @Test("shells can complete the command", arguments: ["bash", "zsh", "fish"])
  func completions(shell: String) throws {
    let tool = try Tool("completions")
    let script = try tool.require("--generate-completion-script", shell)
    #expect(script.contains("replicate") && script.contains("vhd-dynamic"))
    guard shell == "bash" else { return }
    let file = try File(tool.file("completion"), .creating(permissions: 0o600))
    try file.write(Array(script.utf8), at: 0)
    try Program.require("bash", "-n", tool.file("completion"))
  }

  @Test("a group may be let in to read")
  func group() throws {
    let tool = try Tool("group")
    try tool.require("vault", "init", tool.vault, "--group", "\(getgid())")
    #expect(try FileSystem.system.status(tool.vault).permissions == 0o750)
    try tool.require("machine", "add", "m", "--disk", tool.image("a.img", size: 1 << 20))
    try tool.require("replicate", "m")
    let machines = tool.vault + "/machines"
    let name = try #require(try FileSystem.system.list(machines).first)
    for file in try FileSystem.system.list(machines + "/" + name) {
      let status = try FileSystem.system.status(machines + "/\(name)/\(file)")
      #expect(status.permissions == 0o640, "\(file)")
    }
    #expect(try tool.run("vault", "init", tool.file("w"), "--group", "no-such-group").status == 14)
    #expect(!FileSystem.system.exists(tool.file("w")))
  }

  @Test("an interrupted replication ends with 130 and goes on next time")
  func interruption() throws {
    let tool = try Tool.withVault("interruption")
    let image = try tool.image("a.img", size: 512 << 20)
    var random = SeededGenerator(for: "interruption")
    let file = try File(image, .writing)
    for offset in stride(from: 0, to: 512 << 20, by: 8 << 20) {
      try file.write(random.bytes(8 << 20), at: UInt64(offset))
    }
    try tool.require("machine", "add", "m", "--disk", image)
    let program = try tool.start(["replicate", "m"])
    let stored = Program.poll(seconds: 60) {
      let info = try? tool.json("vault", "info")["storedBytes"] as? Int
      return (info ?? 0) > 50 << 20
    }
    #expect(stored)
    program.signal(SIGINT)
    let result = program.wait(seconds: 60)
    #expect(result.status == 130)
    #expect(result.errors.contains("run the command again"))
    #expect(try tool.points(of: "m").isEmpty)
    let rest = try tool.json("replicate", "m")
    let cycle = try #require((rest["cycles"] as? [[String: Any]])?.first)
    let disk = try #require((cycle["disks"] as? [[String: Any]])?.first)
    #expect(try #require(disk["changedBytes"] as? Int) <= 462 << 20)
    try tool.require(
      "export", "m", "--point", "latest", "--format", "raw", tool.file("out.img"))
    try Program.require("cmp", image, tool.file("out.img"))
  }

  @Test("output that can't be written is a failure")
  func fullOutput() throws {
    let tool = try Tool.withVault("output")
    let command = "exec '\(Product.tidemark)' vault info >/dev/full"
    let result = try Program(
      "bash", ["-c", command], environment: tool.variables
    ).wait(seconds: 60)
    #expect(result.status == 1)
    #expect(result.errors.contains("No space left"))
  }

  @Test("output that is cut short by its reader is no error of ours")
  func closedPipe() throws {
    let tool = try Tool.withVault("pipe")
    let command = "'\(Product.tidemark)' vault info | head -c 1; echo ${PIPESTATUS[0]}"
    let result = try Program(
      "bash", ["-c", command], environment: tool.variables
    ).wait(seconds: 60)
    #expect(result.succeeded && result.errors.isEmpty, "\(result.report)")
  }

  @Test("on a terminal progress is shown, and a removal asks for the name")
  func terminal() throws {
    let tool = try Tool.withVault("terminal")
    try tool.require("machine", "add", "m", "--disk", tool.image("a.img", size: 1 << 20))
    /// Runs the command on a terminal of its own, typing a line (script(1)).
    func onTerminal(_ command: String, typing line: String = "") throws -> Program.Result {
      try Program(
        "bash",
        [
          "-c",
          "printf '%s\\n' '\(line)' | script -qec \"'\(Product.tidemark)' \(command)\" /dev/null",
        ],
        environment: tool.variables
      ).wait(seconds: 60)
    }
    let cycle = try onTerminal("replicate m")
    #expect(cycle.succeeded && cycle.output.contains("\r\u{1B}[Kdisk 0: 100 %"), "\(cycle.report)")
    let refused = try onTerminal("machine remove m", typing: "n")
    #expect(refused.status == 14 && refused.output.contains("1 recovery point"))
    #expect(try tool.points(of: "m").count == 1)
    #expect(try onTerminal("machine remove m", typing: "m").succeeded)
    #expect(try tool.run("machine", "show", "m").status == 13)
  }
}
