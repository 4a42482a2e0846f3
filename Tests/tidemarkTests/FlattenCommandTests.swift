import Foundation
import Support
import Testing

/// Goal: disks that are copied to plain files by command are what their users see, in every export. Method: the
/// real commands, a real service and real disk servers.
@Suite(.serialized, .timeLimit(.minutes(15)), .enabled(if: Available.root && Available.fuse))
struct FlattenCommandTests {
  private static let name = FailedOverMachine.name

  private func recovery(_ machine: FailedOverMachine) throws -> [String: Any] {
    let shown = try machine.tool.json("machine", "show", Self.name)
    return try #require(shown["recovery"] as? [String: Any], "\(shown)")
  }

  private func allowed(_ machine: FailedOverMachine) throws -> [String] {
    let operations = try recovery(machine)["allowedOperations"] as? [[String: Any]]
    return (operations ?? []).compactMap { $0["name"] as? String }
  }

  @Test("disks are flattened by command, exported as they are used, and no flatten is offered then")
  func flatten() throws {
    let machine = try FailedOverMachine("flatten-command")
    let tool = machine.tool
    #expect(try machine.write("written before", at: 5 << 20))
    #expect(try allowed(machine).contains("flatten"))
    #expect(
      try tool.require("machine", "show", Self.name).contains("tidemark failover flatten"))
    try tool.require("failover", "flatten", Self.name, "--follow")
    #expect(try recovery(machine)["isFlat"] as? Bool == true)
    #expect(try !allowed(machine).contains("flatten") && allowed(machine).contains("commit"))
    let shown = try tool.require("machine", "show", Self.name)
    #expect(shown.contains("plain files") && !shown.contains("failover flatten"), "\(shown)")
    let again = try tool.run("failover", "flatten", Self.name)
    #expect(again.status == 14 && again.errors.contains("plain files already"), "\(again.report)")
    let none = try tool.run("failover", "flatten", Self.name, "--cancel")
    #expect(none.status == 14 && none.errors.contains("not being copied"), "\(none.report)")

    #expect(try machine.write("written behind", at: 6 << 20))
    for format in ["raw", "vhd"] {
      let export = try machine.export("a." + format, "--format", format, "--verify")
      #expect(export.succeeded, "\(export.report)")
    }
    #expect(try machine.equals("a.raw"))
    let user = try Program("sh", ["-c", "exec 3<>\(machine.disk); exec sleep 100"])
    #expect(try Program.poll(seconds: 60) { try machine.power()["openCount"] as? Int == 1 })
    let refused = try machine.export("b.raw", "--format", "raw")
    #expect(refused.status == 14 && refused.errors.contains("--live"), "\(refused.report)")
    #expect(refused.errors.contains("can clone"), "\(refused.report)")
    let live = try machine.export("b.raw", "--format", "raw", "--live")
    // The vault's file system can share bytes of files, or says that it can't.
    if live.succeeded {
      #expect(try machine.equals("b.raw"))
    } else {
      #expect(live.status == 14 && live.errors.contains("this file system"), "\(live.report)")
    }
    user.killGroup()
    _ = user.wait(seconds: 10)

    // A terminal is asked for the name; elsewhere only --yes counts.
    let unasked = try tool.run("failover", "commit", Self.name)
    #expect(unasked.status == 14 && unasked.errors.contains("--yes"), "\(unasked.report)")
    let wrong = try typing("web02", "failover commit web01", tool)
    #expect(wrong.status == 14 && wrong.output.contains("was not typed"), "\(wrong.report)")
    #expect(try !tool.points(of: Self.name).isEmpty)
    let typed = try typing(Self.name, "failover commit web01", tool)
    #expect(typed.succeeded, "\(typed.report)")
    #expect(try tool.points(of: Self.name).isEmpty)
    machine.stopService()
    machine.killServers()
    #expect(try machine.export("c.vhd", "--format", "vhd").succeeded, "without any server")
    #expect(try digest(of: tool.file("c.vhd")) == digest(of: tool.file("a.vhd")))
  }

  /// Runs a command on a terminal of its own, typing a line (script(1)).
  private func typing(_ line: String, _ command: String, _ tool: Tool) throws -> Program.Result {
    try Program(
      "bash",
      [
        "-c",
        "printf '%s\\n' '\(line)' | script -qec \"'\(Product.tidemark)' \(command)\" /dev/null",
      ],
      environment: tool.variables
    ).wait(seconds: 120)
  }

  @Test("a copy that runs is given up by command, or has just ended")
  func cancel() throws {
    let machine = try FailedOverMachine("flatten-cancel")
    let tool = machine.tool
    try tool.require("failover", "flatten", Self.name)
    let cancel = try tool.run("failover", "flatten", Self.name, "--cancel")
    #expect(cancel.succeeded || cancel.errors.contains("not being copied"), "\(cancel.report)")
    let isOver = try Program.poll(seconds: 120) { try recovery(machine)["running"] == nil }
    #expect(isOver)
    if try recovery(machine)["isFlat"] as? Bool != true {
      try tool.require("failover", "flatten", Self.name, "--follow")
    }
    #expect(try recovery(machine)["isFlat"] as? Bool == true)
    #expect(try machine.write("still", at: 0))
  }

  @Test("of several flattened disks each is exported by its number, and none while they are in use")
  func several() throws {
    let machine = try FailedOverMachine("flatten-several", hasData: true)
    let tool = machine.tool
    try tool.require("failover", "flatten", Self.name, "--follow")
    let second = machine.disk.replacing("disk0.raw", with: "disk1.raw")
    try Program.require(
      "dd", "if=/dev/urandom", "of=" + second, "bs=64k", "count=8", "seek=3", "conv=notrunc,fsync")
    let unnamed = try machine.export("x.raw", "--format", "raw")
    #expect(
      unnamed.status == 14 && unnamed.errors.contains("choose with --disk"), "\(unnamed.report)")
    for (number, path) in [machine.disk, second].enumerated() {
      let file = "disk\(number).raw"
      let export = try machine.export(file, "--format", "raw", "--disk", String(number))
      #expect(export.succeeded, "\(export.report)")
      #expect(try Program.run("cmp", path, tool.file(file)).succeeded)
    }
    let user = try Program("sh", ["-c", "exec 3<>\(second); exec sleep 100"])
    #expect(try Program.poll(seconds: 60) { try machine.power()["openCount"] as? Int == 1 })
    let refused = try machine.export("y.raw", "--format", "raw", "--disk", "0")
    #expect(refused.status == 14 && !refused.errors.contains("--live"), "\(refused.report)")
    let live = try machine.export("y.raw", "--format", "raw", "--disk", "0", "--live")
    #expect(live.status == 14 && live.errors.contains("at one moment"), "\(live.report)")
    user.killGroup()
    _ = user.wait(seconds: 10)
  }
}
