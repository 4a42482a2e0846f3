internal import Bytes
internal import FileIO

/// Putting a log in order when a writer starts.
extension MachineWriter {
  /// Goes on where the last writer stopped.
  ///
  /// If it closed the log, its segment is gone on with. If it did not, nobody knows whether an
  /// fdatasync had failed: the segment is closed at what a sync vouches for, and what was committed
  /// after that is written to a new one.
  func recover() throws(VaultError) {
    try removeOrphans()
    guard let open = manifest.manifest.state.openSegment else { return }
    let name = LogFileName(.segment, open.number)
    let path = machine.files.path(name)
    let size = try translated { () throws(IOError) in try machine.system.status(path).size }
    let replay = try machine.replay(open, size: size, configuration)
    try machine.vouch(for: manifest.manifest, replay)
    machine.files.forget(name)
    adopt(replay)
    let file = try translated { () throws(IOError) in
      let file = LogFile(try File(path, .writing, on: machine.system))
      if size > replay.end, replay.isClosed { try file.file.truncate(to: replay.end) }
      return file
    }
    if replay.isClosed {
      segment = OpenSegment(
        number: open.number, headerLength: open.headerLength, file: file, replay: replay)
      isClosed = true
      return
    }
    try moveUnvouched(replay, open, file)
  }

  private func adopt(_ replay: SegmentReplay) {
    lastSequence = max(lastSequence, replay.lastSequence)
    lastTime = max(lastTime, replay.lastTime)
    hint = replay.hint
    if let sync = replay.lastSync {
      sizes = sync.disks
      lastSequence = max(lastSequence, sync.lastSequence)
    }
    let last = points.last?.sequence ?? .zero
    points += replay.points.filter { $0.sequence > last }
  }

  private func moveUnvouched(
    _ replay: SegmentReplay, _ open: ManifestState.Segment, _ file: LogFile
  ) throws(VaultError) {
    let vouched = min(replay.vouched, replay.end)
    let rest: [UInt8]
    do throws(IOError) {
      rest = try file.file.read(at: vouched, count: Int(replay.end - vouched))
    } catch {
      throw VaultError(error)
    }
    var kept = replay
    kept.end = vouched
    let old = OpenSegment(
      number: open.number, headerLength: open.headerLength, file: file, replay: nil)
    old.adopt(kept, from: vouched)
    try closeAsItIs(old)
    if !rest.isEmpty { try addAgain(rest, flags: replay.lastSync?.flags ?? 0) }
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
    let reader = try ReaderLease.oldest(
      below: manifest.manifest.state.generation, directory: machine.directory,
      on: machine.system)
    for name in orphans {
      if name.kind == .segment { try checkIsEmpty(name) } else if reader != nil { continue }
      machine.files.forget(name)
      try translated { () throws(IOError) in
        try machine.system.remove(machine.files.path(name))
      }
    }
  }

  private func checkIsEmpty(_ name: LogFileName) throws(VaultError) {
    let path = machine.files.path(name)
    let size = try translated { () throws(IOError) in try machine.system.status(path).size }
    var scanner = RecordScanner(
      try machine.files.open(name), 0..<size, identity: machine.identity)
    while let step = try scanner.next() {
      guard case .record(let header, _, _) = step, header.type == .sync else { continue }
      throw VaultError(
        .damaged,
        "'\(path)' holds committed records, but the MANIFEST does not know it. "
          + "Run 'tidemark vault rebuild' to make the MANIFEST anew from the segments.")
    }
  }
}
