import FileIO
import Foundation
import Support
import Testing

/// A guest of 512 bytes that fills its first disk with noise, over and over.
private enum NoisyGuest {
  /// Where in its sector the request lies that it hands to the BIOS, and the place on the disk in that.
  private static let (request, place) = (UInt8(0x48), UInt8(0x50))

  /// 16-bit code for address 0x7C00: 127 sectors of a linear congruence's numbers by "extended write" of
  /// interrupt 13h (EDD 3.0), then the same behind them; from sector 1 again once 8 MiB are full.
  private static let code: [UInt8] = [
    0xFC, 0x31, 0xC0, 0x8E, 0xD8,  // cld; ds = 0
    0x8E, 0xD0, 0xBC, 0x00, 0x7C,  // the stack ends where the code begins
    0xB8, 0x00, 0x10, 0x8E, 0xC0,  // again: es = 0x1000
    0x31, 0xFF, 0xB9, 0x00, 0x7F,  // di = 0; cx = 127 x 256 words
    0x69, 0xDB, 0x55, 0x62,  // next: bx = bx x 25173
    0x81, 0xC3, 0x19, 0x36,  // bx += 13849
    0x89, 0xD8, 0xAB, 0xE2, 0xF3,  // ax = bx; stosw; loop next
    0xB8, 0x00, 0x43, 0xB2, 0x80,  // ah = 0x43; the first disk
    0xBE, request, 0x7C, 0xCD, 0x13,  // si = the request; int 0x13
    0x83, 0x06, place, 0x7C, 0x7F,  // add 127 to the place
    0x81, 0x3E, place, 0x7C, 0x81, 0x3F, 0x72, 0xD2,  // if it is below 16257, go to again
    0xC7, 0x06, place, 0x7C, 0x01, 0x00, 0xEB, 0xCA,  // the place is 1; go to again
  ]

  /// 127 sectors from 0x1000:0 to sector 1.
  private static let packet: [UInt8] = [16, 0, 127, 0, 0, 0, 0x00, 0x10, 1, 0, 0, 0, 0, 0, 0, 0]

  /// Its boot sector.
  static var sector: [UInt8] {
    let text = code + [UInt8](repeating: 0x90, count: Int(request) - code.count) + packet
    return text + [UInt8](repeating: 0, count: 510 - text.count) + [0x55, 0xAA]
  }
}

/// Goal: a guest whose disks have no room left is halted and not hurt, health says so and why, and it goes on
/// where it was once there is room. Method: a boot sector that writes without end, in QEMU on served disks.
@Suite(
  .timeLimit(.minutes(15)),
  .enabled(if: Available.root && Available.fuse && Available.programs("qemu-system-x86_64")))
struct HaltedGuestTests {
  private static let name = FailedOverMachine.name

  @Test("a guest that has used up the budget is halted, and goes on once its disks are plain files")
  func budget() throws {
    let machine = try FailedOverMachine(
      "halted", bootSector: NoisyGuest.sector, options: ["--budget", "6M"])
    let (tool, name) = (machine.tool, Self.name)
    func power() throws -> String? { try machine.power()["power"] as? String }
    func errors() throws -> [String] {
      let shown = try tool.json("health")["errors"] as? [[String: Any]]
      return (shown ?? []).compactMap { $0["code"] as? String }
    }
    try tool.require("machine", "start", name, "--boot")
    #expect(try Program.poll(seconds: 120) { try power() == "paused" })
    #expect(
      try Program.poll(seconds: 60) {
        try Set(errors()).isSuperset(of: ["machine-halted", "disk-budget"])
      })
    try tool.require("failover", "flatten", name, "--follow")
    try tool.require("machine", "start", name)
    #expect(try power() == "on")
    #expect(
      try Program.poll(seconds: 60) {
        try Set(errors()).isDisjoint(with: ["machine-halted", "disk-budget"])
      })
    // It was halted before it came to these bytes, which were zeros.
    let wrote = Program.poll(seconds: 120) {
      guard let disk = try? File(machine.disk, .reading),
        let bytes = try? disk.read(at: 7 << 20, count: 4096)
      else { return false }
      return Set(bytes).count > 64
    }
    #expect(wrote)
    #expect(try power() == "on")
    try tool.require("machine", "stop", name, "--timeout", "1s", "--force")
  }
}
