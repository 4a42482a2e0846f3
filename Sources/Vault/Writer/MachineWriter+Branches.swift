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
  public func release(_ branch: Identifier) throws(VaultError) {
    guard pins.contains(where: { $0.branch == branch }) else { return }
    try append([.pinReleased(branch: branch)])
  }

  /// Commits a failover: all recovery points are gone, and the pin of its branch says so. The cut stays
  /// readable for the branch. Committing twice is committing once.
  ///
  /// A MANIFEST that is lost afterwards and made anew from the segments brings the points back, locked.
  /// - Throws: `.unknownBranch` if it is not pinned, `.invalid` if it is a drill.
  public func commit(failover branch: Identifier) throws(VaultError) {
    var pin = try pinned(branch)
    guard pin.purpose == .failover else {
      throw VaultError(.invalid, "A drill of '\(configuration.name)' can't be committed.")
    }
    guard !pin.isCommitted else { return }
    try commit()
    pin.isCommitted = true
    try append([.pointsRemoved([.zero...lastSequence]), .pinned(pin)])
    points = []
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
