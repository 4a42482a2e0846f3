public import Bytes

/// A machine as it was when a reader looked: it does not change, and what it shows stays readable as
/// long as it, or a disk opened from it, is held.
public final class MachineSnapshot: Sendable {
  /// The machine's identifier.
  public let machine: Identifier
  /// The machine as the operator described it.
  public let configuration: MachineConfiguration
  /// The recovery points, the oldest first.
  public let points: [RecoveryPoint]
  /// The newest time the source vouches for; nil before the first point.
  public let windowEnd: Timestamp?
  /// The transaction of the MANIFEST this is a picture of.
  public let generation: UInt64
  /// The newest number that was acknowledged.
  public let lastSequence: SequenceNumber
  /// What branches stand on, the oldest first.
  public let pins: [BranchPin]
  /// Set if the log ends before what had been stored: newer points are lost, and no writer goes on with it
  /// until it was made anew.
  public let shortfall: VaultError?
  /// The epoch: raised by each failover. Nothing of an older one may be added to the log.
  public let epoch: UInt32
  /// The newest record's time.
  let lastTime: Timestamp
  /// What the open segment says of the newest record with content.
  let hint: RecordHint
  /// The segments before it, the oldest first.
  let sealed: [ManifestEntry.SealedSegment]
  private let runs: [Run]
  let branchings: [Branching]
  // Not the machine itself: it keeps its newest snapshot, and the two would keep each other.
  private let identity: LogIdentity
  private let files: LogFiles
  private let lease: ReaderLease

  init(
    machine: Machine, manifest: ManifestState, replay: SegmentReplay?, runs: [FileRun],
    lease: ReaderLease
  ) {
    (identity, files) = (machine.identity, machine.files)
    self.lease = lease
    self.machine = machine.id
    configuration = manifest.configuration
    shortfall = replay?.lost.flatMap { lost in
      manifest.openSegment.map { open in
        LogPlace.cutShort(machine.files.path(LogFileName(.segment, open.number)), lost)
      }
    }
    generation = manifest.generation
    (branchings, pins, epoch) = (manifest.branchings, manifest.pins, manifest.epoch)
    var points = manifest.points
    if let replay {
      points += replay.points.filter {
        $0.sequence > manifest.newestPoint && !manifest.isRemoved($0)
      }
    }
    for index in points.indices {
      points[index].locked = manifest.lockedPoints.contains(points[index].sequence)
    }
    self.points = points
    windowEnd = points.last?.time
    sealed = manifest.segments.compactMap(\.sealed)
    lastSequence = max(sealed.last?.lastSequence ?? .zero, replay?.lastSequence ?? .zero)
    lastTime = max(
      sealed.last?.lastTime ?? Timestamp(rawValue: 0), replay?.lastTime ?? Timestamp(rawValue: 0))
    hint = replay?.hint ?? RecordHint()
    var newestFirst: [Run] = runs.reversed().map(Run.file)
    if let replay, !replay.entries.isEmpty {
      newestFirst.insert(.memory(MemoryRun(replay.entries)), at: 0)
    }
    self.runs = newestFirst
  }

  /// A disk as it was at a point.
  ///
  /// Takes no time worth mentioning, whatever the number of points.
  /// - Throws: `.unknownDisk` if the point does not hold the disk.
  public func disk(
    _ number: DiskNumber, at point: RecoveryPoint
  ) throws(VaultError) -> DiskReader {
    guard let size = point.size(of: number) else {
      throw VaultError(
        .unknownDisk,
        "Recovery point '\(point.id)' of '\(configuration.name)' has no disk "
          + "\(number); it has \(point.disks.map { String($0.number) }.joined(separator: ", ")).")
    }
    return DiskReader(number: number, size: size, layers: [layer(at: point.sequence)])
  }

  /// The log as a reader of a cut sees it.
  func layer(at cut: SequenceNumber) -> ReadLayer {
    // Whoever only looked reads from here on.
    let lease =
      self.lease.isGlance
      ? ReaderLease(
        directory: files.directory, generation: self.lease.generation, on: files.system)
      : self.lease
    return ReadLayer(
      runs: runs, timeline: Timeline(cut: cut, branchings: branchings), identity: identity,
      files: files, lease: lease)
  }
}
