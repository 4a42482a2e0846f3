internal import Bytes

/// What the name of a clone tells: whose disk it is, and which cycle made it after which.
///
/// The number a cycle carries is random, and its recovery point's mark carries it too. So the clone
/// whose `cycle` is that of the newest mark shows the disk as at the newest recovery point, and one
/// whose `after` is that of the newest mark belongs to a cycle that was interrupted since. Any other
/// is of no use.
struct CloneName: Hashable, Sendable {
  var machine: Identifier
  var disk: DiskNumber
  /// The cycle that made it; never 0.
  var cycle: UInt64
  /// The cycle of the newest mark when it was made; 0 if there was no mark.
  var after: UInt64

  init(machine: Identifier, disk: DiskNumber, cycle: UInt64, after: UInt64) {
    (self.machine, self.disk, self.cycle, self.after) = (machine, disk, cycle, after)
  }

  /// Reads a file's name; nil if it is not exactly one that `fileName` gives.
  init?(fileName: String) {
    let parts = fileName.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[3] == "after", parts[1].hasPrefix("disk"),
      let machine = Identifier(String(parts[0])), let disk = DiskNumber(parts[1].dropFirst(4)),
      let cycle = UInt64(parts[2], radix: 16), let after = UInt64(parts[4], radix: 16)
    else { return nil }
    self.init(machine: machine, disk: disk, cycle: cycle, after: after)
    guard self.fileName == fileName else { return nil }
  }

  /// `<machine>_disk0_<cycle>_after_<cycle>`, the cycles as 16 hexadecimal digits.
  var fileName: String {
    "\(machine)_disk\(disk)_\(Self.hex(cycle))_after_\(Self.hex(after))"
  }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
