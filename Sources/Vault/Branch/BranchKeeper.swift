internal import Bytes
internal import Dispatch
internal import FileIO
internal import Synchronization

/// When a branch's keeper works.
enum KeeperPace: Sendable {
  /// On a thread of its own.
  case beside
  /// Between two writes, on the writer's thread; for tests.
  case within
  /// When it is told to by `step`, and where a writer can't go on without it; for tests.
  case stepped
}

/// What is done beside the writes of a branch: it makes the next segment ready before it is needed, seals
/// those that are full, and merges runs.
///
/// Protocol: a segment is made (file, header, fdatasync, fsync of the directory) and entered in the MANIFEST
/// before a record is written to it. A full one gets its run and trailer behind its records, one fdatasync
/// for both, then enters the MANIFEST as sealed. Merging is as in `MachineWriter.mergeRuns`. A crash leaves
/// files that the MANIFEST does not know, which the next writer removes, or segments that are not sealed,
/// which it seals. Once an fdatasync of the branch failed, by whomever it was asked for, nothing is entered
/// in the MANIFEST any more: the next start finds out what is there.
///
/// `@unchecked Sendable`: the MANIFEST, the runs and the lists of segments are used on its queue only.
final class BranchKeeper: @unchecked Sendable {
  private let pace: KeeperPace
  private let queue = DispatchQueue(label: "tidemark.branch", qos: .userInitiated)
  private let manifest: ManifestWriter
  private var runs: [FileRun]
  /// Full segments, the oldest first.
  private var full: [BranchSegment] = []
  /// Segments that the MANIFEST calls sealed and whose runs are not open yet: they are read as before.
  private var sealed: [BranchSegment] = []
  /// Runs with damaged pages, which can't be merged, nor what is older than they.
  private var barred: Set<LogFileName> = []
  private let ready: Mutex<BranchSegment?>
  /// A writer that can't go on without the next segment, and what came of it.
  private let demand = Mutex<Demand?>(nil)
  private let end: Mutex<(length: UInt64, checksum: UInt32)>
  private let fault = Mutex<VaultError?>(nil)
  /// Whether merges are put off, because somebody waits for the queue.
  private let isHurried = Atomic(false)
  /// That of the branch: held for as long as anything may be written.
  private let lock: Mutex<FileLock?>
  /// Set once the branch is open, before anything is asked for.
  private weak var log: BranchLog?

  private final class Demand: Sendable {
    let isMet = DispatchSemaphore(value: 0)
    let failure = Mutex<VaultError?>(nil)
  }

  init(
    _ manifest: ManifestWriter, runs: [FileRun], ready: BranchSegment?, pace: KeeperPace,
    lock: FileLock
  ) {
    (self.manifest, self.runs, self.pace) = (manifest, runs, pace)
    self.lock = Mutex(lock)
    self.ready = Mutex(ready)
    end = Mutex((manifest.manifest.length, manifest.manifest.checksum))
  }

  func attach(_ log: BranchLog) { self.log = log }

  /// Bytes of the MANIFEST that are durable, and their checksum.
  var manifestEnd: (length: UInt64, checksum: UInt32) { end.withLock { $0 } }

  /// Why it could not do all of its work the last time; nil if it could.
  var trouble: VaultError? { fault.withLock { $0 } }

  /// The next segment; nil if it is not ready and nobody is to wait for it.
  ///
  /// Who waits does so for the segment alone, and not for a merge that is under way.
  func takeNext(waiting mustWait: Bool) throws(VaultError) -> BranchSegment? {
    if let next = ready.withLock({ $0.take() }) { return next }
    guard mustWait || pace == .within else { return nil }
    let mine = Demand()
    demand.withLock { $0 = mine }
    if pace == .beside {
      queue.async { [self] in meetDemand() }
      mine.isMet.wait()
    } else {
      queue.sync { meetDemand() }
    }
    if let failure = mine.failure.withLock({ $0 }) { throw failure }
    return ready.withLock { $0.take() }
  }

  /// Takes a segment back that was not written to.
  func giveBack(_ next: BranchSegment) { ready.withLock { $0 = next } }

  /// Makes the next segment ready, seals what is full, and merges.
  func maintain(sealing segment: BranchSegment?) {
    let work = { @Sendable [self] in
      if let segment { full.append(segment) }
      if pace != .stepped { run() }
    }
    if pace == .beside { queue.async(execute: work) } else { queue.sync(execute: work) }
  }

  /// Does what there is to do, now.
  func step() { queue.sync { run() } }

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

  /// Ends a merge that is under way, and begins none until `goOnMerging`.
  func stopMerging() { isHurried.store(true, ordering: .relaxed) }

  func goOnMerging() { isHurried.store(false, ordering: .relaxed) }

