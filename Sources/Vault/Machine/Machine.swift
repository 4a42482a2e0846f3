public import Bytes
internal import FileIO
internal import Synchronization

/// A protected machine as a reader sees it. Needs neither the vault's lock nor permission to write.
///
/// Safe from any thread; calls may block.
public final class Machine: Sendable {
  /// The machine's identifier, also the name of its directory.
  public let id: Identifier
  let directory: String
  let identity: LogIdentity
  let system: FileSystem
  let files: LogFiles
  let cache: PageCache
  /// Whether snapshots keep nobody from removing the machine, until a disk of one is opened.
  let isGlancing: Bool
  private let state = Mutex(State())

  private struct State {
    var seen: Footprint?
    var snapshot: MachineSnapshot?
    /// Runs that are open, so that a new snapshot goes on with their cached pages.
    var runs: [LogFileName: FileRun] = [:]
  }

  /// What a look at the files tells without reading them.
  private struct Footprint: Equatable {
    var manifest: FileStatus
    var segment: FileStatus?
    var number: UInt32?
  }

  init(
    id: Identifier, vault: Identifier, directory: String, cache: PageCache,
    isGlancing: Bool = false, on system: FileSystem
  ) {
    self.id = id
    self.directory = directory
    self.system = system
    (self.cache, self.isGlancing) = (cache, isGlancing)
    identity = LogIdentity(vault: vault, machine: id)
    files = LogFiles(directory: directory, system: system)
  }

  /// Its name; its identifier while its MANIFEST can't be read.
  public var name: String { (try? snapshot().configuration.name) ?? id.description }

  var manifestPath: String { directory + "/" + Manifest.fileName }

  /// The machine as it is now.
  ///
  /// If nothing was added since the last call, that is two fstat and the same snapshot; otherwise the
  /// MANIFEST and the open segment (at most 64 MiB) are read.
  public func snapshot() throws(VaultError) -> MachineSnapshot {
    try state.withLock { state throws(VaultError) in
      if let seen = state.seen, let snapshot = state.snapshot,
        try footprint(segment: seen.number) == seen
      {
        return snapshot
      }
      return try load(&state)
    }
  }

  /// Lets go of the newest snapshot; whoever else holds it keeps it.
  func letGo() { state.withLock { ($0.seen, $0.snapshot) = (nil, nil) } }

  private func footprint(segment: UInt32?) throws(VaultError) -> Footprint {
    try translated { () throws(IOError) -> Footprint in
      var footprint = Footprint(manifest: try system.status(manifestPath), number: segment)
      if let segment {
        footprint.segment = try system.status(files.path(LogFileName(.segment, segment)))
      }
      return footprint
    }
  }

  private func load(_ state: inout State) throws(VaultError) -> MachineSnapshot {
    for _ in 0..<100 {
      let manifest = try Manifest.read(manifestPath, identity: identity, on: system)
      let open = manifest.state.openSegment
      let lease = ReaderLease(
        directory: directory, generation: manifest.state.generation, isGlance: isGlancing,
        on: system)
      let seen = try footprint(segment: open?.number)
      // The lease counts only if nothing was retired before it was taken.
      guard seen.manifest.size == manifest.length + manifest.tail else { continue }
      var replay: SegmentReplay?
      if let open {
        replay = try self.replay(
          open, size: seen.segment?.size ?? 0, manifest.state.configuration)
      }
      try vouch(for: manifest, replay)
      let runs = try openRuns(manifest.state.runs, &state)
      let snapshot = MachineSnapshot(
        machine: self, manifest: manifest.state, replay: replay, runs: runs, lease: lease)
      (state.seen, state.snapshot) = (seen, snapshot)
      return snapshot
    }
    throw VaultError(
      .io, "The MANIFEST in '\(directory)' keeps changing while it is read. Try again.")
  }

  func replay(
    _ segment: ManifestState.Segment, size: UInt64, _ configuration: MachineConfiguration
  ) throws(VaultError) -> SegmentReplay {
    try place().replay(
      segment, size: size, disks: configuration.disks.map(\.number))
  }

  func vouch(for manifest: Manifest, _ replay: SegmentReplay?) throws(VaultError) {
    try place().vouch(for: manifest, replay)
  }

  /// Where its log lies; new files get these permissions.
  func place(_ permissions: Permissions = Permissions(group: nil)) -> LogPlace {
    LogPlace(identity: identity, files: files, cache: cache, permissions: permissions)
  }

  private func openRuns(_ sets: [RunSet], _ state: inout State) throws(VaultError) -> [FileRun] {
    var open: [LogFileName: FileRun] = [:]
    var runs: [FileRun] = []
    for set in sets {
      let run: FileRun
      if let known = state.runs[set.id], known.set == set {
        run = known
      } else {
        run = try FileRun(set, identity: identity, files: files, cache: cache)
      }
      open[set.id] = run
      runs.append(run)
    }
    state.runs = open
    return runs
  }
}

extension FileRun {
  convenience init(
    _ set: RunSet, identity: LogIdentity, files: LogFiles, cache: PageCache
  ) throws(VaultError) {
    var partitions: [RunFile] = []
    for partition in set.partitions {
      partitions.append(
        try RunFile(partition, identity: identity, files: files, cache: cache))
    }
    self.init(set, partitions: partitions)
  }
}
