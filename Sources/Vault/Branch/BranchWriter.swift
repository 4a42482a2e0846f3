internal import Bytes
internal import Codecs
internal import FileIO
internal import Synchronization

/// Turns writes into records of a branch's log, in the order they come.
///
/// A record counts once pwrite(2) has returned: only then is it answered and read. Where that fails, the
/// segment is cut back to its end before anything else is added, so that no part of what failed can come
/// back between later records.
///
/// `@unchecked Sendable`: only the thread that leads `BranchQueue` calls it.
final class BranchWriter: @unchecked Sendable {
  private static let bufferSize = 1 << 20
  /// So often, in bytes, it is asked whether the vault has room.
  static let roomStep: UInt64 = 4 << 20

  private let log: BranchLog
  private let keeper: BranchKeeper
  private let encoder = BlockRecordEncoder()
  private let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: bufferSize + Format.largestBlockRecord, alignment: 64)
  let page = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Layout.pageSize, alignment: 64)

  /// The segment that takes records.
  private var segment: BranchSegment?
  /// Segments before it that need not be durable yet, the oldest first.
  private var older: [BranchSegment] = []
  /// Where the log goes on behind what is encoded, and behind what is in the file.
  private var position: LogPosition
  private var settled: LogPosition
  private var staged: [RecordHeader] = []
  private var filled = 0
  /// Whose records are staged.
  private var pending: [BranchRequest] = []
  private var now: Timestamp
  private var untilRoomCheck: UInt64 = 0

  init(_ log: BranchLog, _ keeper: BranchKeeper, position: LogPosition) {
    (self.log, self.keeper, self.position, settled) = (log, keeper, position, position)
    now = position.time
  }

  deinit {
    buffer.deallocate()
    page.deallocate()
  }

  /// Does what is asked for, in order, and tells each request whether it failed.
  func serve(_ group: [BranchRequest]) {
    now = log.clock()
    for request in group {
      pending.append(request)
      do throws(VaultError) { try serve(request) } catch { request.failure = error }
    }
    // Where it fails, it has told everyone.
    do throws(VaultError) { try settle() } catch {}
    pending.removeAll(keepingCapacity: true)
  }

  private func serve(_ request: BranchRequest) throws(VaultError) {
    switch request.work {
    case .write(let disk, let bytes, let offset):
      // Whoever came before the branch was flattened and is served behind it.
      if let file = disk.flat { return try log.write(bytes, to: file, at: offset) }
      try admit(offset..<offset + UInt64(bytes.count))
      try write(disk, bytes, at: offset)
    case .zero(let disk, let range):
      if let file = disk.flat { return try log.zero(range, of: file) }
      try admit(range.lowerBound..<min(range.upperBound, range.lowerBound + 2))
      try zero(disk, range)
    case .other(let body):
      try settle()
      try body(self)
    }
  }

  /// Refuses what might pass the budget, or what the vault has no room for.
  private func admit(_ range: Range<UInt64>) throws(VaultError) {
    try log.checkIsOpen()
    let stored = log.storedBytes.load(ordering: .relaxed) + UInt64(filled)
    let count = range.upperBound - range.lowerBound
    let blocks = count / UInt64(Layout.blockSize) + 2
    let need = count + blocks * 256 + 2 * UInt64(Layout.pageSize)
    if let budget = log.description.budget, stored + need > budget {
      throw VaultError(
        .overBudget,
        "Branch '\(log.description.name)' has stored \(stored) of the \(budget) bytes it may, and takes "
          + "no more. Clean it up, or start another with a larger budget.")
    }
    guard stored >= untilRoomCheck else { return }
    try log.place.checkRoom()
    untilRoomCheck = stored + Self.roomStep
  }

  // MARK: - Staging

  /// Encodes pages of one block; `bytes` holds them from page `first` on.
  func stage(
    _ disk: BranchView, block: UInt64, pages: UInt16, _ bytes: UnsafeRawBufferPointer,
    from first: Int
  ) throws(VaultError) {
    var header = try next(.data, disk, block: block, count: 1)
    header.dataMask = pages
    let output = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
    header = encoder.encode(
      header, content: bytes, from: first, identity: log.place.identity, into: output)
    took(header)
  }

  /// Says that pages of one block are zeros.
  func stage(_ disk: BranchView, block: UInt64, zeros pages: UInt16) throws(VaultError) {
    var header = try next(.data, disk, block: block, count: 1)
    header.zeroMask = pages
    took(bare: header)
  }

  /// Says that whole blocks are zeros.
  func stage(_ disk: BranchView, zeroed blocks: Range<UInt64>) throws(VaultError) {
    took(
      bare: try next(.zero, disk, block: blocks.lowerBound, count: UInt64(blocks.count)))
  }

  private func next(
    _ type: RecordType, _ disk: BranchView, block: UInt64, count: UInt64
  ) throws(VaultError) -> RecordHeader {
    if filled >= Self.bufferSize { try settle() }
    var header = RecordHeader(
      type: type, sequence: position.sequence.next, time: max(position.time, now),
      length: UInt32(Format.recordHeaderSize))
    (header.disk, header.block, header.blockCount) = (UInt32(disk.number), block, count)
    header.hint = position.hint
    return header
  }

  private func took(bare header: RecordHeader) {
    header.encode(
      into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]),
      identity: log.place.identity)
    took(header)
  }

  private func took(_ header: RecordHeader) {
    position.pass(header)
    staged.append(header)
    filled += Int(header.length)
  }

  // MARK: - Writing

  /// Whether nothing waits to be written.
  var isSettled: Bool { filled == 0 }

  /// Writes what is staged; from then on it is read. A failure is that of all whose records were staged.
  func settle() throws(VaultError) {
    guard filled > 0 else { return }
    do throws(VaultError) {
      let segment = try openSegment()
      try put(UnsafeRawBufferPointer(rebasing: buffer[..<filled]), to: segment)
      segment.add(staged, bytes: filled)
      log.storedBytes.wrappingAdd(UInt64(filled), ordering: .relaxed)
      settled = position
      log.answered.store(position.sequence.rawValue, ordering: .releasing)
      forgetStaged()
      pending.removeFirst(max(1, pending.count) - 1)
    } catch {
      position = settled
      forgetStaged()
      for request in pending { request.failure = request.failure ?? error }
      throw error
    }
  }

  private func forgetStaged() {
    filled = 0
    staged.removeAll(keepingCapacity: true)
  }

  private func put(
    _ bytes: UnsafeRawBufferPointer, to segment: BranchSegment
  ) throws(VaultError) {
    do throws(IOError) {
      try segment.put(bytes)
    } catch {
      try cutBack(segment)
      throw VaultError(error)
    }
  }

  private func cutBack(_ segment: BranchSegment) throws(VaultError) {
    do throws(IOError) {
      try segment.cut()
      // The oldest first, as a flush does: what is known to be durable is a beginning of the log.
      for other in older { try other.sync(upTo: other.end) }
      try segment.syncAll()
    } catch {
      log.endUnsynced(VaultError(error))
      throw VaultError(error)
    }
  }

  /// The segment to add to: the next one where this is full and the next one is ready, or has to be.
  private func openSegment() throws(VaultError) -> BranchSegment {
    if let segment {
      guard segment.isFull(log.limits) else { return segment }
      let mustWait = segment.isFull(log.limits, times: 2)
      guard let next = try keeper.takeNext(waiting: mustWait) else { return segment }
      // So that the last record of a sealed segment tells where the log went on from.
      do throws(VaultError) { try add(flags: 0, to: segment) } catch {
        keeper.giveBack(next)
        throw error
      }
      older.append(segment)
      return begin(next)
    }
    guard let next = try keeper.takeNext(waiting: true) else {
      throw VaultError(.io, "Branch '\(log.description.name)' has no segment to write to.")
    }
    return begin(next)
  }

  private func begin(_ next: BranchSegment) -> BranchSegment {
    log.views.begin(next)
    let full = segment
    segment = next
    keeper.maintain(sealing: full)
    return next
  }

  private func add(flags: UInt32, to segment: BranchSegment) throws(VaultError) {
    let manifest = keeper.manifestEnd
    var sync = SyncPayload(
      flags: flags, lastSequence: settled.sequence, durableOffset: segment.durable,
      manifestLength: manifest.length, manifestChecksum: manifest.checksum, serviceTime: now,
      disks: log.description.disks)
    sync.epoch = log.description.epoch
    let record = PayloadRecord.encode(
      .sync, sequence: settled.sequence, time: settled.time, payload: sync.encode(),
      hint: settled.hint, identity: log.place.identity)
    var failure: VaultError?
    record.withUnsafeBytes { bytes in
      do throws(VaultError) { try put(bytes, to: segment) } catch { failure = error }
    }
    if let failure { throw failure }
    segment.add([], bytes: record.count)
    log.storedBytes.wrappingAdd(UInt64(record.count), ordering: .relaxed)
  }

  // MARK: - Standing between two writes

  /// Ends what was answered so far with a sync record, and tells which segments an fdatasync of each, in this
  /// order, makes it durable by; none if it is. Nothing may be staged. Where there is no room for the record
  /// it is left out: only the next start is quicker by it.
  func addSync(flags: UInt32 = 0) throws(VaultError) -> [(segment: BranchSegment, end: UInt64)] {
    older.removeAll { $0.isDurable }
    guard let segment, !older.isEmpty || !segment.isDurable || flags != 0 else { return [] }
    do throws(VaultError) { try add(flags: flags, to: segment) } catch {
      guard error.code == .full || error.cause?.isFull == true else { throw error }
      try log.checkIsSynced()
    }
    return (older + [segment]).map { ($0, $0.end) }
  }

  /// Lets go of all segments, once the branch is plain files: removed, they take room as long as anybody has them
  /// open.
  func letGoOfLog() { (segment, older) = (nil, []) }

  /// The newest number that was answered.
  var lastSequence: SequenceNumber { settled.sequence }

  /// The segment that takes records; nil before the first.
  var openSegmentNumber: UInt32? { segment?.number }
}
