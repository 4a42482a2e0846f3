public import Bytes

/// Pins and epochs: what drills and failovers change of a machine.
///
/// Each call is one transaction of the MANIFEST, durable when it returns; after a crash all of it has
/// happened or nothing. Where an epoch begins, the sync that tells of it is durable before that, so a crash
/// in between leaves the new epoch without the pin: the writer that comes next enters the epoch, and the
/// failover that broke off begins another one.
extension MachineWriter {
  /// The epoch: raised by each failover. Nothing that a source sends of an older one may be added.
  public var epoch: UInt32 { branchings.last { $0.kind == .epoch }?.number ?? 0 }

  /// What branches stand on, the oldest first.
  public var pins: [BranchPin] { manifest.manifest.state.pins }

  /// Pins the cut of a recovery point for a branch that is to be made: the start of a drill.
  ///
  /// - Throws: `.unknownPoint` if no point ends at the cut, `.alreadyExists` if the branch is pinned already.
  public func pin(_ pin: BranchPin) throws(VaultError) {
    try check(pin)
    try append([.pinned(pin)])
  }

  /// Begins a new epoch that goes on from the cut of `pin`, and pins it: the start of a failover.
  ///
  /// Everything stored so far is made durable first. Readers of later cuts see nothing of what follows the
  /// cut in older epochs; the points there stay readable as they are.
  /// - Returns: the new epoch.
  /// - Throws: as `pin` does.
  @discardableResult
  public func raiseEpoch(_ pin: BranchPin) throws(VaultError) -> UInt32 {
    try check(pin)
    return try beginEpoch(with: pin, releasing: [])
  }

  /// Begins a new epoch in which nothing is pinned, for a failover that is given up before it had a point: no
  /// source of an older epoch may add anything from then on. It goes on from the newest recovery point, so
  /// what could be read can be read as before; what follows that point is abandoned.
  ///
  /// - Returns: the new epoch.
  @discardableResult
  public func raiseEpoch() throws(VaultError) -> UInt32 {
    try commit()
    try branch(.epoch, epoch + 1, from: newestMark, with: [])
    return epoch
  }

  /// Lets a failover stand on the cut of another point: a new epoch that goes on from there, the pin of
  /// `old` released and `pin` set, all in one transaction.
  ///
  /// - Returns: the new epoch.
  /// - Throws: `.unknownBranch` if `old` is not pinned, `.invalid` if it is committed; else as `pin` does.
  @discardableResult
  public func changePin(_ old: Identifier, to pin: BranchPin) throws(VaultError) -> UInt32 {
    guard try !pinned(old).isCommitted else {
      throw VaultError(
        .invalid,
        "The failover of '\(configuration.name)' is committed; its point can't be changed.")
    }
    try check(pin)
    return try beginEpoch(with: pin, releasing: [.pinReleased(branch: old)])
  }

  /// Lets go of the cut a branch stood on, once the branch is gone; nothing happens if none is pinned for it.
  ///
  /// With a failover that was not committed its epoch is given up: a new incarnation goes on from the newest
  /// recovery point, so that what the source adds is read above what it was made against.
  public func release(_ branch: Identifier) throws(VaultError) {
    guard let pin = pins.first(where: { $0.branch == branch }) else { return }
    let released = ManifestEntry.pinReleased(branch: branch)
    let other = pins.contains { $0.branch != branch && $0.purpose == .failover }
    guard pin.purpose == .failover, !pin.isCommitted, !other else { return try append([released]) }
    try commit()
    let newest = branchings.last { $0.kind == .incarnation }?.number ?? 0
    try self.branch(.incarnation, newest + 1, from: newestMark, with: [released])
  }

  /// Says that a branch was flattened, so that its pin holds nothing of the log any more; nothing happens if that
  /// is said already, or nothing is pinned for it. Which machine it is of, and whether it was committed, stays.
  public func letGo(_ branch: Identifier) throws(VaultError) {
    guard var pin = pins.first(where: { $0.branch == branch }), !pin.isFlat else { return }
    pin.isFlat = true
    try append([.pinned(pin)])
  }

