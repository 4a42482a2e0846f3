internal import Bytes
internal import FileIO

/// What an open segment holds, found by walking its records.
///
/// A bad record before the newest offset that a sync vouches for is damage; after it, a tail begins
/// there. What follows the last sync before the tail was never acknowledged and does not count, but for a
/// branch, which answers a write once it is written: there every record before the tail counts.
struct SegmentReplay: Sendable {
  /// A stretch of the segment that should hold records and does not.
  struct Damage: Sendable {
    var range: Range<UInt64>
    /// What the record behind it says of the last one in it.
    var hint: RecordHint?
    /// Whether a single flipped bit was all, and was repaired.
    var repaired: Bool
  }

  var entries: [RunEntry] = []
  var points: [RecoveryPoint] = []
  /// Where the marks of the points are.
  var offsets: [SequenceNumber: UInt64] = [:]
  var damages: [Damage] = []
  /// The newest sync; nil if the segment holds none.
  var lastSync: SyncPayload?
  /// The first sync, and each that tells of a newer epoch or incarnation than the one before.
  var turns: [SyncPayload] = []
  /// The syncs that commit a failover.
  var commits: [SyncPayload] = []
  /// Where the records begin.
  private let start: UInt64
  /// Where the part that counts ends.
  var end: UInt64
  /// Everything before this was durable when a record behind it was written, or when the writer closed
  /// the log.
  var vouched: UInt64
  /// What the MANIFEST says of that.
  private let durable: UInt64
  var recordCount = 0
  /// The first number of a data or zero record; nil if there is none.
  var firstNumber: SequenceNumber?
  var lastSequence: SequenceNumber
  var lastTime = Timestamp(rawValue: 0)
  var hint = RecordHint()

  /// Whether its writer stopped in order.
  var isClosed: Bool { lastSync.map { $0.flags & SyncPayload.closing != 0 } ?? false }

  /// Set if the records end before what was durable when the log was closed: points are gone.
  var lost: Range<UInt64>? { end < durable ? end..<durable : nil }

  fileprivate struct Item {
    var header: RecordHeader
    var offset: UInt64
    var point: RecoveryPoint?
    var sync: SyncPayload?
  }

  /// Walks the records of `file` from `start` to `size`, of which the MANIFEST says that everything
  /// before `durable` was durable.
  init(
    _ file: LogFile, segment: UInt32, from start: UInt64, to size: UInt64,
    vouched durable: UInt64 = 0, firstSequence: SequenceNumber, disks: [DiskNumber],
    identity: LogIdentity, countsUnsynced: Bool = false
  ) throws(VaultError) {
    (self.start, end, vouched) = (start, start, max(start, durable))
    self.durable = durable
    lastSequence =
      firstSequence == .zero
      ? .zero : SequenceNumber(rawValue: firstSequence.rawValue - 1)
    var (size, gaps) = (size, [Range<UInt64>]())
    var items = try walk(file, start..<size, identity, &gaps)
    if countsUnsynced, let last = items.last, gaps.contains(where: { $0.lowerBound < last.offset })
    {
      // A branch that is written to has zeros behind its records: what was a gap may have been filled before
      // the records behind it were written. Up to these nothing is being written any more.
      size = last.offset + UInt64(last.header.length)
      (gaps, damages, vouched) = ([], [], max(start, durable))
      items = try walk(file, start..<size, identity, &gaps)
    }
    let tail = try tailStart(file, items, gaps, size, identity)
    damages.removeAll { $0.range.lowerBound >= tail }
    items.removeAll { $0.offset >= tail }
    if !countsUnsynced {
      guard let last = items.lastIndex(where: { $0.sync != nil }) else { return }
      items.removeSubrange((last + 1)...)
    }
    let known = lastSequence.rawValue
    for item in items { count(item, segment) }
    for gap in gaps where gap.lowerBound < min(tail, end) {
      poison(gap, items, segment, disks, known: known)
    }
  }

  private mutating func walk(
    _ file: LogFile, _ range: Range<UInt64>, _ identity: LogIdentity,
    _ gaps: inout [Range<UInt64>]
  ) throws(VaultError) -> [Item] {
    var items: [Item] = []
    var scanner = RecordScanner(file, range, identity: identity)
    while let step = try scanner.next() {
      switch step {
      case .gap(let range): gaps.append(range)
      case .record(let header, let offset, let repaired):
        let whole = offset..<offset + UInt64(header.length)
        var item = Item(header: header, offset: offset)
        var wasRepaired = repaired
        if header.type == .mark || header.type == .sync {
          guard let record = try scanner.bytes(of: header, at: offset),
            let payload = PayloadRecord.payload(of: header, in: record, identity: identity)
          else {
            gaps.append(whole)
            continue
          }
          wasRepaired = wasRepaired || payload.repaired
          item.read(payload.bytes)
          if let sync = item.sync { vouched = max(vouched, min(sync.durableOffset, offset)) }
        }
        if wasRepaired { damages.append(Damage(range: whole, hint: nil, repaired: true)) }
        items.append(item)
      }
    }
    return items
  }

