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
    try place.removeOrphans(manifest.manifest.state)
    guard let open = manifest.manifest.state.openSegment else { return }
    let name = LogFileName(.segment, open.number)
    let path = machine.files.path(name)
    let size = try translated { () throws(IOError) in try machine.system.status(path).size }
    let replay = try machine.replay(open, size: size, configuration)
    try machine.vouch(for: manifest.manifest, replay)
    if let lost = replay.lost { throw LogPlace.cutShort(path, lost) }
    machine.files.forget(name)
    adopt(replay)
    if let branching = replay.lastSync?.branching(after: branchings) {
      try manifest.append([.branching(branching)])
    }
    if let sync = replay.commits.last { try finishCommit(sync) }
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
}
