public import Bytes
internal import FileIO
public import Vault

/// One cycle over all disks of a machine: reads, compares, stores, and makes a recovery point.
///
/// It reads one disk after the other, which is why no more than three disks of a machine are ever
/// replicated for the first time at a time: only one is. Whoever lets it read several at once has to keep
/// that limit.
///
/// What a cycle stored before it broke off, for whatever reason, stays: the next one finds those
/// pages in the replica and does not store them again.
public struct CaptureCycle {
  let machine: Identifier
  let disks: [DiskConfiguration]
  let options: CaptureOptions
  let hold: (any WriterHold)?
  let progress: (CaptureProgress) -> Void
  let cancelled: () -> Bool

  /// Prepares a cycle.
  ///
  /// - Parameters:
  ///   - machine: the machine's identifier, which names its clones.
  ///   - disks: the disks; those that are scanned are read first, else their order is kept.
  ///   - options: what the caller chose.
  ///   - hold: holds the writers around the cut; nil if nothing can.
  ///   - progress: called often, on the calling thread, while disks are read.
  ///   - cancelled: asked often; once it says true the cycle ends with `.cancelled`.
  public init(
    machine: Identifier, disks: [DiskConfiguration], options: CaptureOptions,
    hold: (any WriterHold)? = nil, progress: @escaping (CaptureProgress) -> Void,
    cancelled: @escaping () -> Bool
  ) {
    // What is scanned may be held meanwhile, and what is cloned is kept. A cycle that goes on where another
    // one stopped has to go through the disks in the same order.
    self.disks = disks.filter { $0.capture == .scan } + disks.filter { $0.capture != .scan }
    (self.machine, self.options, self.hold) = (machine, options, hold)
    (self.progress, self.cancelled) = (progress, cancelled)
  }

  /// Runs the cycle. Blocks until the recovery point is durable.
  ///
  /// Where it goes on with the clones of an interrupted cycle, the point shows the disks as they
  /// were then and takes no label: `resumed` tells, and another cycle brings the present.
  public func run(with target: any CaptureTarget) throws(CaptureError) -> CaptureResult {
    let clock = ContinuousClock()
    let start = clock.now
    let storedBefore = target.storedBytes
    let cut = Cut(hold, options.holdExtent, scanned: disks.filter { $0.capture == .scan })
    defer { cut.release() }
    // A hook may make what is scanned, such as a snapshot.
    for disk in disks where !(disk.capture == .scan && cut.holdsScans) {
      try checkSize(try SourceCheck.size(of: disk), of: disk, target)
    }
    let clones = try makeClones(target, cut)
    if clones?.resumed ?? true { try cut.begin(holding: clones == nil && cut.holdsScans) }
    let sources = try openSources(clones, target)
    let time = clones?.time ?? cut.time
    target.recordTime = time
    defer { target.recordTime = nil }
    let (tallies, scanTime) = try compare(sources, with: target, clones: clones, cut: cut)
    // It was asked after each piece only, and there may have been none.
    if cancelled() { throw try stopped(target) }
    let point = try mark(sources, with: target, clones: clones, cut: cut, time: time)
    return CaptureResult(
      point: point, disks: tallies.sorted { $0.number < $1.number },
      stored: target.storedBytes - storedBefore, elapsed: clock.now - start, scanTime: scanTime,
      resumed: clones?.resumed ?? false, advice: settle(clones))
  }

  private func checkSize(
    _ size: UInt64, of disk: DiskConfiguration, _ target: any CaptureTarget
  ) throws(CaptureError) {
    guard let last = target.lastSize(of: disk.number), last != size, !options.acceptSize
    else { return }
    throw CaptureError(
      .sizeChanged,
      "Disk \(disk.number), '\(disk.path)', has \(size) bytes now, and had \(last) bytes at the "
        + "last recovery point. If that is meant, run the command again with --accept-size; earlier "
        + "recovery points keep their size.")
  }

