public import Bytes
internal import FileIO

extension Vault {
  /// Opens a branch for reading and writing, and puts its log in order after a crash; up to two segments of it
  /// (128 MiB) are read and written for that.
  ///
  /// The machine is opened as by any reader: its files of the branch's cut stay while this is open.
  /// - Throws: `.unknownBranch`; `.inUse` if another process has it open; `.damaged` if the branch's or the
  ///   machine's MANIFEST can't be read, or the machine does not pin the branch's cut.
  public func openBranch(_ id: Identifier) throws(VaultError) -> Branch {
    try openBranch(id, limits: LogLimits(), clock: { .now() }, pace: .beside)
  }

  /// Opens a branch with other limits than usual, sealing and merging at another pace; for tests.
  func openBranch(
    _ id: Identifier, limits: LogLimits, clock: @escaping @Sendable () -> Timestamp,
    pace: KeeperPace
  ) throws(VaultError) -> Branch {
    let (description, _, place) = try branchFiles(id)
    let lock = try lockBranch(place.directory, id)
    // It may have been flattened before the lock was given.
    if try branchFiles(id).description.isFlat {
      return try openFlat(id, lock, limits: limits, clock: clock, pace: pace)
    }
    let base = try base(of: description)
    let manifest = try ManifestWriter(place.manifestPath, identity: place.identity, on: system)
    guard manifest.manifest.state.flattened == nil else { throw Self.unclear(description) }
    let recovery = try BranchRecovery(description, at: place, manifest: manifest)
    // The numbers that the log has lost are given to other writes, which a copy must not take for done.
    if let known = place.flatteningCheckpoint(of: description),
      known.sequence > recovery.position.sequence.rawValue
    {
      try place.replace(FlatteningCheckpoint(), of: description)
    }
    let state = manifest.manifest.state
    var runs: [FileRun] = []
    for set in state.runs { runs.append(try place.open(set)) }
    // Only now, for the log is whole, and so no plain file is what the branch is.
    if !place.wantsFlat { try place.removeFlat(description.disks) }
    let views = BranchViews(
      description.disks, above: base, at: place, runs: runs, generation: state.generation)
    let log = BranchLog(
      description, state.configuration, at: place, limits: limits, clock: clock, views: views,
      last: recovery.position.sequence, storedBytes: recovery.storedBytes)
    let keeper = BranchKeeper(
      manifest, runs: runs, ready: recovery.ready, pace: pace, lock: lock)
    return Branch(log, keeper, position: recovery.position)
  }

  /// Opens a branch that was flattened, and does what a crash may have left to be done behind that.
  private func openFlat(
    _ id: Identifier, _ lock: FileLock, limits: LogLimits,
    clock: @escaping @Sendable () -> Timestamp, pace: KeeperPace
  ) throws(VaultError) -> Branch {
    let (description, _, place) = try branchFiles(id)
    let manifest = try ManifestWriter(place.manifestPath, identity: place.identity, on: system)
    let state = manifest.manifest.state
    guard state.flattened != nil else { throw Self.unclear(description) }
    let flat = try place.openFlat(description.disks, .writing)
    for disk in flat.disks { disk.forgetCached() }
    try place.tellFlattened(state)
    // Tried again later, too; the disks need none of it.
    _ = try? place.removeFlattenedLog(state)
    place.removeClones()
    var position = description.position
    position.sequence = max(position.sequence, state.flattened ?? .zero)
    let log = BranchLog(
      description, state.configuration, at: place, limits: limits, clock: clock,
      views: BranchViews(flat, at: place), last: position.sequence, storedBytes: 0)
    let keeper = BranchKeeper(manifest, runs: [], ready: nil, pace: pace, lock: lock)
    return Branch(log, keeper, position: position)
  }

  /// After an entry that could not be made durable the kernel may first show it, and then what the disk has.
  private static func unclear(_ branch: BranchDescription) -> VaultError {
    VaultError(
      .io,
      "Whether the disks of '\(branch.name)' are plain files is told differently each time its MANIFEST is "
        + "read. Look at the disk that the vault lies on, then try again.")
  }

