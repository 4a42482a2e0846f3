public import Bytes

/// Something on disk that is not what was written, and what that hurts.
public struct Damage: Hashable, Sendable {
  /// The file, as it is called in the machine's directory.
  public let file: String
  /// The first byte of it that is in doubt.
  public let offset: UInt64
  /// What is wrong, as a sentence without its full stop.
  public let what: String
  /// The disk it hurts; nil if no content is hurt, or every disk may be.
  public let disk: DiskNumber?
  /// The bytes of that disk that can't be read; nil if no content is hurt, or any may be.
  public let range: Range<UInt64>?
  /// The ids of the recovery points that are hurt, the oldest first. Empty if every read still answers
  /// as it should.
  public let points: [String]

  /// Whether a read of some point fails because of it.
  package var hurtsReads: Bool { !points.isEmpty }

  init(
    file: String, offset: UInt64, what: String, disk: DiskNumber? = nil,
    range: Range<UInt64>? = nil, points: [String] = []
  ) {
    (self.file, self.offset, self.what) = (file, offset, what)
    (self.disk, self.range, self.points) = (disk, range, points)
  }
}

/// What checking a machine found.
public struct CheckReport: Sendable {
  /// The machine's name.
  public let machine: String
  /// Bytes that were read and checked.
  public internal(set) var bytes: UInt64 = 0
  /// Records that were checked.
  public internal(set) var records: UInt64 = 0
  /// Index pages that were checked.
  public internal(set) var indexPages: UInt64 = 0
  /// Recovery points that were there.
  public let points: Int
  /// Everything that is not as it was written.
  public internal(set) var damages: [Damage] = []
  /// The first damage because of which the newest recovery point can't be read in full; nil if it can. What
  /// only hurts older points is not mended by any that comes after.
  public internal(set) var newestDamage: Damage?

  /// Whether nothing at all was found.
  public var isIntact: Bool { damages.isEmpty }
}
