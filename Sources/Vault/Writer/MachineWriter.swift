public import Bytes
internal import Codecs
public import FileIO

/// Adds to the log of one machine. Needs the vault's lock; for one thread at a time; every call blocks.
///
/// Durability: records are added to the open segment in memory and written on in group commits. A
/// commit ends with a sync record and one fdatasync of one file; when `commit` or `mark` has returned,
/// everything before is durable. A crash leaves the log as some commit left it: what follows the last
/// sync whose records are whole is cut off by the next writer and ignored by readers. A failed
/// fdatasync is never repeated: the segment is closed at what was durable before, and the records in
/// question go to a new one. After any other failure the writer refuses to go on; a new one starts from
/// what is on disk.
public final class MachineWriter {
  let machine: Machine
  let vault: Vault
  let lock: VaultLock
  let manifest: ManifestWriter
  var segment: OpenSegment?
  let stream: RecordStream
  lazy var ingest = IngestCheck()
  /// An incarnation that a sync tells of and the MANIFEST does not know yet.
  var announced: Branching?
  var runs: [LogFileName: FileRun] = [:]
  /// The sizes the newest sync told.
  var sizes: [PointDisk] = []
  /// Whether the newest record is a sync that closes the log.
  var isClosed = false
  /// Set while a write is under way; stays set if it failed.
  var isBroken = false
  private let clock: @Sendable () -> Timestamp
  let limits: LogLimits
  /// Where its files lie.
  var place: LogPlace { machine.place(vault.permissions) }

  /// The recovery points, the oldest first.
  public internal(set) var points: [RecoveryPoint] = []
  /// The newest of all marks, also if its point was removed.
  var newestMark: SequenceNumber = .zero
  /// Bytes added to the log by this writer.
  public internal(set) var storedBytes: UInt64 = 0

  /// The moment that the source's bytes are of, while they are added; nil for the moment they are.
  public var recordTime: Timestamp? {
    get { stream.recordTime }
    set { stream.recordTime = newValue }
  }

  /// Opens a machine's log for writing, and puts in order what a crash left.
  ///
  /// - Throws: `.damaged` if the MANIFEST or the log contradict each other, or the failure of a system
  ///   call.
  public convenience init(
    machine: Machine, in vault: Vault, lock: VaultLock,
    clock: @escaping @Sendable () -> Timestamp = { Timestamp.now() }
  ) throws(VaultError) {
    try self.init(machine: machine, in: vault, lock: lock, clock: clock, limits: LogLimits())
  }

  /// Opens a log with other limits than usual; for tests.
  init(
    machine: Machine, in vault: Vault, lock: VaultLock,
    clock: @escaping @Sendable () -> Timestamp, limits: LogLimits
  ) throws(VaultError) {
    (self.machine, self.vault, self.lock, self.clock) = (machine, vault, lock, clock)
    self.limits = limits
    manifest = try ManifestWriter(
      machine.manifestPath, identity: machine.identity, on: machine.system)
    (points, newestMark) = (manifest.manifest.state.points, manifest.manifest.state.newestPoint)
    stream = RecordStream(
      machine.identity, codec: vault.description.codec, position: .start, clock: clock)
    if let sealed = manifest.manifest.state.segments.last(where: { $0.sealed != nil })?.sealed {
      stream.position = LogPosition(
        sequence: sealed.lastSequence, time: sealed.lastTime,
        hint: place.lastHint(of: manifest.manifest.state.segments.compactMap(\.sealed)))
      sizes = sealed.disks
    }
    // Of an epoch that a rebuild knows from a branch alone, the log may not tell.
    for branching in branchings where branching.first > lastSequence {
      stream.position.sequence = branching.first
    }
    try recover()
  }

  /// The newest number given out.
  public var lastSequence: SequenceNumber { stream.position.sequence }
  /// The newest record's time.
  public var lastTime: Timestamp { stream.position.time }

  /// The machine as the operator described it.
  public var configuration: MachineConfiguration { manifest.manifest.state.configuration }

