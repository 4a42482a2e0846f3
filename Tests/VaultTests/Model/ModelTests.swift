import Support
import Testing

/// Goal: whatever is done to a vault and whatever breaks under it, what was acknowledged is never lost,
/// a point reads as it did for ever, and a cycle that was not finished never shows as a point.
///
/// Method: random operations on a vault on a simulated disk that loses power, tears writes, fails syncs
/// and fills up, beside plain arrays that tell what must be read; see `ModelRound`. Segments, runs and
/// tiers are made small, so that sealing and merging happen all the time. A round of some hundred
/// operations has a seed of its own, printed when it fails: `TIDEMARK_SEED=… TIDEMARK_OPERATIONS=1`
/// runs just that one again. `TIDEMARK_OPERATIONS` says how many operations there are in all.
struct ModelTests {
  static let operationsPerRound = 500

  @Test("whatever happens, what was acknowledged stays, and every point reads as it did")
  func agreesWithModel() throws {
    let operations = Count.of("TIDEMARK_OPERATIONS", normally: 10_000)
    let first = SeededGenerator(for: "vault model").seed
    for round in 0..<(operations + Self.operationsPerRound - 1) / Self.operationsPerRound {
      let seed = first &+ UInt64(round)
      guard try run(seed) else { return }
    }
  }

  /// Runs one round.
  ///
  /// - Returns: false if it failed.
  private func run(_ seed: UInt64) throws -> Bool {
    let round = try ModelRound(seed: seed)
    do {
      for _ in 0..<Self.operationsPerRound { try round.step() }
      try round.restart(crashing: true)
      try round.checkEverything()
      try round.rebuild()
      return true
    } catch {
      Issue.record(
        """
        \(error)
        Repeat with TIDEMARK_SEED=\(seed) TIDEMARK_OPERATIONS=1 swift test --filter ModelTests
        What happened last:
        \(round.log.suffix(40).joined(separator: "\n"))
        """)
      return false
    }
  }
}
