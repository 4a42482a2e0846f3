import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: a branch is a disk: what was flushed is never lost, the end of the process loses nothing that was
/// answered, a loss of power leaves the disks of one moment, and a cut never changes.
///
/// Method: as in `ModelTests`, with writes and zeros of any alignment on a branch above a machine's point,
/// beside flat arrays. Segments and runs are so small that sealing and merging happen all the time.
struct BranchModelTests {
  static let operationsPerRound = 400

  @Test("whatever happens, a branch holds what was written to it, or a beginning of that")
  func agreesWithModel() throws {
    let operations = Count.of("TIDEMARK_OPERATIONS", normally: 10_000)
    let first = SeededGenerator(for: "branch model").seed
    for number in 0..<(operations + Self.operationsPerRound - 1) / Self.operationsPerRound {
      let seed = first &+ UInt64(number)
      let round = try BranchRound(seed: seed)
      do {
        for _ in 0..<Self.operationsPerRound { try round.step() }
        try round.restart(crashing: true)
      } catch {
        Issue.record(
          """
          \(error)
          Repeat with TIDEMARK_SEED=\(seed) TIDEMARK_OPERATIONS=1 swift test --filter BranchModelTests
          What happened last:
          \(round.log.suffix(40).joined(separator: "\n"))
          """)
        return
      }
    }
  }

  @Test("the power may go at every single change of a short history of a branch")
  func everyChange() throws {
    let first = SeededGenerator(for: "branch crash points").seed
    for calls in 0..<300 {
      let round = try BranchRound(seed: first &+ UInt64(calls % 3))
      do {
        round.disk.cutPower(after: calls)
        round.isArmed = true
        var isDone = true
        for place in 0..<6 where isDone {
          isDone = try round.write(0, round.bytes(9000), at: place * 20_000 + 77)
          if isDone, place % 2 == 1 { isDone = try round.flush() }
        }
        if isDone { isDone = try round.zero(0, 3000..<140_000) }
        let wasCut = round.disk.isOff
        try round.restart(crashing: true)
        guard wasCut else { return }
      } catch {
        Issue.record(
          "seed \(first), \(calls) changes: \(error)\n\(round.log.joined(separator: "\n"))")
        return
      }
    }
    Issue.record("the history is longer than was thought")
  }
}

extension BranchRound {
  /// Does one operation.
  func step() throws {
    clock.step(Int64(random.number(-1_000_000..<5_000_000)))
    let isDone: Bool
    switch random.number(0..<100) {
    case 0..<30: isDone = try writePages()
    case 30..<47: isDone = try writeAnything()
    case 47..<50: isDone = try keep()
    case 50..<60: isDone = try zeroSome()
    case 60..<68: isDone = try flush()
    case 68..<82: return try readSome()
    case 82..<86: return try hold()
    case 86..<89: return try readHeld()
    case 89..<91: return try checkHoles()
    case 91..<92: return try checkChanges()
    case 92..<94: isDone = try reopen()
    case 94..<96: return try restart(crashing: false)
    default:
      if !isArmed { try breakSomething() }
      return
    }
    if !isDone || disk.isOff { try restart(crashing: random.once(in: 2)) }
  }

  private func writePages() throws -> Bool {
    let index = random.number(0..<2)
    let pages = sizes[index] / Layout.pageSize
    // Some pages are hot.
    let first = random.once(in: 2) ? random.number(0..<min(20, pages)) : random.number(0..<pages)
    let count = min(pages - first, random.once(in: 4) ? random.number(1..<20) : 1)
    let content =
      random.once(in: 8)
      ? [UInt8](repeating: 0, count: count * Layout.pageSize)
      : bytes(count * Layout.pageSize)
    return try write(index, content, at: first * Layout.pageSize)
  }

  private func writeAnything() throws -> Bool {
    let index = random.number(0..<2)
    let offset = random.number(0..<sizes[index])
    let count = min(sizes[index] - offset, random.number(1..<(random.once(in: 6) ? 90_000 : 5000)))
    return try write(index, bytes(count), at: offset)
  }

  private func zeroSome() throws -> Bool {
    let index = random.number(0..<2)
    let first = random.once(in: 4) ? 0 : random.number(0..<sizes[index])
    let end =
      random.once(in: 4)
      ? sizes[index] : min(sizes[index], first + random.number(1..<300_000))
    return try zero(index, first..<end)
  }

  private func breakSomething() throws {
    switch random.number(0..<6) {
    case 0..<3:
      let calls = random.number(0..<30)
      note("the power will go after \(calls) changes")
      disk.cutPower(after: calls)
    case 3:
      let (count, after) = (random.number(1..<3), random.number(0..<5))
      note("\(count) syncs will fail after \(after)")
      disk.failSyncs(count, after: after)
      isDoubtful = true
    default:
      let room = random.number(0..<8) * 32768
      note("\(room) bytes are left")
      disk.setCapacity(1 << 40)
      disk.setCapacity(1 << 40 - (try disk.fileSystem.space(at: "/").free) + UInt64(room))
    }
    isArmed = true
  }
}
