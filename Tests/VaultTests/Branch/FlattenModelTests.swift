import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: copying a branch to plain files loses no write and changes no byte, whatever ends, fails or is lost
/// while it runs, and neither do the plain files afterwards.
///
/// Method: the rounds of `BranchModelTests`, with steps of the copy between the operations, until the branch is
/// plain files; from then on these beside arrays.
struct FlattenModelTests {
  @Test(
    "whatever happens while a branch is copied to plain files, and then to these, no write is lost")
  func agreesWithModel() throws {
    let rounds = Count.of("TIDEMARK_FLATTEN_ROUNDS", normally: 40)
    let first = SeededGenerator(for: "flatten model").seed
    for number in 0..<rounds {
      let seed = first &+ UInt64(number)
      let round = try BranchRound(seed: seed)
      do { try run(round) } catch {
        Issue.record(
          """
          \(error)
          Repeat with TIDEMARK_SEED=\(seed) TIDEMARK_FLATTEN_ROUNDS=1 swift test --filter FlattenModelTests
          What happened last:
          \(round.log.suffix(40).joined(separator: "\n"))
          """)
        return
      }
    }
  }

  private func run(_ round: BranchRound) throws {
    for _ in 0..<20 { try round.step() }
    var steps = 0
    while !round.isFlat {
      // Where it is disturbed for ever it never ends, nor where there is no room for it.
      guard steps < 4000 else { throw ModelFailure("the copy has no end") }
      steps += 1
      if steps == 400 {
        try round.restart(crashing: false)
      } else if steps < 400, round.random.once(in: 4) {
        try round.step()
      } else if steps < 400, round.random.once(in: 60) {
        try round.cancelFlattening()
      } else if try !round.flattenStep() || round.disk.isOff {
        try round.restart(crashing: round.random.once(in: 2))
      }
    }
    if round.disk.isOff || round.isArmed { try round.restart(crashing: round.disk.isOff) }
    let flat = try FlatRound(round)
    for _ in 0..<60 { try flat.step() }
  }

  @Test("the power may go at every single change while a branch becomes plain files")
  func everyChange() throws {
    let first = SeededGenerator(for: "flatten crash points").seed
    var wasFlat = (before: 0, behind: 0)
    for calls in 0..<2000 {
      let round = try BranchRound(seed: first)
      do {
        let isDone = try history(round, cutAfter: calls)
        guard round.disk.isOff else {
          #expect(isDone, "seed \(first): \(round.log.joined(separator: "\n"))")
          #expect(wasFlat.before > 10 && wasFlat.behind > 2, "seed \(first): \(wasFlat)")
          return
        }
        try round.restart(crashing: true)
        if round.isFlat { wasFlat.behind += 1 } else { wasFlat.before += 1 }
        while !round.isFlat {
          while round.isArmed { try round.restart(crashing: false) }
          guard try round.flattenStep() else {
            throw ModelFailure("the copy can't go on")
          }
        }
        while round.isArmed { try round.restart(crashing: false) }
        _ = try FlatRound(round)
      } catch {
        Issue.record(
          "seed \(first), \(calls) changes: \(error)\n\(round.log.joined(separator: "\n"))")
        return
      }
    }
    Issue.record("the history is longer than was thought")
  }

  /// Writes before, while and until the branch becomes plain files.
  private func history(_ round: BranchRound, cutAfter calls: Int) throws -> Bool {
    round.disk.cutPower(after: calls)
    round.isArmed = true
    var step = 0
    while !round.isFlat {
      if step % 9 == 0, step < 60 {
        guard try round.write(step % 2, round.bytes(9000), at: (step * 7000) % 42_000) else {
          return false
        }
        if step % 2 == 0 {
          guard try round.zero(0, step * 512..<step * 512 + 70_000) else { return false }
        }
      }
      guard try round.flattenStep(), !round.disk.isOff else { return false }
      step += 1
    }
    return !round.disk.isOff
  }
}