  /// Notes what runs on the machine. Durable when it returns.
  ///
  /// Only the MANIFEST tells of it until the next segment begins: one that is made anew from the segments
  /// before that tells what was.
  public func setOperatingSystem(_ system: OperatingSystem) throws(VaultError) {
    var changed = configuration
    changed.operatingSystem = system
    let entry = ManifestEntry.configuration(changed)
    try exclusively { () throws(VaultError) in try manifest.append([entry]) }
  }

  /// The capture cycle that made the newest recovery point; nil if there is none.
  public var cycle: UInt64? { points.last?.cycle }

  /// The size a disk had at the newest recovery point that holds it; nil if none does.
  public func lastSize(of disk: DiskNumber) -> UInt64? { points.last?.size(of: disk) }

  /// Whether something was stored since the newest recovery point: by a cycle that broke off, or one
  /// that is under way.
  public var hasUnmarkedWrites: Bool { lastSequence > lastSettled }

  // MARK: - Adding

  /// Adds pages of one block.
  ///
  /// `bytes` is the whole block of 64 KiB, zeros behind the disk's end; bit n of `pages` says that page
  /// n is to be stored. Pages of zeros take no room. Durable after `commit`, which is done by itself
  /// every 16 MiB.
  public func write(
    disk: DiskNumber, block: UInt64, bytes: UnsafeRawBufferPointer, pages: UInt16
  ) throws(VaultError) {
    try checkIsNotFailedOver()
    try drainIfFull()
    try stream.write(disk: disk, block: block, bytes: bytes, pages: pages)
    try drainIfFull()
  }

  /// Says that whole blocks became zeros, any number of them in one record.
  public func zero(
    disk: DiskNumber, firstBlock: UInt64, count: UInt64
  ) throws(VaultError) {
    try checkIsNotFailedOver()
    try drainIfFull()
    try stream.zero(disk: disk, firstBlock: firstBlock, count: count)
    try drainIfFull()
  }

  /// Before and after a record is added: a failure leaves the batch as full as it was.
  private func drainIfFull() throws(VaultError) {
    if stream.isFull { try drain() }
  }

  /// Moves what waits to be encoded to the open segment, and commits when enough has gathered.
  func drain() throws(VaultError) {
    guard !stream.isEmpty else { return }
    let segment = try openSegment()
    try stream.drainRecords { header, record throws(VaultError) in
      segment.add(header, record)
      storedBytes += UInt64(record.count)
    }
    isClosed = false
    try commitIfFull(segment)
  }

  func commitIfFull(_ segment: OpenSegment) throws(VaultError) {
    guard segment.unacknowledged.count >= limits.commitSize || segment.isFull(limits)
    else { return }
    try endCommit(flags: 0)
  }

  // MARK: - Committing

  /// Makes everything added so far durable.
  public func commit() throws(VaultError) {
    try checkIsWhole()
    try drain()
    guard let segment, !isClosed, !segment.unacknowledged.isEmpty else { return }
    try endCommit(flags: 0)
  }

  /// Makes a recovery point of everything added so far. Durable when it returns.
  public func mark(_ new: NewPoint) throws(VaultError) -> RecoveryPoint {
    if let label = new.label, let objection = PointSelector.objection(toLabel: label) {
      throw VaultError(.invalid, "A recovery point can't be labelled '\(label)': \(objection).")
    }
    try checkIsNotFailedOver()
    try drain()
    let segment = try openSegment()
    stream.position.passMark(at: new.time)
    let point = new.point(sequence: lastSequence, time: lastTime, among: points)
    sizes = point.disks
    let record = PayloadRecord.encode(
      .mark, sequence: lastSequence, time: lastTime, payload: point.encode(),
      hint: stream.position.hint, identity: machine.identity)
    add(record, to: segment)
    points.append(point)
    newestMark = point.sequence
    try endCommit(flags: SyncPayload.endsAtCut)
    return point
  }