  private func makeClones(
    _ target: any CaptureTarget, _ cut: Cut
  ) throws(CaptureError) -> CloneSet? {
    var stores: [CloneStore] = []
    for disk in disks where disk.capture == .reflink {
      stores.append(try CloneStore(machine: machine, disk: disk))
    }
    guard !stores.isEmpty else { return nil }
    return try CloneSet(
      stores, for: target, floorPercent: options.cloneFloorPercent, cut: cut)
  }

  /// Opens what is to be read, and checks the sizes again: those of clones are the ones that count.
  private func openSources(
    _ clones: CloneSet?, _ target: any CaptureTarget
  ) throws(CaptureError) -> [DiskSource] {
    var sources: [DiskSource] = []
    for disk in disks {
      let source: DiskSource
      if let clone = clones?.clones.first(where: { $0.store.disk == disk.number }) {
        source = try DiskSource(clone, of: disk, lastSize: target.lastSize(of: disk.number))
      } else {
        source = try DiskSource(scanning: disk)
      }
      try checkSize(source.content.size, of: disk, target)
      try checkChange(source)
      sources.append(source)
    }
    if clones?.resumed == true, let cursor = target.cursor { skipStored(cursor, &sources) }
    return sources
  }

  private func checkChange(_ source: DiskSource) throws(CaptureError) {
    guard let limit = options.changeLimitPercent, source.whole == nil,
      source.total / 100 * 100 > source.content.size / 100 * UInt64(limit)
    else { return }
    throw CaptureError(
      .rewritten,
      "Of disk \(source.disk.number), '\(source.disk.path)', more than \(limit) % changed since the "
        + "last recovery point.")
  }

  /// Leaves out what the interrupted cycle has stored of the same clones: it went from disk to disk, and
  /// up each of them.
  private func skipStored(
    _ cursor: (disk: DiskNumber, blocks: Range<UInt64>), _ sources: inout [DiskSource]
  ) {
    guard let last = sources.firstIndex(where: { $0.disk.number == cursor.disk }) else { return }
    for index in 0...last where sources[index].disk.capture == .reflink {
      let stored = index == last ? cursor.blocks.upperBound * UInt64(Layout.blockSize) : nil
      sources[index].skip(to: stored)
    }
  }

  private func mark(
    _ sources: [DiskSource], with target: any CaptureTarget, clones: CloneSet?, cut: Cut,
    time: Timestamp
  ) throws(CaptureError) -> RecoveryPoint {
    let resumed = clones?.resumed == true
    let (kind, consistency) = cut.point(clones: clones?.clones.count ?? 0, resumed: resumed)
    let disks = sources.map { PointDisk(number: $0.disk.number, size: $0.content.size) }
    let new = NewPoint(
      kind: kind == .crash ? options.kind : kind, consistency: consistency,
      sourceWatched: cut.isWatched, label: resumed ? nil : options.label,
      cycle: clones?.cycle ?? UInt64.random(in: 1...UInt64.max),
      disks: disks.sorted { $0.number < $1.number }, time: time)
    return try target.mark(new)
  }

  /// Keeps this cycle's clones for the next one if there is room; gives what the operator should
  /// know. The recovery point is made, so nothing here is a failure of the cycle.
  private func settle(_ clones: CloneSet?) -> [String] {
    guard let clones else { return [] }
    do throws(CaptureError) {
      try clones.settle()
      let floor = CloneFloor(
        stores: clones.clones.map(\.store), percent: options.cloneFloorPercent)
      guard let (store, free) = try floor.breach() else { return [] }
      try clones.drop()
      return [
        "Only \(free) % is free where disk \(store.disk), '\(store.image)', lies, so its clone was "
          + "removed: resynchronisation is required, and the next cycle compares everything."
      ]
    } catch {
      return ["Old clones could not be removed: \(error.message)"]
    }
  }
}
