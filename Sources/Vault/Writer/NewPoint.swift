public import Bytes

/// A recovery point to be made.
public struct NewPoint: Hashable, Sendable {
  /// Crash-consistent or app-consistent.
  public var kind: PointKind
  /// Whether the disks are of one moment.
  public var consistency: PointConsistency
  /// False if it could not be told whether the source changed while it was read.
  public var sourceWatched: Bool
  /// The operator's name for it.
  public var label: String?
  /// The capture cycle that makes it.
  public var cycle: UInt64
  /// The disks and their sizes.
  public var disks: [PointDisk]
  /// When the disks were as the point shows them; moved forward if the log is already later.
  public var time: Timestamp

  /// A point of these properties.
  public init(
    kind: PointKind = .crash, consistency: PointConsistency = .machine,
    sourceWatched: Bool = true, label: String? = nil, cycle: UInt64 = 0, disks: [PointDisk],
    time: Timestamp
  ) {
    (self.kind, self.consistency, self.sourceWatched) = (kind, consistency, sourceWatched)
    (self.label, self.cycle, self.disks, self.time) = (label, cycle, disks, time)
  }

  /// The point this becomes as the newest of `points`.
  func point(
    sequence: SequenceNumber, time: Timestamp, among points: [RecoveryPoint]
  ) -> RecoveryPoint {
    let earlier = points.last { $0.kind == kind }
    let ordinal: UInt16 =
      if let earlier, earlier.time.seconds == time.seconds { earlier.ordinal &+ 1 } else { 0 }
    return RecoveryPoint(self, sequence: sequence, time: time, ordinal: ordinal)
  }
}
