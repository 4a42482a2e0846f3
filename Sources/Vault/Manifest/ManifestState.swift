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
  /// Of sealed segments only, the oldest first.
  var points: [RecoveryPoint] = []
  var branchings: [Branching] = []
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
      guard openSegment == nil, number >= nextFile else { return false }
      segments.append(
        Segment(number: number, headerLength: headerLength, firstSequence: first))
      nextFile = number + 1
    case .segmentSealed(let sealed):
      guard let index = segments.lastIndex(where: { $0.number == sealed.number }),
        segments[index].sealed == nil
      else { return false }
      segments[index].sealed = sealed
    case .runAdded(let set): return add(set)
    case .runsRetired(let names):
      retire(Set(names))
    case .point(let point):
      guard points.last.map({ $0.sequence < point.sequence }) ?? true else { return false }
      points.append(point)
    case .pointLocked(let sequence, let locked):
      if locked { lockedPoints.insert(sequence) } else { lockedPoints.remove(sequence) }
    case .branching(let branching): branchings.append(branching)
    case .segmentVouched(let number, let end):
      guard let index = segments.lastIndex(where: { $0.number == number }) else { return false }
      segments[index].vouched = end
    }
    return true
  }

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
