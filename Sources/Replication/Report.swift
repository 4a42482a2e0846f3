public import Bytes

/// How the agent is doing: where its time goes, and what it has to complain about.
public struct Report: Message, Hashable {
  /// What the agent is about.
  public enum Activity: UInt8, Sendable, CaseIterable {
    /// It waits for the next cycle.
    case waiting = 0
    /// It copies everything for the first time.
    case copying = 1
    /// It sends what changed.
    case cycling = 2
    /// It compares with the replica.
    case resynchronising = 3
  }

  /// What the cycle has found of one disk.
  public struct Disk: Hashable, Sendable {
    /// Which disk.
    public var number: DiskNumber
    /// Bytes looked at in this cycle.
    public var examined: UInt64
    /// Bytes of pages found changed in this cycle.
    public var changed: UInt64

    /// What was found of a disk.
    public init(number: DiskNumber, examined: UInt64, changed: UInt64) {
      (self.number, self.examined, self.changed) = (number, examined, changed)
    }
  }

  /// Travels in a frame of this type.
  public static let type = MessageType.report
  private static let diskLimit = 64

  /// What it is doing.
  public var activity: Activity
  /// Bytes of the disks looked at in this cycle.
  public var examined: UInt64
  /// Bytes to look at in this cycle.
  public var total: UInt64
  /// Bytes of pages found changed in this cycle.
  public var changed: UInt64
  /// Nanoseconds of this cycle spent waiting for the disks.
  public var reading: UInt64
  /// Nanoseconds of this cycle spent compressing.
  public var compressing: UInt64
  /// Nanoseconds of this cycle spent waiting for the link or the vault.
  public var sending: UInt64
  /// Why the newest cycle made no recovery point; empty if it made one.
  public var failure: String
  /// What this cycle has found, disk by disk; disks it has not come to yet are left out.
  public var disks: [Disk]
  /// Why the newest point that was to be app-consistent is not, or writers were not held; empty if all is well.
  public var applicationFailure: String
  /// Bytes of the replica's digests that were asked for in this cycle.
  public var digests: UInt64 = 0

  /// Puts the message together.
  public init(
    activity: Activity, examined: UInt64 = 0, total: UInt64 = 0, changed: UInt64 = 0,
    reading: UInt64 = 0, compressing: UInt64 = 0, sending: UInt64 = 0, failure: String = "",
    disks: [Disk] = [], applicationFailure: String = ""
  ) {
    (self.activity, self.examined, self.total) = (activity, examined, total)
    (self.changed, self.reading, self.compressing) = (changed, reading, compressing)
    (self.sending, self.failure, self.disks) = (sending, failure, disks)
    self.applicationFailure = applicationFailure
  }

  /// Reads the payload.
  public init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    guard let activity = Activity(rawValue: try reader.integer()) else {
      throw ByteReader.ShortInput()
    }
    self.activity = activity
    (examined, total, changed) = (
      try reader.integer(), try reader.integer(), try reader.integer()
    )
    (reading, compressing, sending) = (
      try reader.integer(), try reader.integer(), try reader.integer()
    )
    failure = try reader.shortText()
    disks = try reader.list(limit: Self.diskLimit) { reader throws(ByteReader.ShortInput) in
      Disk(
        number: try reader.integer(), examined: try reader.integer(),
        changed: try reader.integer())
    }
    applicationFailure = try reader.shortText()
    digests = try reader.integer()
  }

  /// Writes the payload.
  public func encode(into writer: inout ByteWriter) {
    writer.integer(activity.rawValue)
    for value in [examined, total, changed, reading, compressing, sending] { writer.integer(value) }
    writer.text(failure)
    writer.list(disks) { writer, disk in
      writer.integer(disk.number)
      writer.integer(disk.examined)
      writer.integer(disk.changed)
    }
    writer.text(applicationFailure)
    writer.integer(digests)
  }
}