  /// Enters in the MANIFEST that the branch is its plain files from number `last` on; durable, as is the copy of
  /// the MANIFEST's beginning, by which a lost one is made anew. Nobody may write meanwhile.
  func flatten(at last: SequenceNumber) throws(VaultError) {
    var failure: VaultError?
    queue.sync {
      do throws(VaultError) {
        guard let log else { throw VaultError(.io, "The branch is not open any more.") }
        try log.checkIsSynced()
        try append([.flattened(last)])
        (full, sealed, runs) = ([], [], [])
        ready.withLock { $0 = nil }
        try log.place.tellFlattened(manifest.manifest.state)
      } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Removes the log of a branch that was flattened; false if somebody still reads it, or it was not.
  func removeFlattenedLog() throws(VaultError) -> Bool {
    let result = queue.sync { () -> Result<Bool, VaultError> in
      Result { () throws(VaultError) in
        try log?.place.removeFlattenedLog(manifest.manifest.state) ?? false
      }
    }
    return try result.get()
  }

  /// Waits until nothing is under way.
  func rest() { queue.sync {} }

  /// Whether the branch was removed from under it.
  var isRemoved: Bool { lock.withLock { $0?.isRemoved ?? false } }

  /// Gives the branch's lock back; nothing may be written any more.
  func release() { lock.withLock { $0 = nil } }

  // MARK: - On the queue

  /// What fails here is kept as `trouble` and tried again at the next occasion, or is met by the writes that
  /// need it: a segment that is not sealed is read all the same.
  private func run() {
    guard manifest.manifest.state.flattened == nil else { return }
    do throws(VaultError) {
      try keepUp()
      try merge()
      fault.withLock { $0 = barred.isEmpty ? nil : $0 }
    } catch { note(error) }
  }

  private func note(_ error: VaultError) { fault.withLock { $0 = error } }

  /// What writers may come to wait for.
  private func keepUp() throws(VaultError) {
    if pace != .within { try prepare() }
    while let segment = full.first { try seal(segment) }
    try readSealed()
  }

  private func meetDemand() {
    guard let asked = demand.withLock({ $0.take() }) else { return }
    do throws(VaultError) { try prepare() } catch { asked.failure.withLock { $0 = error } }
    asked.isMet.signal()
  }

  private func append(_ entries: [ManifestEntry]) throws(VaultError) {
    do throws(VaultError) { try manifest.append(entries) } catch {
      // What of it the disk has is known once the branch is opened again.
      if manifest.isBroken { log?.endUnsynced(error) }
      throw error
    }
    end.withLock { $0 = (manifest.manifest.length, manifest.manifest.checksum) }
  }

  private func prepare() throws(VaultError) {
    guard let log, ready.withLock({ $0 == nil }) else { return }
    try log.checkIsSynced()
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
    try log.checkIsSynced()
    let last = segment.last
    let entries: [ManifestEntry]
    do throws(IOError) {
      try segment.cutPrepared()
      entries = try log.place.seal(
        segment.file, segment.number, segment.index.entries, end: segment.end,
        first: segment.firstSequence, last: last.sequence, time: last.time,
        disks: log.description.disks
      ) { () throws(IOError) in try segment.syncAll() }
    } catch {
      if error.operation == "sync" { log.endUnsynced(VaultError(error)) }
      throw VaultError(error)
    }
    // Of an older segment a flush may have been told that it is lost.
    try log.checkIsSynced()
    try append(entries)
    full.removeFirst()
    sealed.append(segment)
  }

  /// Opens the runs that are not open yet, and reads what was sealed by them.
  private func readSealed() throws(VaultError) {
    guard !sealed.isEmpty else { return }
    try read(manifest.manifest.state.runs, opened: nil)
  }

  /// Lets readers go by these runs, of which `opened` is open already.
  private func read(_ sets: [RunSet], opened: FileRun?) throws(VaultError) {
    guard let log else { return }
    var found: [FileRun] = []
    for set in sets {
      let known = opened?.set.id == set.id ? opened : runs.first { $0.set.id == set.id }
      if let known { found.append(known) } else { found.append(try log.place.open(set)) }
    }
    runs = found
    log.views.take(runs, sealed: sealed, generation: manifest.manifest.state.generation)
    sealed = []
  }

  // MARK: - Merging

  private func merge() throws(VaultError) {
    guard let log else { return }
    while !isHurried.load(ordering: .relaxed), let chosen = nextMerge(log.limits) {
      let merged: RunSet?
      var failure: VaultError?
      do throws(VaultError) {
        merged = try RunMerger.merge(
          chosen, at: log.place, manifest.manifest.state, perFile: log.limits.runEntries
        ) {
          failure = keepUpMeanwhile()
          return failure != nil || isHurried.load(ordering: .relaxed)
        }
      } catch {
        if error.code == .damaged { bar(chosen) }
        throw failure ?? error
      }
      guard let merged else { return }
      let open = try log.place.open(merged)
      try log.checkIsSynced()
      try append([.runAdded(merged), .runsRetired(chosen.map(\.set.id))])
      try read(manifest.manifest.state.runs, opened: open)
      try log.place.removeOrphans(manifest.manifest.state)
    }
  }

  /// The runs to merge next, all of them open; nil if all is well.
  private func nextMerge(_ limits: LogLimits) -> [FileRun]? {
    let sets = manifest.manifest.state.runs
    let first = sets.lastIndex { barred.contains($0.id) }.map { $0 + 1 } ?? 0
    let free = Array(sets[first...])
    guard let choice = RunMerger.choice(free, lowestTier: limits.lowestTier) else { return nil }
    let names = Set(free[choice].map(\.id))
    let chosen = runs.filter { names.contains($0.set.id) }
    return chosen.count == names.count ? chosen : nil
  }

  /// Does what writers may wait for between the steps of a merge, which may take long; gives why it is to end.
  private func keepUpMeanwhile() -> VaultError? {
    meetDemand()
    do throws(VaultError) { try keepUp() } catch { return error }
    return nil
  }

  /// Merges without those that have damaged pages from now on.
  private func bar(_ chosen: [FileRun]) {
    for run in chosen {
      let isWhole = try? run.partitions.allSatisfy { try $0.damagedPages().isEmpty }
      if isWhole != true { barred.insert(run.set.id) }
    }
  }
}

extension LogPlace {
  /// Writes the run of a segment and its trailer behind its records, and makes all of it durable by `sync`.
  ///
  /// - Returns: what enters it in the MANIFEST as sealed.
  func seal(
    _ file: LogFile, _ number: UInt32, _ entries: [RunEntry], end: UInt64,
    first: SequenceNumber, last: SequenceNumber, time: Timestamp, disks: [PointDisk],
    sync: () throws(IOError) -> Void
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
    try sync()
    return manifest
  }
}
