import Bytes
import FileIO
import Support
import Vault

@testable import Agent

/// An agent's directory with hooks, and the real guard.
final class HookBench {
  let directory: TemporaryDirectory
  let agent: AgentDirectory
  var configuration: AgentConfiguration

  init(_ purpose: String = "hooks") throws {
    directory = try TemporaryDirectory(purpose, in: "/tmp")
    agent = AgentDirectory(at: directory.file("state"))
    try agent.make()
    configuration = AgentConfiguration(
      host: "127.0.0.1", controlPort: 8443, replicationPort: 9443, vault: .random(),
      vaultName: "site", machine: .random(), name: "web01",
      disks: [
        DiskConfiguration(
          number: 0, path: directory.file("disk0.img"), capture: .scan, format: .raw),
        DiskConfiguration(
          number: 1, path: directory.file("disk1.img"), capture: .scan, format: .raw),
      ])
  }

  var command: GuardedFreeze.Command { HookBench.command(agent) }

  static func command(_ agent: AgentDirectory) -> GuardedFreeze.Command {
    GuardedFreeze.Command(words: [Product.tidemark, "agent", "guard", "--state", agent.path])
  }

  func file(_ name: String) -> String { directory.file(name) }

  /// A machine's socket, and the hook for it.
  func machine(
    _ manner: FakeMachine.Manner = .good, isMonitor: Bool = false, everyCycle: Bool = false
  ) throws -> FakeMachine {
    let machine = try FakeMachine(
      file(isMonitor ? "qmp.sock" : "qga.sock"), isMonitor: isMonitor, manner)
    try configuration.set(
      Hook(isMonitor ? .monitor : .guestAgent, [machine.path], isEveryCycle: everyCycle))
    return machine
  }

  /// A script in pre.d or post.d, which appends its name and the phase to the file `log`.
  func script(_ name: String, _ phase: String, _ body: String = "") throws {
    let place = file("scripts/\(phase).d")
    for path in [file("scripts"), place] where !FileSystem.system.exists(path) {
      try FileSystem.system.makeDirectory(path)
      try FileSystem.system.setPermissions(path, directory: 0o755, file: 0o644)
    }
    let text = "#!/bin/sh\necho \"\(name) $TIDEMARK_PHASE\" >>'\(file("log"))'\n\(body)\n"
    try FileSystem.system.replaceFile(
      "\(place)/\(name)", with: Array(text.utf8), permissions: 0o755)
    try configuration.set(Hook(.scripts, [file("scripts")]))
  }

  /// What the scripts have logged.
  var log: [String] {
    let bytes = (try? FileSystem.system.readFile(file("log"), limit: 1 << 20)) ?? []
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  func hold(limit: Int = 20) -> HookHold {
    configuration.freezeLimit = limit
    return HookHold(
      HookPlan(configuration.hooks, of: configuration, in: agent), in: agent, by: command,
      tick: { true })
  }

  var note: FreezeNote { FreezeNote(directory: agent) }

  func freeze(limit: Int = 20) throws -> GuardedFreeze {
    configuration.freezeLimit = limit
    let plan = HookPlan(configuration.hooks, of: configuration, in: agent)
    return try GuardedFreeze(command, FreezeRequest(plan: plan, isThawOnly: false))
  }
}

extension GuardedFreeze {
  /// Waits until a condition holds, at most 10 seconds.
  func becomes(_ condition: (GuardedFreeze) -> Bool) -> Bool {
    let deadline = ContinuousClock.now + .seconds(10)
    while !condition(self) {
      guard !isOver, ContinuousClock.now < deadline else { return false }
      take(until: deadline)
    }
    return true
  }
}