  /// Commits a failover: all recovery points are gone, and the pin of its branch says so. The cut stays
  /// readable for the branch. Committing twice is committing once.
  ///
  /// Protocol: a sync that tells of it is made durable, so that a MANIFEST made anew knows of it; then it enters
  /// the MANIFEST. After a crash between the two the next writer enters it.
  /// - Throws: `.unknownBranch` if it is not pinned, `.invalid` if it is a drill.
  public func commit(failover branch: Identifier) throws(VaultError) {
    var pin = try pinned(branch)
    guard pin.purpose == .failover else {
      throw VaultError(.invalid, "A drill of '\(configuration.name)' can't be committed.")
    }
    guard !pin.isCommitted else { return }
    try commit()
    _ = try openSegment()
    pin.isCommitted = true
    let end = lastSequence
    try exclusively { () throws(VaultError) in
      try announce(flags: SyncPayload.commits, last: end)
      var entries: [ManifestEntry] = [.pointsRemoved([.zero...end]), .pinned(pin)]
      if let segment {
        // So that this sync is never moved to where it would tell of later points.
        entries.append(.segmentVouched(number: segment.number, end: segment.durable))
      }
      try manifest.append(entries)
      points = []
      if let open = segment, open.isFull(limits) { try seal(open) }
    }
  }

  /// Enters a commit that the log tells of and the MANIFEST does not know.
  func finishCommit(_ sync: SyncPayload) throws(VaultError) {
    let removed = manifest.manifest.state.removedPoints
    guard !removed.contains(where: { $0.contains(sync.lastSequence) }) else { return }
    var entries: [ManifestEntry] = [.pointsRemoved([.zero...sync.lastSequence])]
    if var pin = pins.first(where: { $0.purpose == .failover && !$0.isCommitted }) {
      pin.isCommitted = true
      entries.append(.pinned(pin))
    }
    try manifest.append(entries)
    points.removeAll { $0.sequence <= sync.lastSequence }
  }

  /// Refuses to go on with a log whose machine is failed over: the numbers that would be given out are those of
  /// the failed-over disks, which are to come back here.
  func checkIsNotFailedOver() throws(VaultError) {
    guard pins.contains(where: { $0.purpose == .failover && !$0.isCommitted }) else { return }
    throw VaultError(
      .invalid,
      "'\(configuration.name)' is failed over, and takes nothing more from its source. Cancel or commit the "
        + "failover first.")
  }

  /// Pins a branch that was found without a pin, unless it is what a change of the failover's point left.
  func pinAgain(_ branch: BranchDescription) throws(VaultError) {
    guard !pins.contains(where: { $0.branch == branch.id }),
      branch.purpose == .drill || branch.epoch == epoch
    else { return }
    var pin = BranchPin(branch: branch.id, cut: branch.cut, purpose: branch.purpose)
    let removed = manifest.manifest.state.removedPoints
    pin.isCommitted =
      branch.purpose == .failover && removed.contains { $0.contains(branch.cut) }
    (pin.isFlat, pin.isLost) = (branch.isFlat, !branch.isFlat && branch.cut > lastSequence)
    try append([.pinned(pin)])
  }

  private func beginEpoch(
    with pin: BranchPin, releasing released: [ManifestEntry]
  ) throws(VaultError) -> UInt32 {
    try commit()
    try branch(.epoch, epoch + 1, from: pin.cut, with: released + [.pinned(pin)])
    return epoch
  }

  private func append(_ entries: [ManifestEntry]) throws(VaultError) {
    try exclusively { () throws(VaultError) in try manifest.append(entries) }
  }

  private func check(_ pin: BranchPin) throws(VaultError) {
    guard !pins.contains(where: { $0.branch == pin.branch }) else {
      throw VaultError(
        .alreadyExists, "'\(configuration.name)' has a pin for branch \(pin.branch) already.")
    }
    guard !pin.isCommitted, points.contains(where: { $0.sequence == pin.cut }) else {
      throw VaultError(
        .unknownPoint,
        "'\(configuration.name)' has no recovery point that ends with number \(pin.cut.rawValue).")
    }
  }

  private func pinned(_ branch: Identifier) throws(VaultError) -> BranchPin {
    guard let pin = pins.first(where: { $0.branch == branch }) else {
      throw VaultError(
        .unknownBranch, "'\(configuration.name)' has no pin for branch \(branch).")
    }
    return pin
  }
}
