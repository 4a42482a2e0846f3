internal import FileIO

/// A guest that fits into a boot sector: it greets on its serial port, and powers itself down when the power
/// button is pressed.
public enum SmallGuest {
  /// What it writes to its serial port.
  public static let greeting = "guest login:"

  /// Code for real mode, loaded at 0x7C00; the ports of power management are where SeaBIOS puts them on a PC of
  /// QEMU's (0x600: status, enable at 2, control at 4; ACPI 6.4, 4.8.3).
  private static let code: [UInt8] = [
    0xFC, 0x31, 0xC0, 0x8E, 0xD8,  // cld; ds = 0
    0xBE, 0x2A, 0x7C,  // si = the greeting
    0xAC, 0x84, 0xC0, 0x74, 0x06,  // next: al = [si++]; if it is 0, go to done
    0xBA, 0xF8, 0x03, 0xEE, 0xEB, 0xF5,  // out COM1, al; go to next
    0xBA, 0x02, 0x06, 0xB8, 0x00, 0x01, 0xEF,  // done: enable the power button
    0xBA, 0x00, 0x06, 0xFB, 0xF4,  // wait: sti; hlt, until the timer ticks
    0xED, 0xF6, 0xC4, 0x01, 0x74, 0xF5,  // if it was not pressed, go to wait
    0xBA, 0x04, 0x06, 0xEB, 0x0F,  // go to end, behind the greeting
  ]

  /// Powers the machine down.
  private static let end: [UInt8] = [0xB8, 0x00, 0x20, 0xEF, 0xFA, 0xF4, 0xEB, 0xFC]

  /// Writes it to a disk, which is made if there is none, and then has 1 MiB.
  public static func write(to path: String) throws {
    var sector = code + Array((greeting + "\r\n").utf8) + [0] + end
    sector += [UInt8](repeating: 0, count: 510 - sector.count) + [0x55, 0xAA]
    if !FileSystem.system.exists(path) {
      try File(path, .creating(permissions: 0o600)).truncate(to: 1 << 20)
    }
    try File(path, .writing).write(sector, at: 0)
  }
}