  /// Where records stop that count: at the first gap or damaged cell behind what is vouched for.
  private func tailStart(
    _ file: LogFile, _ items: [Item], _ gaps: [Range<UInt64>], _ size: UInt64,
    _ identity: LogIdentity
  ) throws(VaultError) -> UInt64 {
    let gap = gaps.first { $0.lowerBound >= vouched }?.lowerBound ?? size
    guard vouched < gap else { return gap }
    var scanner = RecordScanner(file, vouched..<gap, identity: identity)
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { scratch.deallocate() }
    while let step = try scanner.next() {
      guard case .record(let header, let offset, false) = step else {
        // A header repaired behind what is vouched for may as well be torn.
        if case .record(_, let offset, _) = step { return offset }
        return gap
      }
      guard header.type == .data else { continue }
      guard let record = try scanner.bytes(of: header, at: offset),
        RecordCheck.damagedPages(
          of: header, in: record, identity: identity, coder: nil, scratch: scratch) == 0
      else { return offset }
    }
    return gap
  }

  private mutating func count(_ item: Item, _ segment: UInt32) {
    recordCount += 1
    RunEntry.entries(of: item.header, segment: segment, offset: item.offset, into: &entries)
    if item.header.type == .data || item.header.type == .zero {
      hint = RecordHint(item.header)
      firstNumber = firstNumber ?? item.header.sequence
    }
    if let point = item.point {
      points.append(point)
      offsets[point.sequence] = item.offset
    }
    if let sync = item.sync {
      if sync.branchStart != lastSync?.branchStart { turns.append(sync) }
      if sync.flags & SyncPayload.commits != 0 { commits.append(sync) }
      lastSync = sync
    }
    lastSequence = max(lastSequence, item.header.sequence)
    lastTime = max(lastTime, item.header.time)
    end = item.offset + UInt64(item.header.length)
  }

  /// Stands in for the records a gap has swallowed, so that nobody reads past them by mistake; `known`
  /// is the last number before the segment.
  private mutating func poison(
    _ gap: Range<UInt64>, _ items: [Item], _ segment: UInt32, _ disks: [DiskNumber],
    known: UInt64
  ) {
    let before = items.last { $0.offset < gap.lowerBound }
    let behind = items.first { $0.offset >= gap.upperBound }
    let known = before.map { max($0.header.hint.sequence, $0.header.sequence.rawValue) } ?? known
    let hint = behind?.header.hint
    damages.append(Damage(range: gap, hint: hint, repaired: false))
    // Nothing but marks or syncs was lost: they change no block.
    if let hint, hint.sequence <= known { return }
    // If the hint names the very next number, one record is lost and known; else it may have been any.
    let isKnown = hint?.sequence == known + 1
    let keys = isKnown ? Self.keys(of: hint) : disks.map(BlockKey.everything(of:))
    for key in keys {
      entries.append(Self.damaged(key, known + 1, segment, offset: gap.lowerBound))
    }
  }

  /// Lets nothing of it count: what should stand before it was lost.
  mutating func forget() {
    (entries, points, recordCount, firstNumber) = ([], [], 0, nil)
    (lastSync, end, lastSequence) = (nil, start, .zero)
    (hint, lastTime) = (RecordHint(), Timestamp(rawValue: 0))
    vouched = start
  }

  /// Stands in for records before the first that should be there, from number `first` on.
  mutating func miss(_ first: SequenceNumber, segment: UInt32, _ disks: [DiskNumber]) {
    damages.append(Damage(range: start..<start, hint: nil, repaired: false))
    entries += disks.map {
      Self.damaged(BlockKey.everything(of: $0), first.rawValue, segment, offset: start)
    }
  }

  private static func damaged(
    _ key: BlockKey, _ sequence: UInt64, _ segment: UInt32, offset: UInt64
  ) -> RunEntry {
    RunEntry(
      key: key, sequence: sequence, segment: segment, offset: UInt32(offset),
      dataMask: .max, zeroMask: 0, cellLengths: CellLengths(), codec: 0,
      flags: RunEntry.damaged, keyID: 0)
  }

  /// The blocks a record was about.
  private static func keys(of hint: RecordHint?) -> [BlockKey] {
    guard let hint else { return [] }
    let disk = DiskNumber(truncatingIfNeeded: hint.disk)
    if hint.count <= 1 { return [BlockKey(disk: disk, index: UInt64(hint.block))] }
    return BlockKey.zeros(disk: disk, first: UInt64(hint.block), count: UInt64(hint.count))
  }
}

extension SegmentReplay.Item {
  fileprivate mutating func read(_ payload: [UInt8]) {
    if header.type == .sync { sync = SyncPayload(payload) }
    if header.type == .mark {
      point = RecoveryPoint(sequence: header.sequence, time: header.time, payload: payload)
    }
  }
}

extension RecordHint {
  init(_ header: RecordHeader) {
    self.init(
      sequence: header.sequence.rawValue, disk: header.disk, block: UInt32(header.block),
      count: UInt32(min(max(1, header.blockCount), UInt64(UInt32.max))))
  }
}
