import FileIO
import Foundation
import Support
import Testing

/// Goal: what is powered on comes back with its host, what an operator stopped does not, and what a machine keeps
/// of itself outlives both. Method: a small guest on disks that are really served, and everything killed that an
/// end of the host would end, with the directories that do not outlive it.
@Suite(
  .serialized, .timeLimit(.minutes(15)),
  .enabled(if: Available.root && Available.fuse && Available.programs("qemu-system-x86_64")))
struct PoweredMachineTests {
  private static let name = FailedOverMachine.name

  private func isOn(_ machine: FailedOverMachine, _ option: String...) -> Bool {
    Program.poll(seconds: 120) {
      let shown = try? machine.tool.json(["machine", "connect", Self.name] + option)
      return shown?["power"] as? String == "on"
    }
  }

  /// The directory of the run of its machine, and of what is kept of it.
  private func places(_ machine: FailedOverMachine) throws -> RecoveredMachine {
    RecoveredMachine(disks: FileSystem.parent(of: machine.disk), vault: machine.tool.vault)
  }

  /// Ends all that ends with the host, and removes what it forgets.
  private func endHost(_ machine: FailedOverMachine) throws {
    machine.killService()
    let run = try places(machine).directory
    killAll(with: run + "/qemu.pid")
    machine.killServers()
    try Program.require("rm", "-rf", machine.tool.file("run"))
  }

  @Test(
    "a failed-over machine that ran is started again behind the end of its host, a stopped one is not"
  )
  func failover() throws {
    let machine = try FailedOverMachine("powered", guest: true)
    let (tool, name) = (machine.tool, Self.name)
    try tool.require("machine", "start", name, "--boot")
    #expect(isOn(machine))
    let place = try places(machine)
    #expect(Program.poll(seconds: 60) { place.console.contains(SmallGuest.greeting) })
    #expect(try machine.write("kept", at: 5 << 20))
    let firmware = place.kept + "/uefi-variables.fd"
    try File(firmware, .creating(permissions: 0o600)).write([1, 2, 3], at: 0)

    try endHost(machine)
    try machine.startService()
    #expect(isOn(machine))
    func greetings() -> Int { place.console.matches(of: /guest login:/).count }
    #expect(Program.poll(seconds: 60) { greetings() == 2 }, "\(place.console)")
    #expect(try FileSystem.system.readFile(firmware, limit: 9) == [1, 2, 3])
    let events = try tool.require("events")
    #expect(events.contains("It is started again. It ran when this host went down."), "\(events)")
    try Program.require(
      "sh", "-c", "dd if=\(machine.disk) bs=1 skip=$((5 << 20)) count=4 | grep -q kept")

    try tool.require("machine", "stop", name)
    try endHost(machine)
    try machine.startService()
    #expect(try tool.json("machine", "connect", name)["power"] as? String == "off")
    #expect(try tool.require("events").matches(of: /It is started again/).count == 1)
    #expect(greetings() == 2)
    try tool.require("machine", "start", name)
    #expect(isOn(machine))

    try tool.require("failover", "commit", name, "--yes")
    try tool.require("machine", "disable", name, "--yes")
    try tool.require("failover", "discard", name, "--yes")
    #expect(!FileSystem.system.exists(place.kept) && !FileSystem.system.exists(place.directory))
  }

  @Test(
    "the end of QEMU alone is made good by the next start of the service, and its guest's is not")
  func process() throws {
    let machine = try FailedOverMachine("powered", guest: true)
    try machine.tool.require("machine", "start", Self.name, "--boot")
    let place = try places(machine)
    #expect(Program.poll(seconds: 60) { place.console.contains(SmallGuest.greeting) })
    machine.stopService()
    killAll(with: place.directory + "/qemu.pid")
    try machine.startService()
    #expect(isOn(machine))
    machine.stopService()
    // The power button: the guest powers itself down.
    let deadline = ContinuousClock.now + .seconds(60)
    var stream = try ByteStream(connectingTo: place.directory + "/monitor", until: deadline)
    for command in ["qmp_capabilities", "system_powerdown"] {
      try stream.send(Array((#"{"execute":"\#(command)"}"# + "\n").utf8), until: deadline)
    }
    while try stream.line(limit: 65536, until: deadline) != nil {}
    try machine.startService()
    #expect(try machine.tool.json("machine", "connect", Self.name)["power"] as? String == "off")
    #expect(try machine.tool.require("events").matches(of: /It is started again/).count == 1)
  }
}
