internal import Bytes

/// What the name of a clone tells: whose disk it is, which cycle made it after which, and how far the
/// machine's log had come.
///
/// The number a cycle carries is random, and its recovery point's mark carries it too. So the clone
/// whose `cycle` is that of the newest mark shows the disk as at the newest recovery point, and one
/// whose `after` is that of the newest mark belongs to a cycle that was interrupted since. What that
/// cycle stored has numbers above `number`: while the log has none, everything that waits there for a
/// mark is of another cycle, whose clones are gone. Any other clone is of no use.
struct CloneName: Hashable, Sendable {
  var machine: Identifier
  var disk: DiskNumber
  /// The cycle that made it; never 0.
  var cycle: UInt64
  /// The cycle of the newest mark when it was made; 0 if there was no mark.
  var after: UInt64
  /// The log's newest number when it was made.
  var number: SequenceNumber

  init(
    machine: Identifier, disk: DiskNumber, cycle: UInt64, after: UInt64, number: SequenceNumber
  ) {
    (self.machine, self.disk, self.cycle, self.after) = (machine, disk, cycle, after)
    self.number = number
  }

  /// Reads a file's name; nil if it is not exactly one that `fileName` gives.
  init?(fileName: String) {
    let parts = fileName.split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 7, parts[3] == "after", parts[5] == "at", parts[1].hasPrefix("disk"),
      let machine = Identifier(String(parts[0])), let disk = DiskNumber(parts[1].dropFirst(4)),
      let cycle = UInt64(parts[2], radix: 16), let after = UInt64(parts[4], radix: 16),
      let number = UInt64(parts[6], radix: 16)
    else { return nil }
    self.init(
      machine: machine, disk: disk, cycle: cycle, after: after,
      number: SequenceNumber(rawValue: number))
    guard self.fileName == fileName else { return nil }
  }

  /// `<machine>_disk0_<cycle>_after_<cycle>_at_<number>`, cycles and number as 16 hexadecimal digits.
  var fileName: String {
    Self.prefix(machine, disk) + "\(Self.hex(cycle))_after_\(Self.hex(after))"
      + "_at_\(Self.hex(number.rawValue))"
  }

  /// What the names of all clones of a disk begin with.
  static func prefix(_ machine: Identifier, _ disk: DiskNumber) -> String {
    "\(machine)_disk\(disk)_"
  }

  private static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
