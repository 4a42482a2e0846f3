public import Bytes
internal import FileIO

/// Starting a source that can't prove where it stopped.
extension MachineWriter {
  /// The epochs and incarnations so far, the oldest first.
  var branchings: [Branching] {
    manifest.manifest.state.branchings + (announced.map { [$0] } ?? [])
  }

  /// The newest number that is not of a cycle under way.
  var lastSettled: SequenceNumber {
    max(newestMark, branchings.last?.first ?? .zero)
  }

  /// How far a cycle that was broken off has come: everything on earlier disks, and on this disk
  /// everything before the end of these blocks, is stored. Nil if it stored nothing.
  public var cursor: (disk: DiskNumber, blocks: Range<UInt64>)? {
    stream.position.hint.sequence > lastSettled.rawValue ? stream.position.newest : nil
  }

  /// Abandons what was stored since the newest recovery point, which nobody can go on with: readers of
  /// whatever is stored from now on do not see it.
  ///
  /// Protocol: everything is committed; a sync that tells of the new incarnation, which takes a number
  /// of its own, is made durable; then it enters the MANIFEST. After a crash between the two the next
  /// writer enters it, so log and MANIFEST always agree.
  public func abandonUnmarked() throws(VaultError) {
    try checkIsNotFailedOver()
    try commit()
    guard hasUnmarkedWrites else { return }
    let newest = branchings.last { $0.kind == .incarnation }?.number ?? 0
    try branch(.incarnation, newest + 1, from: lastSettled, with: [])
  }

  /// Goes on from `parent` in a new epoch or incarnation: a sync that tells of it is made durable, then it
  /// enters the MANIFEST, in one transaction with `entries`. Everything before has to be durable.
  func branch(
    _ kind: Branching.Kind, _ number: UInt32, from parent: SequenceNumber,
    with entries: [ManifestEntry]
  ) throws(VaultError) {
    // What can be refused for want of room is asked for before a number is taken.
    _ = try openSegment()
    stream.position.passBranching()
    let branching = Branching(kind: kind, number: number, first: lastSequence, parent: parent)
    announced = branching
    try exclusively { () throws(VaultError) in
      // A second fdatasync that fails is told; the first one only costs the segment.
      try announce(flags: 0, last: SequenceNumber(rawValue: lastSequence.rawValue - 1))
      announced = nil
      try manifest.append([.branching(branching)] + entries)
      if let open = segment, open.isFull(limits) { try seal(open) }
    }
  }

  /// Makes a sync durable that tells of something; `last` is the newest number before that.
  func announce(flags: UInt32, last: SequenceNumber) throws(VaultError) {
    // A second fdatasync that fails is told; the first one only costs the segment.
    if try !tryAnnouncing(flags, last), try !tryAnnouncing(flags, last) {
      throw VaultError(.io, "The log of '\(configuration.name)' could not be made durable.")
    }
  }

  /// Makes a sync durable; false if that failed and the segment was closed.
  private func tryAnnouncing(
    _ flags: UInt32, _ last: SequenceNumber
  ) throws(VaultError) -> Bool {
    let segment = try openSegment()
    addSync(flags: flags, to: segment)
    do throws(IOError) {
      try segment.sync()
      return true
    } catch {
      guard error.operation == "sync" else { throw VaultError(error) }
      try closeAsItIs(segment, moving: [], flags: 0, last: last)
      return false
    }
  }
}
