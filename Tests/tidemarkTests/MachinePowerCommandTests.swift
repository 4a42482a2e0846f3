import FileIO
import Foundation
import Support
import Testing

/// A guest of 512 bytes: it says that it runs, sends back what comes at its serial port, and powers itself down
/// when its power button is pressed.
enum EchoGuest {
  /// What it says first.
  static let words = "sector runs"

  /// 16-bit code for address 0x7C00 of a PC with the ACPI registers of PIIX4 at 0x600 and a 16550 at 0x3F8.
  private static let code: [UInt8] = [
    0xFA, 0x31, 0xC0, 0x8E, 0xD8,  // cli; xor ax, ax; mov ds, ax
    0xBE, 0x4C, 0x7C,  // mov si, words
    0xBA, 0x02, 0x06, 0xB8, 0x00, 0x01, 0xEF,  // out 0x602, 0x100: the button is to be seen
    0xAC, 0x84, 0xC0, 0x74, 0x05,  // say: lodsb; test al, al; jz look
    0xE8, 0x26, 0x00, 0xEB, 0xF6,  // call put; jmp say
    0xBA, 0x00, 0x06, 0xED, 0xF6, 0xC4, 0x01, 0x75, 0x11,  // look: in 0x600; test ah, 1; jnz off
    0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xEF,  // in 0x3FD; test al, 1; jz look
    0xBA, 0xF8, 0x03, 0xEC, 0xE8, 0x0C, 0x00, 0xEB, 0xE6,  // in 0x3F8; call put; jmp look
    0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF,  // off: out 0x604, 0x2000: to sleep in S5
    0xF4, 0xEB, 0xF6,  // hlt; jmp off
    0x50, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20, 0x74, 0xF8,  // put: until 0x3FD has 0x20
    0x58, 0xBA, 0xF8, 0x03, 0xEE, 0xC3,  // out 0x3F8, al; ret
  ]

  /// Its boot sector.
  static var sector: [UInt8] {
    let text = code + Array("\(words)\r\n\0".utf8)
    return text + [UInt8](repeating: 0, count: 510 - text.count) + [0x55, 0xAA]
  }
}

/// Goal: a machine is started, reached and stopped by the commands, and its disks are still once it is stopped.
/// Method: a real service, disk server and QEMU; its guest is a boot sector.
@Suite(
  .serialized, .timeLimit(.minutes(15)),
  .enabled(if: Available.root && Available.fuse && Available.programs("qemu-system-x86_64")))
struct MachinePowerCommandTests {
  private static let name = FailedOverMachine.name

  private static func power(_ machine: FailedOverMachine) throws -> String? {
    try machine.power()["power"] as? String
  }

  /// Waits until the guest has said that it runs, so many times.
  private static func wait(for count: Int, _ machine: FailedOverMachine) throws {
    var log = ""
    let isUp = try Program.poll(seconds: 120) {
      log = try machine.tool.require("machine", "connect", name, "--log")
      return log.ranges(of: EchoGuest.words).count >= count
    }
    try #require(isUp, "\(log)")
  }

  /// Runs `connect` with what a shell command writes as its input.
  private static func connect(
    _ machine: FailedOverMachine, _ shell: String
  ) throws -> Program.Result {
    try Program(
      "sh",
      ["-c", shell.replacing("CONNECT", with: "'\(Product.tidemark)' machine connect \(name)")],
      environment: machine.tool.variables
    ).wait(seconds: 120)
  }

  /// On a terminal every key goes to the machine, which alone echoes it, but for the one that ends it.
  private static func expectTerminal(_ machine: FailedOverMachine) throws {
    let (keys, screen) = (machine.tool.file("keys"), machine.tool.file("screen"))
    try Program.require("mkfifo", keys)
    let terminal = try Program(
      "sh",
      [
        "-c",
        "exec script -qefc \"'\(Product.tidemark)' machine connect \(name)\" \(screen) <\(keys)",
      ],
      environment: machine.tool.variables)
    let typing = try #require(FileHandle(forWritingAtPath: keys))
    func shows(_ text: String) -> Bool {
      Program.poll(seconds: 60) {
        let bytes = try? FileSystem.system.readFile(screen, limit: 1 << 16)
        return String(decoding: bytes ?? [], as: UTF8.self).contains(text)
      }
    }
    #expect(shows("Connected to the console"))
    try typing.write(contentsOf: Data("on a terminal".utf8))
    #expect(shows("on a terminal"))
    try typing.write(contentsOf: Data([0x1D]))
    let end = terminal.wait(seconds: 60)
    #expect(end.succeeded, "\(end.report)")
  }

