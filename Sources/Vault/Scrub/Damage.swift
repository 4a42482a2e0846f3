public import Bytes

/// Something on disk that is not what was written, and what that hurts.
public struct Damage: Hashable, Sendable {
  /// The file, as it is called in the directory of the machine, or of the branch.
  public let file: String
  /// The first byte of it that is in doubt.
  public let offset: UInt64
  /// What is wrong, as a sentence without its full stop.
  public let what: String
  /// The disk it hurts; nil if no content is hurt, or every disk may be.
  public let disk: DiskNumber?
  /// The bytes of that disk that can't be read; nil if no content is hurt, or any may be.
  public let range: Range<UInt64>?
  /// The ids of the recovery points that are hurt, the oldest first.
  public let points: [String]
  /// The branches that are hurt: reads of their disks, as they are now, fail. Every other read answers as it
  /// should.
  public let branches: [Identifier]

  /// Whether a read of some point, or of a branch, fails because of it.
  package var hurtsReads: Bool { !points.isEmpty || !branches.isEmpty }

  init(
    file: String, offset: UInt64, what: String, disk: DiskNumber? = nil,
    range: Range<UInt64>? = nil, hurts hurt: Hurt = Hurt()
  ) {
    (self.file, self.offset, self.what) = (file, offset, what)
    (self.disk, self.range) = (disk, range)
    (points, branches) = (hurt.points, hurt.branches)
  }
}

/// What checking a machine, or a branch, found.
public struct CheckReport: Sendable {
  /// The machine's name, or the branch's.
  public let name: String
  /// Bytes that were read and checked.
  public internal(set) var bytes: UInt64 = 0
  /// Records that were checked.
  public internal(set) var records: UInt64 = 0
  /// Index pages that were checked.
  public internal(set) var indexPages: UInt64 = 0
  /// Recovery points that were there; none of a branch.
  public let points: Int
  /// Everything that is not as it was written.
  public internal(set) var damages: [Damage] = []
  /// The first damage because of which the newest recovery point can't be read in full; nil if it can. What
  /// only hurts older points is not mended by any that comes after.
  public internal(set) var newestDamage: Damage?

  /// Whether nothing at all was found.
  public var isIntact: Bool { damages.isEmpty }
}
