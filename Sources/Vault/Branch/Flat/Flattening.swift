internal import Bytes
internal import FileIO
internal import Synchronization

/// The copy of an open branch to plain files, step by step, while it is written to.
///
/// The log stays the truth until the end. At any time everything in front of the cursor is as it was at the
/// number `sequence`. A round takes a cut of the branch, copies what was written in front of the cursor since
/// `sequence` once more, which brings `sequence` to the cut, and then goes on at the cursor. Once the cursor is at
/// the end, rounds follow each other until little is left; then writers are stopped, the rest is copied, and the
/// branch becomes its plain files by one entry of its MANIFEST.
///
/// Protocol: what a cut shows is made durable in the log before any of it is copied. So nothing is ever in the
/// plain files that a loss of power takes from the log, and whatever was copied since a checkpoint was written,
/// in whatever order it reached the disk, is copied again by whoever goes on from it: what lies in front of the
/// cursor because the log lists it, the rest because the files are cut off at the cursor first. The end:
/// writers stopped; the log durable; the rest copied; fdatasync of each plain file; one MANIFEST transaction; the
/// copy of the MANIFEST's beginning replaced; only then a write goes to the plain files, and the log is removed. A
/// crash before the transaction leaves the log, which holds everything; behind it, the plain files, which do.
///
/// One thread uses it.
final class Flattening {
  /// How much is copied at a time, and between two checkpoints.
  struct Limits {
    var piece: UInt64 = 1 << 20
    var checkpoint: UInt64 = 256 << 20
    /// So much may be left while writers are stopped.
    var rest: UInt64 = 4 << 20
    /// So much is copied between two looks at the room in the vault.
    var roomCheck: UInt64 = 64 << 20
  }

  /// A stretch of one of the disks.
  struct Stretch {
    var disk: Int
    var range: Range<UInt64>
  }

