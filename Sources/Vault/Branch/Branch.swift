public import Bytes
internal import FileIO
internal import Synchronization

/// What a branch has stored.
public struct BranchUsage: Hashable, Sendable {
  /// Bytes of its records. A page that is written again takes room again.
  public let storedBytes: UInt64
  /// Writes it has stored, each block of one counted.
  public let records: UInt64
  /// Bytes it may store; nil for as many as the vault has room for.
  public let budget: UInt64?
  /// Why its log could not be kept in order beside the writes the last time; nil if it could. It is tried again,
  /// and nothing that was written is lost by it; but reads get slower, and the next start takes longer.
  public let trouble: String?

  /// Whether 80 % of the budget is used.
  public var isNearBudget: Bool {
    guard let budget else { return false }
    return storedBytes >= budget / 5 * 4
  }
}

/// An open branch: the disks of a machine as they were at a cut, to be written to. One process has it open.
///
/// Protocol: a write is answered once pwrite(2) of its record has returned, so the end of this process loses
/// nothing that was answered. It is durable once `flush` has returned: a sync record behind it, and one
/// fdatasync of each segment that is not durable yet, the oldest first. A loss of power takes what was not
/// flushed, from some write on: what is left is what the disks were at one moment. After an fdatasync that
/// failed nothing more is taken until the branch is opened again.
///
/// Concurrent writes are appended by one of their threads in one piece, concurrent flushes share one
/// fdatasync, and reads wait for neither. Safe from any thread; calls block.
public final class Branch: Sendable {
  /// What it is.
  public let description: BranchDescription
  /// Its disks, by number.
  public let disks: [BranchDisk]

  let log: BranchLog
  let keeper: BranchKeeper
  let queue: BranchQueue
  let flusher: BranchFlush

  init(_ log: BranchLog, _ keeper: BranchKeeper, position: LogPosition) {
    description = log.description
    (self.log, self.keeper) = (log, keeper)
    keeper.attach(log)
    let queue = BranchQueue(BranchWriter(log, keeper, position: position))
    let flusher = BranchFlush(durable: position.sequence.rawValue)
    (self.queue, self.flusher) = (queue, flusher)
    disks = log.views.disks.map { BranchDisk($0, log, queue, flusher) }
  }

  /// The disk of that number.
  ///
  /// - Throws: `.unknownDisk`.
  public func disk(_ number: DiskNumber) throws(VaultError) -> BranchDisk {
    guard let disk = disks.first(where: { $0.number == number }) else {
      throw VaultError(.unknownDisk, "Branch '\(description.name)' has no disk \(number).")
    }
    return disk
  }

  /// Makes everything durable that was written to any disk before the call.
  public func flush() throws(VaultError) { try queue.flush(log, flusher) }

  /// Whether it takes nothing more until it is opened again, as after an fdatasync that failed.
  public var hasEnded: Bool { log.hasEnded }

  /// Whether its files were removed while it is open, so that nothing of what is written will be found again.
  /// A branch that is removed by `Vault.removeBranch` never is: that refuses while one is open.
  public var isRemoved: Bool { keeper.isRemoved }

  /// What it has stored so far. Once it was flattened that is what its files take, without a budget.
  public var usage: BranchUsage {
    let numbers = log.answered.load(ordering: .relaxed) - description.start.rawValue
    if let flat = log.views.flat {
      return BranchUsage(
        storedBytes: flat.allocated, records: numbers + flat.unsyncedWrites, budget: nil,
        trouble: nil)
    }
    return BranchUsage(
      storedBytes: log.storedBytes.load(ordering: .relaxed),
      records: numbers, budget: description.budget, trouble: keeper.trouble?.message)
  }

  /// All disks as they are at this moment, between two writes. They stay so while more is written.
  ///
  /// - Throws: `.invalid` once it was flattened: plain files do not stay as they are.
  public func cut() throws(VaultError) -> BranchCut {
    var frozen: FrozenLayers?
    var last = SequenceNumber.zero
    try queue.perform(
      .other { [log] writer throws(VaultError) in
        last = writer.lastSequence
        frozen = log.views.freeze(at: last)
      })
    guard let frozen else {
      throw VaultError(
        .invalid, "The disks of branch '\(description.name)' are plain files, which have no cuts.")
    }
    return BranchCut(description, last, layers: frozen.layers())
  }

  /// The bytes of a disk that were written or zeroed since the branch was made, in order and apart from each
  /// other; whole pages. Told from the index, without reading the disk.
  public func changedRanges(_ disk: DiskNumber) throws(VaultError) -> [Range<UInt64>] {
    try cut().changedRanges(disk)
  }

  /// Ends the use of the branch: everything is made durable, and the lock is given back. What is written
  /// afterwards is refused; reads go on as long as this or a disk of it is held. Without a call of this the
  /// lock goes with them.
  public func close() throws(VaultError) {
    try queue.flush(log, flusher)
    var ends: [(segment: BranchSegment, end: UInt64)] = []
    try queue.perform(
      .other { [log, description] writer throws(VaultError) in
        try log.syncFlat()
        if log.views.flat == nil { ends = try writer.addSync(flags: SyncPayload.closing) }
        log.end(VaultError(.invalid, "Branch '\(description.name)' was closed."))
      })
    try queue.sync(ends, log)
    keeper.rest()
    if let (segment, end) = ends.last { try keeper.vouch(for: segment.number, end: end) }
    keeper.release()
  }
}

extension BranchQueue {
  /// Makes everything durable that was answered before the call.
  func flush(_ log: BranchLog, _ flusher: BranchFlush) throws(VaultError) {
    guard log.views.flat == nil else { return try log.syncFlat() }
    let target = log.answered.load(ordering: .acquiring)
    try flusher.flush(upTo: target) { () throws(VaultError) in
      try log.checkIsOpen()
      var ends: [(segment: BranchSegment, end: UInt64)] = []
      var reached: UInt64 = 0
      try perform(
        .other { writer throws(VaultError) in
          // All that is in the log was made durable before it was given up.
          if log.views.flat == nil { ends = try writer.addSync() }
          reached = writer.lastSequence.rawValue
        })
      try sync(ends, log)
      // Whoever else asked for an fdatasync may have been told of bytes that are lost.
      try log.checkIsSynced()
      return reached
    }
  }

  /// The oldest first, so that what is durable is always a beginning of the log.
  func sync(
    _ ends: [(segment: BranchSegment, end: UInt64)], _ log: BranchLog
  ) throws(VaultError) {
    do throws(IOError) {
      for (segment, end) in ends { try segment.sync(upTo: end) }
    } catch {
      log.endUnsynced(VaultError(error))
      throw VaultError(error)
    }
  }
}