  /// The port that was chosen for the network leads to the machine while it runs.
  private static func expectPorts(_ machine: FailedOverMachine) throws {
    let ports = try #require(try machine.power()["ports"] as? [[String: Any]])
    #expect(ports.map { $0["guest"] as? Int } == [7777], "\(ports)")
    let port = try #require(ports.first?["host"] as? Int)
    let told = try machine.tool.require("machine", "connect", name, "--ports")
    #expect(told.contains("127.0.0.1:\(port) leads to port 7777 of adapter 0"), "\(told)")
    try Program.require("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(port)")
  }

  @Test("a machine is run on failed-over disks, typed to, stopped and started again")
  func life() throws {
    let machine = try FailedOverMachine("power-commands", bootSector: EchoGuest.sector)
    let tool = machine.tool
    try tool.require("network", "create", "inside", "--isolated", "--forward", "7777")
    try tool.require("machine", "set", Self.name, "--network", "inside")
    try tool.require("machine", "start", Self.name, "--boot")
    #expect(try Self.power(machine) == "on")
    try Self.wait(for: 1, machine)
    let refused = try machine.export("a.raw", "--format", "raw")
    #expect(
      refused.status == 14 && refused.errors.contains("its machine runs"), "\(refused.report)")

    let typed = try Self.connect(machine, "printf 'is it there' | CONNECT")
    #expect(typed.succeeded && typed.output.contains("is it there"), "\(typed.report)")
    try Self.expectTerminal(machine)
    try Self.expectPorts(machine)

    let job = try tool.json("machine", "stop", Self.name, "--timeout", "60s")
    #expect(job["state"] as? String == "Succeeded" && job["stop"] as? String == "clean", "\(job)")
    #expect(try Self.power(machine) == "off")
    #expect(try !machine.write("no", at: 0), "its disks are still")
    let copy = try machine.export("a.raw", "--format", "raw")
    #expect(copy.succeeded && !copy.errors.contains("loss of power"), "\(copy.report)")
    #expect(try machine.equals("a.raw"))
    let gone = try tool.run("machine", "connect", Self.name)
    #expect(gone.status == 14 && gone.errors.contains("tidemark machine start"), "\(gone.report)")

    try tool.require("machine", "start", Self.name)
    try Self.wait(for: 2, machine)
  }

  @Test(
    "a machine whose disks somebody else has open is off, and its stop says who until they are closed"
  )
  func users() throws {
    let machine = try FailedOverMachine("power-users", bootSector: EchoGuest.sector)
    let tool = machine.tool
    try tool.require("machine", "start", Self.name, "--boot")
    try Self.wait(for: 1, machine)
    let process = try #require(try machine.power()["process"] as? Int)
    let user = try Program("sh", ["-c", "exec 3<\(machine.disk); exec sleep 100"])
    #expect(try Program.poll(seconds: 10) { try (machine.power()["openCount"] as? Int ?? 0) > 1 })
    try Program.require("kill", "-9", "\(process)")
    #expect(try Program.poll(seconds: 30) { try Self.power(machine) == "died" })
    let stop = try tool.run("machine", "stop", Self.name, "--timeout", "1s")
    #expect(stop.status == 11, "\(stop.report)")
    for words in ["without powering itself down", "disk0.raw"] {
      #expect(stop.errors.contains(words), "\(stop.report)")
    }
    user.killGroup()
    _ = user.wait(seconds: 10)
    try tool.require("machine", "stop", Self.name, "--timeout", "30s")
    #expect(try !machine.write("no", at: 0))
  }
}