  let log: BranchLog
  let keeper: BranchKeeper
  let queue: BranchQueue
  private let flusher: BranchFlush
  let limits: Limits
  let files: FlatDisks
  private(set) var checkpoint: FlatteningCheckpoint
  /// The disks that are copied from, and their number.
  private var cut: [DiskReader] = []
  private var cutSequence: UInt64 = 0
  /// What is to be copied once more, the last first.
  private var again: [Stretch] = []
  private var copiedSince: UInt64 = 0
  private var sinceRoomCheck: UInt64 = 0
  /// Rounds since the cursor was at the end.
  private var rounds = 0
  private let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 1 << 20, alignment: 4096)

  /// Begins a copy, or goes on with one that broke off.
  ///
  /// - Throws: `.full` if the vault has not the room for it.
  init(
    _ log: BranchLog, _ keeper: BranchKeeper, _ queue: BranchQueue, _ flusher: BranchFlush,
    _ limits: Limits = Limits()
  ) throws(VaultError) {
    (self.log, self.keeper, self.queue, self.flusher) = (log, keeper, queue, flusher)
    self.limits = limits
    let (place, branch) = (log.place, log.description)
    let known = place.flatteningCheckpoint(of: branch).flatMap { found in
      found.sequence <= log.answered.load(ordering: .acquiring) ? found : nil
    }
    if let known, let files = try? place.openFlat(branch.disks, .writing) {
      (checkpoint, self.files) = (known, files)
      try clearBehindCursor()
    } else {
      checkpoint = FlatteningCheckpoint()
      files = try place.makeFlat(branch.disks)
      try place.replace(checkpoint, of: branch)
    }
  }

  deinit { buffer.deallocate() }

  /// Bytes of all disks, and those in front of the cursor.
  var progress: (done: UInt64, total: UInt64) {
    var (done, total): (UInt64, UInt64) = (0, 0)
    for (index, disk) in log.description.disks.enumerated() {
      total += disk.size
      done += index < checkpoint.cursor.disk ? disk.size : 0
    }
    return (done + checkpoint.cursor.offset, total)
  }

  private var isAtEnd: Bool { checkpoint.cursor.disk >= log.description.disks.count }

  private func clearBehindCursor() throws(VaultError) {
    for (index, disk) in files.disks.enumerated() where index >= checkpoint.cursor.disk {
      try disk.clear(from: index == checkpoint.cursor.disk ? checkpoint.cursor.offset : 0)
    }
  }

  // MARK: - Steps

  /// Copies a piece, or does what is next.
  ///
  /// - Returns: false once the branch is its plain files.
  func step() throws(VaultError) -> Bool {
    try log.checkIsOpen()
    if let stretch = again.popLast() {
      try copyAgain(stretch)
      return true
    }
    if checkpoint.sequence < cutSequence {
      checkpoint.sequence = cutSequence
      try saveIfDue()
    }
    if isAtEnd || cut.isEmpty {
      if isAtEnd, try isNearlyEqual(), try pivot() { return false }
      try beginRound()
      return true
    }
    try copyNext()
    return true
  }

  private func copyAgain(_ stretch: Stretch) throws(VaultError) {
    let end = min(stretch.range.upperBound, stretch.range.lowerBound + limits.piece)
    let before = copiedSince
    try copy(stretch.disk, stretch.range.lowerBound..<end, from: cut, overZeros: false)
    // Nothing for zeros: who discards pays little for much, and there would be no end.
    log.allowance.grant((copiedSince - before) / 2)
    guard end < stretch.range.upperBound else { return }
    again.append(Stretch(disk: stretch.disk, range: end..<stretch.range.upperBound))
  }

  private func copyNext() throws(VaultError) {
    let (disk, offset) = (checkpoint.cursor.disk, checkpoint.cursor.offset)
    let size = log.description.disks[disk].size
    let data = try cut[disk].nextData(from: offset, before: size) ?? size
    // What is skipped is a hole of the plain file already.
    let start = max(offset, data / limits.piece * limits.piece)
    let end = min(size, start + limits.piece)
    if start < end { try copy(disk, start..<end, from: cut, overZeros: true) }
    checkpoint.cursor.offset = max(offset, end)
    if end >= size { checkpoint.cursor = FlatteningCheckpoint.Cursor(disk: disk + 1, offset: 0) }
    try saveIfDue()
  }

  /// Takes a cut, makes what it shows durable, and finds out what of it is to be copied once more.
  private func beginRound() throws(VaultError) {
    let (sequence, layers) = try takeCut()
    try queue.flush(log, flusher)
    cutSequence = sequence
    again = try changes(in: layers).reversed()
    cut = log.description.disks.map {
      DiskReader(number: $0.number, size: $0.size, layers: layers)
    }
    guard isAtEnd else { return }
    rounds += 1
    // From now on less is written in each round than is copied in it, so that there is an end.
    if rounds > 2 { log.allowance.hold() }
  }

  /// Whether little was written since the last round.
  private func isNearlyEqual() throws(VaultError) -> Bool {
    guard !cut.isEmpty else { return false }
    let (_, layers) = try takeCut()
    return Self.bytes(try changes(in: layers)) <= limits.rest
  }

  private static func bytes(_ stretches: [Stretch]) -> UInt64 {
    stretches.reduce(0) { $0 + $1.range.upperBound - $1.range.lowerBound }
  }

  private func takeCut() throws(VaultError) -> (sequence: UInt64, layers: [ReadLayer]) {
    var frozen: FrozenLayers?
    var last: UInt64 = 0
    try queue.perform(
      .other { [log] writer throws(VaultError) in
        last = writer.lastSequence.rawValue
        frozen = log.views.freeze(at: writer.lastSequence)
      })
    guard let frozen else {
      throw VaultError(.io, "Branch '\(log.description.name)' gave no cut.")
    }
    return (last, frozen.layers())
  }

  /// What was written in front of the cursor since it was as it is there.
  private func changes(in layers: [ReadLayer]) throws(VaultError) -> [Stretch] {
    var found: [Stretch] = []
    let cursor = checkpoint.cursor
    for (index, disk) in log.description.disks.enumerated() where index <= cursor.disk {
      let end = index < cursor.disk ? disk.size : cursor.offset
      let ranges = try layers[0].changedRanges(
        disk.number, size: end, after: checkpoint.sequence)
      found += ranges.map { Stretch(disk: index, range: $0) }
    }
    return found
  }

  // MARK: - Copying

  /// Copies bytes; pages that are zeros in `disks` are zeroed, or left alone where they are zeros already.
  private func copy(
    _ index: Int, _ range: Range<UInt64>, from disks: [DiskReader], overZeros: Bool
  ) throws(VaultError) {
    let (source, target) = (disks[index], files.disks[index])
    var position = range.lowerBound
    while position < range.upperBound {
      let data =
        try source.nextData(from: position, before: range.upperBound) ?? range.upperBound
      if !overZeros, data > position { try target.zero(position..<data) }
      guard data < range.upperBound else { break }
      let limit = min(range.upperBound, data + UInt64(buffer.count))
      let end = min(limit, try nextHole(of: source, from: data))
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(end - data)])
      try source.readPages(into: part, at: data)
      try checkRoom(for: end - data)
      try target.write(UnsafeRawBufferPointer(part), at: data)
      copiedSince += end - data
      position = end
    }
    target.beginWriteback(range)
  }

  /// Leaves the vault's reserve alone, however long a round is.
  private func checkRoom(for count: UInt64) throws(VaultError) {
    sinceRoomCheck += count
    guard sinceRoomCheck >= limits.roomCheck else { return }
    try log.place.checkRoom()
    sinceRoomCheck = 0
  }

  private func nextHole(of disk: DiskReader, from offset: UInt64) throws(VaultError) -> UInt64 {
    do { return try disk.nextHole(from: offset) } catch { throw Self.vaultError(error) }
  }

  private static func vaultError(_ error: any Error) -> VaultError {
    (error as? VaultError) ?? VaultError(.io, "\(error)")
  }

  private func saveIfDue() throws(VaultError) {
    guard copiedSince >= limits.checkpoint, again.isEmpty, checkpoint.sequence == cutSequence
    else { return }
    try log.place.checkRoom()
    try files.sync()
    try log.place.replace(checkpoint, of: log.description)
    copiedSince = 0
  }

  // MARK: - The end

  /// Stops the writers, copies what is left, and lets the branch be its plain files.
  ///
  /// - Returns: false if too much was written until the writers stood still: then they go on at once, and another
  ///   round is needed.
  func pivot() throws(VaultError) -> Bool {
    // What is written back already need not be waited for then.
    try files.sync()
    try queue.flush(log, flusher)
    keeper.stopMerging()
    defer { keeper.goOnMerging() }
    var isDone = false
    try queue.perform(
      .other { writer throws(VaultError) in isDone = try self.pivot(writer) })
    return isDone
  }

  private func pivot(_ writer: BranchWriter) throws(VaultError) -> Bool {
    try log.checkIsOpen()
    let last = writer.lastSequence
    guard let layers = log.views.freeze(at: last)?.layers() else { return true }
    let left = try changes(in: layers)
    guard Self.bytes(left) <= 4 * limits.rest else { return false }
    try queue.sync(try writer.addSync(), log)
    try log.checkIsSynced()
    let disks = log.description.disks.map {
      DiskReader(number: $0.number, size: $0.size, layers: layers)
    }
    for stretch in left {
      try copy(stretch.disk, stretch.range, from: disks, overZeros: false)
    }
    try files.sync()
    do throws(VaultError) { try keeper.flatten(at: last) } catch {
      // Whether it is in the MANIFEST nobody knows: nothing may be written before that is found out.
      log.endUnsynced(error)
      throw error
    }
    log.views.become(files)
    writer.letGoOfLog()
    return true
  }
}
