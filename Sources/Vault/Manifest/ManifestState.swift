internal import Bytes

/// What the MANIFEST says, all its entries applied in order.
struct ManifestState: Sendable {
  /// A segment of the log.
  struct Segment: Hashable, Sendable {
    var number: UInt32
    var headerLength: UInt32
    var firstSequence: SequenceNumber
    /// Nil while records are still added.
    var sealed: ManifestEntry.SealedSegment?
    /// What was durable when a writer last closed the log.
    var vouched: UInt64 = 0
  }

  var configuration = MachineConfiguration(name: "", operatingSystem: .linux, disks: [])
  /// By number.
  var segments: [Segment] = []
  /// By age, the oldest first.
  var runs: [RunSet] = []
  /// Of sealed segments only, the oldest first, without those that were removed.
  private(set) var points: [RecoveryPoint] = []
  /// The newest of all points of sealed segments, removed or not.
  private(set) var newestPoint: SequenceNumber = .zero
  /// Where points were removed, also of a segment that is not sealed.
  private(set) var removedPoints: [ClosedRange<SequenceNumber>] = []
  var branchings: [Branching] = []
  /// What branches stand on, the oldest first.
  private(set) var pins: [BranchPin] = []
  /// Set if this is the log of a branch.
  private(set) var branch: BranchDescription?
  /// Set if this is a branch that is plain files: the newest number of its log, which is no more.
  private(set) var flattened: SequenceNumber?
  /// Bytes of the MANIFEST that this one was made in the place of; 0 if it was not.
  private(set) var formerLength: UInt64 = 0
  var lockedPoints: Set<SequenceNumber> = []
  /// How many transactions were applied.
  var generation: UInt64 = 0
  /// Which generations named a run file that none names any more: only their readers may use it.
  private(set) var retired: [LogFileName: Range<UInt64>] = [:]
  private var added: [LogFileName: UInt64] = [:]
  /// The number the next file gets.
  var nextFile: UInt32 = 1

  /// The segment that records are added to; nil if there is none.
  var openSegment: Segment? { segments.last { $0.sealed == nil } }

  /// Applies one entry.
  ///
  /// - Returns: false if it contradicts what came before.
  mutating func apply(_ entry: ManifestEntry) -> Bool {
    switch entry {
    case .configuration(let configuration): self.configuration = configuration
    case .segmentOpened(let number, let headerLength, let first):
      // A branch has the next one ready before it is needed.
      guard openSegment == nil || branch != nil, number >= nextFile else { return false }
      segments.append(
        Segment(number: number, headerLength: headerLength, firstSequence: first))
      nextFile = number + 1
    case .segmentSealed(let sealed):
      guard let index = segments.lastIndex(where: { $0.number == sealed.number }),
        segments[index].sealed == nil,
        (UInt64(segments[index].headerLength)...1 << 32).contains(sealed.recordsEnd)
      else { return false }
      segments[index].sealed = sealed
    case .runAdded(let set): return add(set)
    case .runsRetired(let names):
      retire(Set(names))
    case .point(let point):
      guard newestPoint < point.sequence else { return false }
      newestPoint = point.sequence
      if !isRemoved(point) { points.append(point) }
    case .pointLocked(let sequence, let locked):
      if locked { lockedPoints.insert(sequence) } else { lockedPoints.remove(sequence) }
    case .branching(let branching): branchings.append(branching)
    case .pointsRemoved(let stretches):
      removedPoints += stretches
      points.removeAll(where: isRemoved)
    case .pinned(let pin):
      pins.removeAll { $0.branch == pin.branch }
      pins.append(pin)
    case .pinReleased(let branch): pins.removeAll { $0.branch == branch }
    case .branch(let branch): self.branch = branch
    case .rebuilt(let length): formerLength = length
    case .flattened(let last):
      guard branch != nil else { return false }
      (flattened, segments, runs) = (last, [], [])
    case .segmentVouched(let number, let end):
      guard let index = segments.lastIndex(where: { $0.number == number }) else { return false }
      segments[index].vouched = end
    }
    return true
  }

  /// Whether a point is one of those that were removed.
  func isRemoved(_ point: RecoveryPoint) -> Bool {
    removedPoints.contains { $0.contains(point.sequence) }
  }

  /// The newest epoch; 0 for a log that was never failed over.
  var epoch: UInt32 { branchings.lazy.filter { $0.kind == .epoch }.map(\.number).max() ?? 0 }

  /// All segments that records may still be added to, the oldest first.
  var openSegments: [Segment] { segments.filter { $0.sealed == nil } }

  private mutating func add(_ set: RunSet) -> Bool {
    for partition in set.partitions where partition.file.kind == .run {
      nextFile = max(nextFile, partition.file.number + 1)
      added[partition.file] = generation + 1
    }
    let place = runs.lastIndex { $0.newest <= set.newest }.map { $0 + 1 } ?? 0
    runs.insert(set, at: place)
    return true
  }

  private mutating func retire(_ ids: Set<LogFileName>) {
    for run in runs where ids.contains(run.id) {
      for file in run.partitions.map(\.file) where file.kind == .run {
        retired[file] = (added.removeValue(forKey: file) ?? 0)..<generation + 1
      }
    }
    runs.removeAll { ids.contains($0.id) }
  }

  /// The files of the log that are in use.
  var files: Set<LogFileName> {
    var files = Set(segments.map { LogFileName(.segment, $0.number) })
    for run in runs { files.formUnion(run.partitions.map(\.file)) }
    return files
  }
}