  /// Adds an encoded record.
  func add(_ record: [UInt8], to segment: OpenSegment) {
    record.withUnsafeBytes { bytes in
      guard let header = RecordHeader(bytes, identity: machine.identity) else {
        fatalError("the writer made a record it can't read")
      }
      let payload =
        header.type == .mark
        ? PayloadRecord.payload(of: header, in: bytes, identity: machine.identity) : nil
      let point = payload.flatMap {
        RecoveryPoint(sequence: header.sequence, time: header.time, payload: $0.bytes)
      }
      segment.add(header, bytes, point: point)
    }
    storedBytes += UInt64(record.count)
    isClosed = false
  }

  /// Ends a group commit: a sync record, one fdatasync, and sealing where the segment is full.
  func endCommit(flags: UInt32) throws(VaultError) {
    guard let segment else { return }
    try exclusively { () throws(VaultError) in
      addSync(flags: flags, to: segment)
      do throws(IOError) {
        try segment.sync()
      } catch {
        // Only a failed fdatasync leaves records whose fate is unknown; a failed write is just told.
        guard error.operation == "sync" else { throw VaultError(error) }
        try closeAsItIs(segment, moving: segment.unacknowledged, flags: flags)
      }
      if let open = self.segment, open.isFull(limits) { try seal(open) }
    }
  }

  func addSync(flags: UInt32, to segment: OpenSegment) {
    var sync = SyncPayload(
      flags: flags, lastSequence: lastSequence, durableOffset: segment.durable,
      manifestLength: manifest.manifest.length, manifestChecksum: manifest.manifest.checksum,
      serviceTime: clock(), disks: sizes)
    sync.tell(branchings)
    let record = PayloadRecord.encode(
      .sync, sequence: lastSequence, time: lastTime, payload: sync.encode(),
      hint: stream.position.hint, identity: machine.identity)
    add(record, to: segment)
  }

  /// Ends the use of the log: what was added becomes durable, and one more sync and the MANIFEST vouch
  /// for it.
  public func close() throws(VaultError) {
    try drain()
    guard segment != nil, !isClosed else { return }
    if segment?.unacknowledged.isEmpty == false { try endCommit(flags: 0) }
    guard segment != nil else { return }
    try endCommit(flags: SyncPayload.closing)
    isClosed = true
    // The records alone can't tell that the last of them are gone.
    guard let segment else { return }
    try exclusively { () throws(VaultError) in
      try manifest.append([.segmentVouched(number: segment.number, end: segment.durable)])
    }
  }

  /// Runs a step that must not be half done: after a failure the writer can't be used any more.
  func exclusively(_ body: () throws(VaultError) -> Void) throws(VaultError) {
    try checkIsWhole()
    isBroken = true
    try body()
    isBroken = false
  }

  private func checkIsWhole() throws(VaultError) {
    guard isBroken || manifest.isBroken else { return }
    throw VaultError(
      .io, "The log of '\(configuration.name)' could not be written before. Start again.")
  }

  // MARK: - Reading back

  /// A disk as everything stored so far leaves it, also by a cycle that was interrupted.
  public func head(_ disk: DiskNumber, size: UInt64) throws(VaultError) -> DiskReader {
    try drain()
    var newestFirst: [Run] = []
    if let segment {
      try translated { () throws(IOError) in try segment.write() }
      if !segment.entries.isEmpty { newestFirst.append(.memory(MemoryRun(segment.entries))) }
    }
    for set in manifest.manifest.state.runs.reversed() { newestFirst.append(.file(try run(set))) }
    let timeline = Timeline(cut: lastSequence, branchings: branchings)
    return DiskReader(
      number: disk, size: size, runs: newestFirst, timeline: timeline,
      identity: machine.identity, files: machine.files, lease: nil)
  }

  func run(_ set: RunSet) throws(VaultError) -> FileRun {
    if let known = runs[set.id] { return known }
    let run = try place.open(set)
    runs[set.id] = run
    return run
  }
}
