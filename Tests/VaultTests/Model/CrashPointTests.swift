import Support
import Testing

@testable import Vault

/// Goal: there is no moment at which a loss of power does harm. Method: one short history, run again
/// and again, in which the power goes at the first change, the second, and so on to the last; and one
/// that starts from a log nobody closed, so that putting it in order is cut at every change as well.
struct CrashPointTests {
  /// So small that the history seals, divides and merges.
  private static let limits = LogLimits(segmentRecords: 5, runEntries: 8, lowestTier: 8)

  @Test("the power may go at every single change of a history, and of what puts the log in order")
  func everyChange() throws {
    let seed = SeededGenerator(for: "crash points").seed
    for leavesOpen in [false, true] {
      for calls in 0..<400 {
        let round = try ModelRound(seed: seed &+ UInt64(calls % 4), limits: Self.limits)
        do {
          guard try history(round, leavesOpen, calls) else { break }
          try #require(calls < 399)
        } catch {
          Issue.record(
            "seed \(seed), \(calls) changes: \(error)\n\(round.log.joined(separator: "\n"))")
          return
        }
      }
    }
  }

  /// Runs the history with the power going after so many changes.
  ///
  /// - Returns: false if it ended before.
  private func history(
    _ round: ModelRound, _ leavesOpen: Bool, _ calls: Int
  ) throws -> Bool {
    if leavesOpen {
      for block in 0..<3 { _ = try round.write(0, block: block, pages: 0xF0F0) }
      _ = try round.commit()
      _ = try round.write(1, block: 0, pages: 1)
      _ = try round.mark(round.newPoint())
      round.cutPower(after: calls)
      try round.restart(crashing: false)
    } else {
      round.cutPower(after: calls)
    }
    var isDone = true
    for block in 0..<4 where isDone { isDone = try round.write(2, block: block, pages: .max) }
    if isDone { isDone = try round.mark(round.newPoint()) }
    for block in 0..<4 where isDone { isDone = try round.write(0, block: block, pages: 3) }
    if isDone { isDone = try round.zero(1, first: 0, count: 1 << 20) }
    if isDone { isDone = try round.commit() }
    if isDone { isDone = try round.closeAndOpen() }
    if isDone { isDone = try round.mark(round.newPoint()) }
    if isDone { isDone = try round.merge() }
    let wasCut = round.disk.isOff || !round.isDoomed
    try round.restart(crashing: true)
    try round.checkEverything()
    return wasCut
  }
}
