internal import Bytes
internal import Vault

extension CaptureCycle {
  /// Compares all disks and stores what differs; gives what was found, disk by disk, and how long those took
  /// that were scanned. They come first.
  func compare(
    _ sources: [DiskSource], with target: any CaptureTarget, clones: CloneSet?, cut: Cut
  ) throws(CaptureError) -> (tallies: [DiskCapture], scanTime: Duration) {
    let clock = ContinuousClock()
    let start = clock.now
    var state = CaptureProgress(
      disk: 0, examined: 0, total: sources.reduce(0) { $0 + $1.total }, changed: 0,
      elapsed: .zero, reading: .zero)
    var space = CloneSpaceWatch(clones, percent: options.cloneFloorPercent)
    var tallies: [DiskCapture] = []
    var scanTime: Duration?
    for source in sources {
      if scanTime == nil, source.disk.capture != .scan {
        try cut.scansAreRead()
        scanTime = clock.now - start
      }
      let before = state
      state.disk = source.disk.number
      let tally = try compare(source, with: target) { (comparer, waited) throws(CaptureError) in
        state.reading = before.reading + waited
        state.examined = before.examined + comparer.examined
        state.changed = before.changed + comparer.changed
        state.elapsed = clock.now - start
        progress(state)
        try space.check()
      }
      tallies.append(tally)
    }
    if scanTime == nil { try cut.scansAreRead() }
    return (tallies, scanTime ?? clock.now - start)
  }

  /// Compares one disk; `step` is called after every piece, with how long was waited for the disk so far.
  private func compare(
    _ source: DiskSource, with target: any CaptureTarget,
    step: (borrowing BlockComparer, Duration) throws(CaptureError) -> Void
  ) throws(CaptureError) -> DiskCapture {
    let number = source.disk.number
    let size = source.content.size
    let replica = try target.replica(of: number, size: size, base: try source.openBase())
    var comparer = BlockComparer(disk: number, size: size, replica: replica, target: target)
    let handover = Handover()
    defer { handover.stop() }
    WindowReader(
      disk: number, path: source.disk.path, content: source.content, ranges: source.ranges
    ).start(into: handover)
    var waited = Duration.zero
    while try takeOne(from: handover, into: &comparer, &waited) {
      try step(comparer, waited)
      if cancelled() { throw try stopped(target) }
    }
    try comparer.finish()
    return DiskCapture(
      number: number, size: size, mode: source.disk.capture, examined: comparer.examined,
      changed: comparer.changed, whole: source.whole, cloneTime: source.cloneTime)
  }

  /// Compares the next piece; false if there is none.
  private func takeOne(
    from handover: Handover, into comparer: inout BlockComparer, _ waited: inout Duration
  ) throws(CaptureError) -> Bool {
    let start = ContinuousClock.now
    let item = handover.take()
    waited += ContinuousClock.now - start
    switch item {
    case .window(let window):
      defer { handover.giveBack(window) }
      try comparer.compare(window)
    case .hole(let blocks): try comparer.compare(hole: blocks)
    case .failed(let error): throw error
    case .end: return false
    }
    return true
  }

  /// Makes safe what was stored so far, for the next cycle to find.
  func stopped(_ target: any CaptureTarget) throws(CaptureError) -> CaptureError {
    try target.commit()
    return CaptureError(
      .cancelled,
      "Stopped before the recovery point was made. What was stored is kept; run the command again "
        + "to go on from there.")
  }
}

/// Looks once a second whether clones have become too expensive for the file system they lie on.
private struct CloneSpaceWatch {
  private let floor: CloneFloor?
  private let clock = ContinuousClock()
  private var next: ContinuousClock.Instant

  init(_ clones: CloneSet?, percent: Int) {
    floor = clones.map { CloneFloor(stores: $0.clones.map(\.store), percent: percent) }
    next = clock.now + .seconds(1)
  }

  mutating func check() throws(CaptureError) {
    guard let floor, clock.now >= next else { return }
    next = clock.now + .seconds(1)
    try floor.check()
  }
}
