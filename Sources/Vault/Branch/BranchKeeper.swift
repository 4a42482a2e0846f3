internal import Bytes
internal import Dispatch
internal import FileIO
internal import Synchronization

/// What is done beside the writes of a branch: it makes the next segment ready before it is needed, seals
/// those that are full, and merges runs.
///
/// Protocol: a segment is made (file, header, fdatasync, fsync of the directory) and entered in the MANIFEST
/// before a record is written to it. A full one gets its run and trailer behind its records, one fdatasync
/// for both, then enters the MANIFEST as sealed. Merging is as in `MachineWriter.mergeRuns`. A crash leaves
/// files that the MANIFEST does not know, which the next writer removes, or segments that are not sealed,
/// which it seals.
///
/// `@unchecked Sendable`: the MANIFEST and the runs are used on its queue only.
final class BranchKeeper: @unchecked Sendable {
  /// Whether it works on a thread of its own; else when it is told to, on the caller's.
  private let isBeside: Bool
  private let queue = DispatchQueue(label: "tidemark.branch", qos: .userInitiated)
  private let manifest: ManifestWriter
  private var runs: [FileRun]
  /// Full segments, the oldest first.
  private var full: [BranchSegment] = []
  private let ready: Mutex<BranchSegment?>
  private let end: Mutex<(length: UInt64, checksum: UInt32)>
  /// That of the branch: held for as long as anything may be written.
  private let lock: Mutex<FileLock?>
  /// Set once the branch is open, before anything is asked for.
  private weak var log: BranchLog?

  init(
    _ manifest: ManifestWriter, runs: [FileRun], ready: BranchSegment?, isBeside: Bool,
    lock: FileLock
  ) {
    (self.manifest, self.runs, self.isBeside) = (manifest, runs, isBeside)
    self.lock = Mutex(lock)
    self.ready = Mutex(ready)
    end = Mutex((manifest.manifest.length, manifest.manifest.checksum))
  }

  func attach(_ log: BranchLog) { self.log = log }

  /// Bytes of the MANIFEST that are durable, and their checksum.
  var manifestEnd: (length: UInt64, checksum: UInt32) { end.withLock { $0 } }

  /// The next segment; nil if it is not ready and nobody is to wait for it.
  func takeNext(waiting mustWait: Bool) throws(VaultError) -> BranchSegment? {
    if let next = ready.withLock({ $0.take() }) { return next }
    guard mustWait || !isBeside else { return nil }
    var failure: VaultError?
    queue.sync {
      do throws(VaultError) { try prepare() } catch { failure = error }
    }
    if let failure { throw failure }
    return ready.withLock { $0.take() }
  }

  /// Makes the next segment ready, seals what is full, and merges.
  func maintain(sealing segment: BranchSegment?) {
    let work = { @Sendable [self] in
      if let segment { full.append(segment) }
      run()
    }
    if isBeside { queue.async(execute: work) } else { queue.sync(execute: work) }
  }

  /// Waits until nothing is under way, and says in the MANIFEST up to where the log is durable.
  func vouch(for segment: UInt32, end: UInt64) throws(VaultError) {
    var failure: VaultError?
    queue.sync {
      do throws(VaultError) {
        try append([.segmentVouched(number: segment, end: end)])
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Waits until nothing is under way.
  func rest() { queue.sync {} }

  /// Gives the branch's lock back; nothing may be written any more.
  func release() { lock.withLock { $0 = nil } }

  // MARK: - On the queue

  /// What fails here is tried again later, or is met by the writes that need it: a segment that is not
  /// sealed is read all the same.
  private func run() {
    do throws(VaultError) {
      if isBeside { try prepare() }
      while let segment = full.first {
        try seal(segment)
        full.removeFirst()
      }
      try merge()
    } catch {}
  }

  private func append(_ entries: [ManifestEntry]) throws(VaultError) {
    try manifest.append(entries)
    end.withLock { $0 = (manifest.manifest.length, manifest.manifest.checksum) }
  }

  private func prepare() throws(VaultError) {
    guard let log, ready.withLock({ $0 == nil }) else { return }
    try log.place.checkRoom()
    var header = SegmentHeader(
      number: try log.place.nextFileNumber(manifest.manifest.state),
      firstSequence: SequenceNumber(rawValue: log.answered.load(ordering: .acquiring)).next,
      created: log.clock(), configuration: log.configuration)
    header.epoch = log.description.epoch
    let (file, entry) = try log.place.makeSegment(header)
    try translated { () throws(IOError) in try file.file.sync() }
    try log.place.syncNames()
    try append([entry])
    let segment = BranchSegment(header, file: file)
    ready.withLock { $0 = segment }
  }

  private func seal(_ segment: BranchSegment) throws(VaultError) {
    guard let log else { return }
    let last = segment.last
    let entries: [ManifestEntry]
    do throws(IOError) {
      entries = try log.place.seal(
        segment.file, segment.number, segment.index.entries, end: segment.end,
        first: segment.firstSequence, last: last.sequence, time: last.time,
        disks: log.description.disks)
      try segment.sync(upTo: segment.end)
    } catch {
      if error.operation == "sync" { log.endUnsynced(VaultError(error)) }
      throw VaultError(error)
    }
    try append(entries)
    for case .runAdded(let set) in entries { runs.append(try log.place.open(set)) }
    log.views.take(runs, sealed: segment, generation: manifest.manifest.state.generation)
  }

  private func merge() throws(VaultError) {
    guard let log else { return }
    while let choice = RunMerger.choice(
      manifest.manifest.state.runs, lowestTier: log.limits.lowestTier)
    {
      let state = manifest.manifest.state
      let sets = Array(state.runs[choice])
      let chosen = runs.filter { run in sets.contains { $0.id == run.set.id } }
      guard
        let merged = try RunMerger.merge(
          chosen, at: log.place, state, perFile: log.limits.runEntries, { false })
      else { return }
      try append([.runAdded(merged), .runsRetired(sets.map(\.id))])
      let open = try log.place.open(merged)
      runs = manifest.manifest.state.runs.compactMap { set in
        set.id == merged.id ? open : runs.first { $0.set.id == set.id }
      }
      log.views.take(runs, sealed: nil, generation: manifest.manifest.state.generation)
      try log.place.removeOrphans(manifest.manifest.state)
    }
  }
}

extension LogPlace {
  /// Writes the run of a segment and its trailer behind its records, and makes all of it durable.
  ///
  /// - Returns: what enters it in the MANIFEST as sealed.
  func seal(
    _ file: LogFile, _ number: UInt32, _ entries: [RunEntry], end: UInt64,
    first: SequenceNumber, last: SequenceNumber, time: Timestamp, disks: [PointDisk]
  ) throws(IOError) -> [ManifestEntry] {
    var manifest: [ManifestEntry] = [
      .segmentSealed(
        ManifestEntry.SealedSegment(
          number: number, recordsEnd: end, lastSequence: last, lastTime: time, disks: disks))
    ]
    if !entries.isEmpty {
      let page = UInt64(Format.indexPageSize)
      let base = (end + page - 1) / page * page
      let run = try write(
        MemoryRun(entries).entries, to: file.file, as: LogFileName(.segment, number), base: base
      ) { run in
        RunTrailer(
          run: run, recordsEnd: end, firstSequence: first.rawValue, lastSequence: last.rawValue)
      }
      if let set = RunSet([run]) { manifest.append(.runAdded(set)) }
    }
    try file.file.sync()
    return manifest
  }
}
