public import Bytes
internal import FileIO

/// A disk as it was at one cut. Its content never changes, but for one that a `BranchDisk` reads by.
///
/// A read looks up each block in the runs, newest first, until its pages are found, fetches the cells
/// that hold them (neighbours together), verifies and decompresses them. The cost depends on how many
/// runs there are, not on how many recovery points. Safe from any thread; every call may block.
public final class DiskReader: DiskContent, Sendable {
  /// Bytes of the disk at this cut.
  public let size: UInt64
  /// Which disk of the machine.
  public let number: DiskNumber
  /// The logs it is read from: each shows through where those before it say nothing.
  private let layers: [ReadLayer]

  init(number: DiskNumber, size: UInt64, layers: [ReadLayer]) {
    (self.number, self.size, self.layers) = (number, size, layers)
  }

  convenience init(
    number: DiskNumber, size: UInt64, runs: [Run], timeline: Timeline, identity: LogIdentity,
    files: LogFiles, lease: ReaderLease?
  ) {
    let layer = ReadLayer(
      runs: runs, timeline: timeline, identity: identity, files: files, lease: lease)
    self.init(number: number, size: size, layers: [layer])
  }

  /// Fills `buffer` with the bytes from `offset`.
  ///
  /// - Throws: `VaultError`, `.damaged` where the vault no longer has what was written.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try readPages(into: buffer, at: offset)
  }

  /// Fills `buffer` with the bytes from `offset`, with the error's type known.
  public func readPages(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(VaultError) {
    guard offset <= size, UInt64(buffer.count) <= size - offset else {
      throw VaultError(
        .invalid, "A read of \(buffer.count) bytes at \(offset) is past the disk's \(size) bytes.")
    }
    guard !buffer.isEmpty else { return }
    try ScratchPool.shared.withScratch { scratch throws(VaultError) in
      scratch.pieces.removeAll(keepingCapacity: true)
      try plan(buffer, offset, scratch)
      try fetch(buffer, offset, scratch)
    }
  }

  // MARK: - Planning

  private func plan(
    _ buffer: UnsafeMutableRawBufferPointer, _ offset: UInt64, _ scratch: ReadScratch
  ) throws(VaultError) {
    let blockSize = UInt64(Layout.blockSize)
    let pageSize = UInt64(Layout.pageSize)
    let end = offset + UInt64(buffer.count)
    for block in offset / blockSize...(end - 1) / blockSize {
      let start = block * blockSize
      let first = max(offset, start) - start
      let last = min(end, start + blockSize) - 1 - start
      let wanted = Self.mask(pages: Int(first / pageSize)...Int(last / pageSize))
      scratch.taken.removeAll(keepingCapacity: true)
      try resolve(block, wanted, scratch)
      var found: UInt16 = 0
      for taken in scratch.taken {
        found |= taken.pages
        CellPiece.append(taken, to: &scratch.pieces)
      }
      if found != wanted { clear(wanted & ~found, of: block, in: buffer, from: offset) }
    }
  }

  @inline(__always)
  private static func mask(pages: ClosedRange<Int>) -> UInt16 {
    UInt16(truncatingIfNeeded: (1 << (pages.upperBound + 1)) - (1 << pages.lowerBound))
  }

  /// Fills `scratch.taken` with the records that hold the wanted pages; pages of none are zeros.
  @inline(__always)
  private func resolve(
    _ block: UInt64, _ wanted: UInt16, _ scratch: ReadScratch
  ) throws(VaultError) {
    var query = BlockQuery(
      key: BlockKey(disk: number, index: block), wanted: wanted, timeline: layers[0].timeline,
      scratch: scratch)
    for (index, layer) in layers.enumerated() {
      query.enter(layer.timeline, layer: UInt8(truncatingIfNeeded: index))
      for run in layer.runs {
        let zeroed = try newestZero(over: block, in: run, layer.timeline)
        query.floor = zeroed.sequence
        try run.collect(&query)
        if query.wanted != 0, zeroed.sequence > 0 {
          if zeroed.isDamage { query.markHurt() }
          query.settle()
        }
        if query.wanted == 0 { break }
      }
      if query.wanted == 0 { break }
    }
    if query.isHurt {
      throw VaultError(
        .damaged,
        "Block \(block) of disk \(number) can't be read: its record is damaged. "
          + "Run 'tidemark verify' to see which points and ranges are hurt.")
    }
  }

  /// The newest zeroed stretch over a block in a run, as far as the cut sees; 0 for none.
  @inline(__always)
  private func newestZero(
    over block: UInt64, in run: Run, _ timeline: Timeline
  ) throws(VaultError) -> (sequence: UInt64, isDamage: Bool) {
    var newest: (sequence: UInt64, isDamage: Bool) = (0, false)
    var levels = run.levels
    while levels != 0 {
      let level = levels.trailingZeroBitCount
      levels &= levels - 1
      let key = BlockKey(disk: number, level: level, index: block >> UInt64(level - 1))
      var sequence = timeline.cut
      while let entry = try run.newestEntry(of: key, sequence) {
        let visible = timeline.visible(entry.sequence)
        if visible == entry.sequence {
          if entry.sequence > newest.sequence {
            newest = (entry.sequence, entry.flags & RunEntry.damaged != 0)
          }
          break
        }
        sequence = visible
      }
    }
    return newest
  }

  private func clear(
    _ pages: UInt16, of block: UInt64, in buffer: UnsafeMutableRawBufferPointer,
    from offset: UInt64
  ) {
    let end = offset + UInt64(buffer.count)
    for page in 0..<Layout.pagesPerBlock where pages & 1 << UInt16(page) != 0 {
      let first = block * UInt64(Layout.blockSize) + UInt64(page * Layout.pageSize)
      let low = max(first, offset)
      let high = min(first + UInt64(Layout.pageSize), end)
      UnsafeMutableRawBufferPointer(rebasing: buffer[Int(low - offset)..<Int(high - offset)])
        .initializeMemory(as: UInt8.self, repeating: 0)
    }
  }

  // MARK: - Fetching

  /// Fetches the planned cells, neighbours in one go, and decodes them into place.
  private func fetch(
    _ buffer: UnsafeMutableRawBufferPointer, _ offset: UInt64, _ scratch: ReadScratch
  ) throws(VaultError) {
    var next = 0
    while next < scratch.pieces.count {
      let first = next
      let (segment, layer) = (scratch.pieces[first].segment, scratch.pieces[first].layer)
      let start = scratch.pieces[first].offset
      var end = start + UInt64(scratch.pieces[first].length)
      next += 1
      while next < scratch.pieces.count {
        let piece = scratch.pieces[next]
        // Between neighbours lie a header and padding; a larger gap is cheaper skipped.
        guard piece.segment == segment, piece.layer == layer, piece.offset >= end,
          piece.offset - end <= 4096,
          piece.offset + UInt64(piece.length) - start <= UInt64(ReadScratch.fetchLimit)
        else { break }
        end = piece.offset + UInt64(piece.length)
        next += 1
      }
      let log = layers[Int(layer)]
      let stored = try load(segment, of: log.files, start..<end, scratch)
      for index in first..<next {
        let piece = scratch.pieces[index]
        let place = Int(piece.offset - start)
        let bytes = UnsafeRawBufferPointer(rebasing: stored[place..<place + piece.length])
        do throws(CellFault) {
          try piece.decode(
            bytes, identity: log.identity, scratch: scratch, into: buffer, from: offset)
        } catch {
          throw damage(piece, of: log.files, error)
        }
      }
    }
  }

  private func load(
    _ segment: UInt32, of files: LogFiles, _ range: Range<UInt64>, _ scratch: ReadScratch
  ) throws(VaultError) -> UnsafeRawBufferPointer {
    let file = try files.open(LogFileName(.segment, segment))
    let target = UnsafeMutableRawBufferPointer(
      rebasing: scratch.fetched[..<Int(range.upperBound - range.lowerBound)])
    let count: Int
    do throws(IOError) {
      count = try file.file.read(into: target, at: range.lowerBound)
    } catch {
      throw VaultError(error)
    }
    guard count == target.count else {
      throw VaultError(
        .damaged,
        "'\(files.path(LogFileName(.segment, segment)))' ends before byte "
          + "\(range.upperBound). Run 'tidemark verify' to see which points and ranges are hurt.")
    }
    return UnsafeRawBufferPointer(target)
  }

  private func damage(
    _ piece: CellPiece, of files: LogFiles, _ fault: CellFault
  ) -> VaultError {
    let reason = fault == .checksum ? "its checksum does not fit" : "it does not decompress"
    return VaultError(
      .damaged,
      "The cell at byte \(piece.offset) of '\(files.path(LogFileName(.segment, piece.segment)))' "
        + "(disk \(piece.disk), bytes from \(piece.position)) is damaged: \(reason). "
        + "Run 'tidemark verify' to see which points and ranges are hurt.")
  }

  // MARK: - Holes

  /// The first byte at or after `offset` of a page that was written and not zeroed; nil if none follows.
  public func nextData(from offset: UInt64) throws -> UInt64? {
    try nextData(from: offset, before: size)
  }

  /// The same, looked for in front of `limit` only: what was discarded there is gone through block by block.
  func nextData(from offset: UInt64, before limit: UInt64) throws(VaultError) -> UInt64? {
    let size = min(size, limit)
    var position = offset
    while position < size, let block = try nextBlock(from: position / UInt64(Layout.blockSize)) {
      position = max(position, block * UInt64(Layout.blockSize))
      guard position < size else { return nil }
      let pages = try dataPages(of: block) & Self.mask(pages: page(of: position)...15)
      if pages != 0 {
        let found =
          block * UInt64(Layout.blockSize)
          + UInt64(pages.trailingZeroBitCount * Layout.pageSize)
        return found < size ? max(found, position) : nil
      }
      position = (block + 1) * UInt64(Layout.blockSize)
    }
    return nil
  }

  /// The first byte at or after `offset` of a page that reads as zeros and takes no room.
  public func nextHole(from offset: UInt64) throws -> UInt64 {
    try nextHolePage(from: offset)
  }

  private func nextHolePage(from offset: UInt64) throws(VaultError) -> UInt64 {
    var position = offset
    while position < size {
      let block = position / UInt64(Layout.blockSize)
      let holes = try ~dataPages(of: block) & Self.mask(pages: page(of: position)...15)
      if holes != 0 {
        let found =
          block * UInt64(Layout.blockSize)
          + UInt64(holes.trailingZeroBitCount * Layout.pageSize)
        return min(size, max(found, position))
      }
      position = (block + 1) * UInt64(Layout.blockSize)
    }
    return size
  }

  private func page(of position: UInt64) -> Int {
    Int(position % UInt64(Layout.blockSize)) / Layout.pageSize
  }

  /// The first block at or after `block` that any record says something of.
  private func nextBlock(from block: UInt64) throws(VaultError) -> UInt64? {
    let key = BlockKey(disk: number, index: block)
    var next: UInt64?
    for layer in layers {
      for run in layer.runs {
        guard let found = try nextBlock(from: key, in: run, layer.timeline) else { continue }
        if found == block { return block }
        next = min(next ?? .max, found)
      }
    }
    return next
  }

  private func nextBlock(
    from key: BlockKey, in run: Run, _ timeline: Timeline
  ) throws(VaultError) -> UInt64? {
    // Where any block may have been lost, every block has to be looked at.
    let everything = BlockKey.everything(of: number)
    if run.levels >> UInt64(everything.level) & 1 != 0,
      let lost = try run.newestEntry(of: everything, timeline.cut),
      lost.flags & RunEntry.damaged != 0
    {
      return key.index
    }
    guard let entry = try run.firstEntry(at: key, .max), entry.key.disk == number,
      entry.key.level == 0
    else { return nil }
    return entry.key.index
  }

  /// The pages of a block that hold data at the cut.
  private func dataPages(of block: UInt64) throws(VaultError) -> UInt16 {
    var pages: UInt16 = 0
    try ScratchPool.shared.withScratch { scratch throws(VaultError) in
      scratch.taken.removeAll(keepingCapacity: true)
      try resolve(block, .max, scratch)
      for taken in scratch.taken { pages |= taken.pages }
    }
    return pages
  }

  /// The records that hold a block's pages at the cut, for verify; what is lost is passed over.
  func holders(of block: UInt64) -> [BlockQuery.Taken] {
    var holders: [BlockQuery.Taken] = []
    try? ScratchPool.shared.withScratch { scratch throws(VaultError) in
      scratch.taken.removeAll(keepingCapacity: true)
      defer { holders = scratch.taken }
      try resolve(block, .max, scratch)
    }
    return holders
  }
}
