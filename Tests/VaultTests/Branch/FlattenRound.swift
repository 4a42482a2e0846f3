import Bytes
import Support

@testable import Vault

/// Copying the branch of a round to plain files.
extension BranchRound {
  static let pieces = Flattening.Limits(
    piece: 16 << 10, checkpoint: 48 << 10, rest: 24 << 10, roomCheck: 32 << 10)

  /// Begins the copy, goes on with one that broke off, or does the next step of it.
  ///
  /// - Returns: false if the branch has to be opened again.
  func flattenStep() throws -> Bool {
    guard let branch else { throw ModelFailure("no branch is open") }
    do {
      let copy =
        try flattening
        ?? Flattening(branch.log, branch.keeper, branch.queue, branch.flusher, Self.pieces)
      if flattening == nil { note("a copy begins at \(copy.progress.done)") }
      flattening = copy
      guard try !copy.step() else { return true }
      note("the branch is plain files")
      (flattening, isDoubtful) = (nil, false)
      model.flush()
      branch.removeFlattenedLog()
      return true
    } catch let error as VaultError {
      note("… \(error)")
      guard isArmed else { throw ModelFailure("a copy failed without a reason: \(error)") }
      flattening = nil
      if branch.hasEnded || disk.isOff {
        isDoubtful = true
        return false
      }
      // As `Branch.flatten` does: the branch goes on as it was.
      try? branch.log.place.removeFlat(branch.description.disks)
      return true
    }
  }

  /// Gives the copy up.
  func cancelFlattening() throws {
    guard let branch, flattening != nil else { return }
    note("the copy is given up")
    flattening = nil
    try? branch.log.place.removeFlat(branch.description.disks)
  }

  var isFlat: Bool { branch?.isFlat ?? false }
}

/// A branch of plain files beside the arrays that tell what it must answer.
///
/// What was not flushed may be lost with the power in any part: each byte is one of those it was since.
final class FlatRound {
  private let round: BranchRound
  private var states: [[[UInt8]]]
  private var isDoubtful = false

  init(_ round: BranchRound) throws {
    (self.round, states) = (round, [round.model.head.disks])
    try check(mayLose: false)
  }

  private var branch: Branch {
    get throws {
      guard let branch = round.branch else { throw ModelFailure("no branch is open") }
      return branch
    }
  }

  /// Does one operation.
  func step() throws {
    let isDone: Bool
    switch round.random.number(0..<20) {
    case 0..<8: isDone = try write()
    case 8..<10: isDone = try zero()
    case 10..<13: isDone = try flush()
    case 13: return try restart(crashing: false)
    case 14: return try restart(crashing: true)
    case 15:
      round.disk.cutPower(after: round.random.number(0..<8))
      round.isArmed = true
      return
    case 16:
      round.disk.failSyncs(1, after: round.random.number(0..<2))
      round.isArmed = true
      return
    default: return try readSome()
    }
    if !isDone || round.disk.isOff { try restart(crashing: round.disk.isOff) }
  }

  private func attempt(
    _ index: Int, _ range: Range<Int>, _ bytes: [UInt8], _ body: (BranchDisk) throws -> Void
  ) throws -> Bool {
    var next = states[states.count - 1]
    next[index].replaceSubrange(range, with: bytes)
    states.append(next)
    do { try body(try branch.disks[index]) } catch let error as VaultError {
      round.note("… \(error)")
      guard round.isArmed else { throw ModelFailure("a write failed without a reason: \(error)") }
      isDoubtful = true
      return false
    }
    return true
  }

  private func write() throws -> Bool {
    let index = round.random.number(0..<2)
    let offset = round.random.number(0..<round.sizes[index])
    let bytes = round.bytes(min(round.sizes[index] - offset, round.random.number(1..<20_000)))
    round.note("write \(index):\(offset)+\(bytes.count)")
    return try attempt(index, offset..<offset + bytes.count, bytes) { disk in
      try bytes.withUnsafeBytes { try disk.write($0, at: UInt64(offset)) }
    }
  }

  private func zero() throws -> Bool {
    let index = round.random.number(0..<2)
    let first = round.random.number(0..<round.sizes[index])
    let end = min(round.sizes[index], first + round.random.number(1..<60_000))
    round.note("zero \(index):\(first)..<\(end)")
    return try attempt(index, first..<end, [UInt8](repeating: 0, count: end - first)) { disk in
      try disk.zero(UInt64(first)..<UInt64(end))
    }
  }

  func flush() throws -> Bool {
    round.note("flush")
    do { try branch.disks[round.random.number(0..<2)].flush() } catch let error as VaultError {
      round.note("… \(error)")
      guard round.isArmed, try branch.hasEnded || round.disk.isOff else {
        throw ModelFailure("a flush failed without a reason: \(error)")
      }
      isDoubtful = true
      return false
    }
    states.removeFirst(states.count - 1)
    return true
  }

  /// The process ends, or the power goes; then a new one opens the branch.
  private func restart(crashing: Bool) throws {
    let mayLose = crashing || isDoubtful || round.disk.isOff
    let crashes = crashing || round.disk.isOff
    try checkIsTold()
    try round.reopenFlat(crashing: crashes)
    isDoubtful = false
    try check(mayLose: mayLose, isDurable: crashes)
  }

  /// Once an fdatasync has failed, everybody who asks is told so, whatever the disk says by then.
  private func checkIsTold() throws {
    guard try branch.hasEnded, !round.disk.isOff else { return }
    round.disk.failSyncs(0)
    let isTold = try [
      { try self.branch.flush() }, { try self.branch.close() },
      { try self.branch.disks[0].zero(0..<512) },
    ].allSatisfy { call in
      do { try call() } catch is VaultError { return true }
      return false
    }
    guard isTold else { throw ModelFailure("not everybody is told of a sync that failed") }
  }

  private func readSome() throws {
    let index = round.random.number(0..<2)
    let first = round.random.number(0..<round.sizes[index])
    let range = first..<min(round.sizes[index], first + 30_000)
    let bytes = try read(index, range)
    guard bytes == Array(states[states.count - 1][index][range]) else {
      throw ModelFailure("disk \(index) differs somewhere in \(range)")
    }
  }

  private func read(_ index: Int, _ range: Range<Int>) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: range.count)
    let disk = try branch.disks[index]
    try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: UInt64(range.lowerBound)) }
    return bytes
  }

  /// What is found is what was written, or of each byte something that it was since the last flush.
  private func check(mayLose: Bool, isDurable: Bool = false) throws {
    guard try branch.isFlat else { throw ModelFailure("the branch is not flat any more") }
    var found: [[UInt8]] = []
    for index in round.sizes.indices {
      let bytes = try read(index, 0..<round.sizes[index])
      found.append(bytes)
      let allowed = mayLose ? states : [states[states.count - 1]]
      for sector in stride(from: 0, to: bytes.count, by: 512) {
        let range = sector..<min(bytes.count, sector + 512)
        if allowed.contains(where: { $0[index][range] == bytes[range] }) { continue }
        // Of a sector that was written to twice, either may be lost.
        for place in range where !allowed.contains(where: { $0[index][place] == bytes[place] }) {
          throw ModelFailure("byte \(place) of disk \(index) is of no moment")
        }
      }
    }
    // What a process finds that could not be made durable before is not durable by that.
    if mayLose { states = isDurable ? [found] : states + [found] }
  }
}
