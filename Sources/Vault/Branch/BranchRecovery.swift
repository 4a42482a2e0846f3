internal import Bytes
internal import FileIO

/// Puts a branch's log in order when its disk server starts.
///
/// Whatever is in the files counts up to the first record that is missing or torn behind what is known to be
/// durable: after the end of a process that is everything that was answered, after a loss of power a part of it
/// from the beginning. What was not known to be durable is written once more, in its place, as an fdatasync of
/// it may have failed; what lies behind is cut off; then the segments are sealed, and new records go to a new
/// one. A crash in between leaves a log that is put in order again.
struct BranchRecovery {
  let place: LogPlace
  let description: BranchDescription
  let manifest: ManifestWriter
  /// Where the log goes on.
  private(set) var position: LogPosition
  /// Bytes of all records.
  private(set) var storedBytes: UInt64 = 0
  /// A segment that was made ready and holds nothing yet.
  private(set) var ready: BranchSegment?

  init(
    _ description: BranchDescription, at place: LogPlace, manifest: ManifestWriter
  ) throws(VaultError) {
    (self.description, self.place, self.manifest) = (description, place, manifest)
    position = description.position
    let state = manifest.manifest.state
    try place.removeOrphans(state)
    for segment in state.segments { if let sealed = segment.sealed { pass(segment, sealed) } }
    let hint = place.lastHint(of: state.segments.compactMap(\.sealed))
    if hint.sequence > position.hint.sequence { position.hint = hint }
    let open = state.openSegments
    for (segment, replay) in try place.replayBranch(
      open, disks: description.disks, after: position.sequence, manifest.manifest)
    {
      try adopt(segment, replay, isLast: segment.number == open.last?.number)
    }
  }

  private mutating func pass(
    _ segment: ManifestState.Segment, _ sealed: ManifestEntry.SealedSegment
  ) {
    storedBytes += sealed.recordsEnd - UInt64(segment.headerLength)
    position.sequence = max(position.sequence, sealed.lastSequence)
    position.time = max(position.time, sealed.lastTime)
  }

  private mutating func adopt(
    _ segment: ManifestState.Segment, _ replay: SegmentReplay, isLast: Bool
  ) throws(VaultError) {
    let name = LogFileName(.segment, segment.number)
    let entries: [ManifestEntry]
    do throws(IOError) {
      let file = LogFile(try File(place.files.path(name), .writing, on: place.system))
      try settle(file, replay)
      if isLast, replay.recordCount == 0, replay.entries.isEmpty {
        ready = BranchSegment(segment, file: file)
        return
      }
      position.sequence = max(position.sequence, replay.lastSequence)
      position.time = max(position.time, replay.lastTime)
      entries = try place.seal(
        file, segment.number, replay.entries, end: replay.end,
        first: replay.firstNumber ?? segment.firstSequence,
        last: position.sequence, time: position.time, disks: description.disks
      ) { () throws(IOError) in try file.file.sync() }
    } catch {
      throw VaultError(error)
    }
    if replay.hint.sequence > 0 { position.hint = replay.hint }
    storedBytes += replay.end - UInt64(segment.headerLength)
    try manifest.append(entries)
  }

  /// Writes what may not be durable once more and cuts off what does not count; durable.
  private func settle(_ file: LogFile, _ replay: SegmentReplay) throws(IOError) {
    let size = try file.file.status().size
    if replay.vouched < replay.end {
      let count = Int(replay.end - replay.vouched)
      try file.file.write(
        try file.file.read(at: replay.vouched, count: count), at: replay.vouched)
    }
    if size > replay.end { try file.file.truncate(to: replay.end) }
    if size > replay.end || replay.vouched < replay.end { try file.file.sync() }
  }
}

extension LogPlace {
  /// What the segments of a branch hold that are not sealed, the oldest first.
  ///
  /// Records go on from one segment to the next. Where they do not, the end of the one before was lost with the
  /// power, and nothing behind counts; unless it is known to have been durable, which is damage, and reads that
  /// would have to go past it fail.
  func replayBranch(
    _ segments: [ManifestState.Segment], disks: [PointDisk], after last: SequenceNumber,
    _ manifest: Manifest
  ) throws(VaultError) -> [(segment: ManifestState.Segment, replay: SegmentReplay)] {
    var found: [(segment: ManifestState.Segment, replay: SegmentReplay)] = []
    var last = last
    var isLost = false
    let sizes = try sizes(of: segments)
    for (index, segment) in segments.enumerated() {
      var replay = try replay(segment, sizes, after: last, disks, manifest)
      if !isLost, let first = replay.firstNumber, first > last.next {
        isLost = try !isVouched(segments[index...], sizes, after: last, disks, manifest)
        if !isLost { replay.miss(last.next, segment: segment.number, disks.map(\.number)) }
      }
      if isLost { replay.forget() }
      last = max(last, replay.lastSequence)
      found.append((segment, replay))
    }
    return found
  }

  /// The sizes of segments that are written to meanwhile: the newest first, for what a segment holds by then the
  /// one before has been filled for.
  private func sizes(
    of segments: [ManifestState.Segment]
  ) throws(VaultError) -> [UInt32: UInt64] {
    var sizes: [UInt32: UInt64] = [:]
    for segment in segments.reversed() {
      let path = files.path(LogFileName(.segment, segment.number))
      do throws(IOError) { sizes[segment.number] = try system.status(path).size } catch {
        guard error.isMissing else { throw VaultError(error) }
        throw VaultError(
          .damaged,
          "'\(path)' is missing, and with it what was written last. Run 'tidemark vault rebuild'.",
          cause: error)
      }
    }
    return sizes
  }

  /// Whether something in these segments was durable, and so everything before them.
  private func isVouched(
    _ segments: ArraySlice<ManifestState.Segment>, _ sizes: [UInt32: UInt64],
    after last: SequenceNumber,
    _ disks: [PointDisk], _ manifest: Manifest
  ) throws(VaultError) -> Bool {
    for segment in segments {
      let replay = try replay(segment, sizes, after: last, disks, manifest)
      if replay.vouched > UInt64(segment.headerLength) { return true }
    }
    return false
  }

  private func replay(
    _ segment: ManifestState.Segment, _ sizes: [UInt32: UInt64], after last: SequenceNumber,
    _ disks: [PointDisk],
    _ manifest: Manifest
  ) throws(VaultError) -> SegmentReplay {
    let name = LogFileName(.segment, segment.number)
    let size = sizes[segment.number] ?? 0
    files.forget(name)
    // What it was made ready for may have been lost since: it begins with whatever comes next.
    var segment = segment
    segment.firstSequence = last.next
    let replay = try replay(
      segment, size: size, disks: disks.map(\.number), countsUnsynced: true)
    try vouch(for: manifest, replay)
    if let lost = replay.lost { throw Self.cutShort(files.path(name), lost) }
    return replay
  }
}