  /// Looks at a branch as it is now, whether a disk server has it open or not: everything that was answered
  /// before, and of what is written meanwhile a part from the beginning. Takes no lock and writes nothing.
  ///
  /// Of a branch that was flattened the plain files are read, which show what is written meanwhile, too: unless
  /// its only disk is taken as it is at this moment, by a file that shares its bytes, where the file system can
  /// make such (it lies beside the disk, without a name).
  ///
  /// - Parameters:
  ///   - id: the branch.
  ///   - isLive: whether somebody may be writing to it.
  ///   - isGlance: whether nobody is to be kept from removing it, after which it may not be readable any more.
  /// - Returns: its disks.
  /// - Throws: as `openBranch` does, but for `.inUse`; `.invalid` for a flattened branch that may be written to
  ///   meanwhile and can't be taken as it is at one moment.
  public func readBranch(
    _ id: Identifier, isLive: Bool = false, isGlance: Bool = false
  ) throws(VaultError) -> BranchCut {
    for _ in 0..<100 {
      let (description, manifest, place) = try branchFiles(id)
      let lease = ReaderLease(
        directory: place.directory, generation: manifest.state.generation, isGlance: isGlance,
        on: system)
      if description.isFlat {
        let files =
          try isLive
          ? place.cloneFlat(description) : place.openFlat(description.disks, .reading)
        return try BranchCut(description, manifest.state.flattened ?? .zero, files, lease)
      }
      let base = try base(of: description)
      do throws(VaultError) {
        let (runs, last) = try look(at: manifest, description, place)
        // The lease counts only if nothing was retired before it was taken.
        let size = try translated { () throws(IOError) in
          try system.status(place.manifestPath).size
        }
        guard size == manifest.length + manifest.tail else { continue }
        let own = ReadLayer(
          runs: runs, timeline: Timeline(cut: last, branchings: []), identity: place.identity,
          files: place.files, lease: lease)
        return BranchCut(description, last, layers: [own, base])
      } catch {
        // A file that was retired meanwhile is missing; then the MANIFEST is another by now.
        let now = try Manifest.read(
          place.manifestPath, identity: place.identity, on: system)
        guard now.length != manifest.length else { throw error }
      }
    }
    throw VaultError(.io, "Branch \(id) keeps changing while it is read. Try again.")
  }

  /// The runs of a branch, the newest first, and its newest number.
  func look(
    at manifest: Manifest, _ description: BranchDescription, _ place: LogPlace
  ) throws(VaultError) -> (runs: [Run], last: SequenceNumber) {
    let state = manifest.state
    let sealed = state.segments.compactMap { $0.sealed?.lastSequence }.max() ?? .zero
    var last = max(description.start, sealed)
    var runs: [Run] = []
    for set in state.runs { runs.append(.file(try place.open(set))) }
    let open = try place.replayBranch(
      state.openSegments, disks: description.disks, after: last, manifest)
    for (_, replay) in open where !replay.entries.isEmpty {
      runs.append(.memory(MemoryRun(replay.entries)))
      last = max(last, replay.lastSequence)
    }
    return (runs.reversed(), last)
  }

  /// The machine's log at the branch's cut.
  private func base(of branch: BranchDescription) throws(VaultError) -> ReadLayer {
    let machine = machine(branch.machine)
    let snapshot: MachineSnapshot
    do throws(VaultError) { snapshot = try machine.snapshot() } catch {
      guard error.cause?.isMissing == true else { throw error }
      throw VaultError(
        .damaged,
        "Branch '\(branch.name)' can't be read: '\(machine.manifestPath)', on which it stands, is missing. "
          + "Run 'tidemark vault rebuild' to make it anew.", cause: error.cause)
    }
    guard let pin = snapshot.pins.first(where: { $0.branch == branch.id }), pin.cut == branch.cut,
      branch.cut <= snapshot.lastSequence
    else {
      throw VaultError(
        .damaged,
        "Branch '\(branch.name)' can't be read: the log of '\(machine.name)' does not keep the cut it stands "
          + "on. Run 'tidemark vault rebuild'.")
    }
    guard !pin.isLost else {
      throw VaultError(
        .damaged,
        "Branch '\(branch.name)' can't be read any more: the log of '\(machine.name)' has lost its end, and "
          + "with it the cut the branch stands on. Remove it.")
    }
    return snapshot.layer(at: branch.cut)
  }
}
