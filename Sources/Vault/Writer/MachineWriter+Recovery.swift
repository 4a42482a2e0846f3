internal import Bytes
internal import FileIO

/// Putting a log in order when a writer starts.
extension MachineWriter {
  /// Goes on where the last writer stopped.
  ///
  /// If it closed the log, its segment is gone on with. If it did not, nobody knows whether an
  /// fdatasync had failed: the segment is closed at what a sync vouches for, and what was committed
  /// after that is moved to a new one. So a segment is only ever added to, and what a crash left behind
  /// the end can't come back between later records.
  func recover() throws(VaultError) {
    try removeOrphans()
    guard let open = manifest.manifest.state.openSegment else { return }
    let name = LogFileName(.segment, open.number)
    let path = machine.files.path(name)
    let size = try translated { () throws(IOError) in try machine.system.status(path).size }
    let replay = try machine.replay(open, size: size, configuration)
    try machine.vouch(for: manifest.manifest, replay)
    if let lost = replay.lost { throw Self.cutShort(path, lost) }
    machine.files.forget(name)
    adopt(replay)
    if let branching = replay.lastSync?.branching(after: branchings) {
      try manifest.append([.branching(branching)])
    }
    let vouched = min(replay.vouched, replay.end)
    let (file, rest) = try translated { () throws(IOError) in
      let file = LogFile(try File(path, .writing, on: machine.system))
      return (file, try file.file.read(at: vouched, count: Int(replay.end - vouched)))
    }
    let old = OpenSegment(
      number: open.number, headerLength: open.headerLength, file: file, replay: replay,
      durable: vouched)
    guard replay.isClosed, replay.end == size else {
      return try closeAsItIs(old, moving: rest, flags: replay.lastSync?.flags ?? 0)
    }
    // The closing sync is written once more, in its place: its fdatasync may have failed.
    old.addAgain(rest)
    segment = old
    isClosed = true
  }

  private static func cutShort(_ path: String, _ lost: Range<UInt64>) -> VaultError {
    VaultError(
      .damaged,
      "'\(path)' is cut short: its records end at byte \(lost.lowerBound), and those up to byte "
        + "\(lost.upperBound) had been stored. The newest recovery points are lost. Run 'tidemark vault "
        + "rebuild' to go on without them.")
  }

  private func adopt(_ replay: SegmentReplay) {
    var position = stream.position
    position.sequence = max(position.sequence, replay.lastSequence)
    position.time = max(position.time, replay.lastTime)
    if replay.hint.sequence > 0 { position.hint = replay.hint }
    if let sync = replay.lastSync {
      sizes = sync.disks
      position.sequence = max(position.sequence, sync.lastSequence)
    }
    stream.position = position
    let state = manifest.manifest.state
    points += replay.points.filter { $0.sequence > newestMark && !state.isRemoved($0) }
    newestMark = max(newestMark, replay.points.last?.sequence ?? .zero)
  }

  /// Removes files that the MANIFEST does not know: what a crash left while one was being made, and
  /// runs that were merged into others once no reader uses them any more.
  ///
  /// - Throws: `.damaged` if such a file holds committed records, for then the MANIFEST is what is
  ///   wrong.
  func removeOrphans() throws(VaultError) {
    let names = try translated { () throws(IOError) in
      try machine.system.list(machine.directory)
    }
    let known = manifest.manifest.state.files
    let orphans = names.compactMap(LogFileName.init).filter { !known.contains($0) }
    guard !orphans.isEmpty else { return }
    for name in orphans where name.kind == .segment { try checkIsEmpty(name) }
    for name in orphans {
      let generations = manifest.manifest.state.retired[name] ?? 0..<0
      let isRead = try ReaderLease.isTaken(
        generations, directory: machine.directory, on: machine.system)
      guard !isRead else { continue }
      machine.files.forget(name)
      try translated { () throws(IOError) in
        try machine.system.remove(machine.files.path(name))
      }
    }
  }

  private func checkIsEmpty(_ name: LogFileName) throws(VaultError) {
    guard try machine.holdsCommit(name) else { return }
    throw VaultError(
      .damaged,
      "'\(machine.files.path(name))' holds committed records, but the MANIFEST does not know it. "
        + "Run 'tidemark vault rebuild' to make the MANIFEST anew from the segments.")
  }
}

extension Machine {
  /// What the last record of a sealed segment says of the newest record with content: nothing where
  /// nothing was, or where that record is lost, which only makes a copy that was broken off start anew.
  func lastHint(of sealed: ManifestEntry.SealedSegment) -> RecordHint {
    do throws(VaultError) { return try readLastHint(of: sealed) } catch { return RecordHint() }
  }

  private func readLastHint(
    of sealed: ManifestEntry.SealedSegment
  ) throws(VaultError) -> RecordHint {
    let file = try files.open(LogFileName(.segment, sealed.number))
    let step = UInt64(Format.recordAlignment)
    let longest = UInt64(Format.aligned(Format.recordHeaderSize + 4096))
    var offset = sealed.recordsEnd
    while offset >= step, sealed.recordsEnd - offset < longest {
      offset -= step
      let bytes = try translated { () throws(IOError) in
        try file.file.read(at: offset, count: Format.recordHeaderSize)
      }
      let header = bytes.withUnsafeBytes { RecordHeader($0, identity: identity) }
      guard let header, offset + UInt64(header.length) == sealed.recordsEnd else { continue }
      return header.type == .sync ? header.hint : RecordHint()
    }
    return RecordHint()
  }

  /// Whether a segment that the MANIFEST does not know holds records that are nowhere else: a sync that
  /// says what it ends was moved commits nothing as long as the MANIFEST does not know its segment.
  func holdsCommit(_ name: LogFileName) throws(VaultError) -> Bool {
    let (file, size) = try translated { () throws(IOError) in
      let file = LogFile(try File(files.path(name), .reading, on: system))
      return (file, try file.file.status().size)
    }
    var scanner = RecordScanner(file, 0..<size, identity: identity)
    while let step = try scanner.next() {
      guard case .record(let header, let offset, _) = step, header.type == .sync else { continue }
      let payload = try scanner.bytes(of: header, at: offset).flatMap {
        PayloadRecord.payload(of: header, in: $0, identity: identity)
      }
      // One that is torn ends nothing.
      guard let sync = payload.flatMap({ SyncPayload($0.bytes) }) else { continue }
      if sync.flags & SyncPayload.moved == 0 { return true }
    }
    return false
  }
}
