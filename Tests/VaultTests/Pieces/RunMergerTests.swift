import Support
import Testing

@testable import Vault

/// Goal: however many runs are added, few are left, and each entry is copied few times. Method: the
/// policy alone, on descriptions of runs.
struct RunMergerTests {
  private static let lowestTier: UInt64 = 100

  private func run(_ count: UInt64, _ number: UInt32) -> RunSet? {
    RunSet([
      RunDescription(
        file: LogFileName(.run, number), base: 0, entryPages: 1, fencePages: 1, entryCount: count,
        levels: 0, oldest: 0, newest: UInt64(number), firstKey: BlockKey(rawValue: 0),
        lastKey: BlockKey(rawValue: 0))
    ])
  }

  private func tiers(_ total: UInt64) -> Int {
    var (tiers, limit) = (1, Self.lowestTier)
    while limit < total { (tiers, limit) = (tiers + 1, limit * UInt64(RunMerger.fanIn)) }
    return tiers
  }

  @Test("there are never four runs of a tier, and an entry is copied few times")
  func staysLogarithmic() throws {
    var random = SeededGenerator(for: "tiers")
    for largest in [1, 20, 100, 5000] {
      var runs: [RunSet] = []
      var (added, copied) = (UInt64(0), UInt64(0))
      for number in UInt32(1)..<1500 {
        // Runs of one size, runs of any size, and now and then a large one between small ones.
        var count = UInt64(random.number(1..<largest + 1))
        if random.once(in: 3) { count = UInt64(largest) }
        if random.once(in: 30) { count *= UInt64(random.number(1..<100)) }
        runs.append(try #require(run(count, number)))
        added += count
        while let choice = RunMerger.choice(runs, lowestTier: Self.lowestTier) {
          #expect(choice.count >= RunMerger.fanIn)
          #expect(choice.upperBound == runs.count, "runs that are merged follow each other in age")
          let sum = runs[choice].reduce(0) { $0 + $1.entryCount }
          copied += sum
          runs.replaceSubrange(choice, with: [try #require(run(sum, number))])
        }
        #expect(runs.count < RunMerger.fanIn * tiers(added))
      }
      // In the lowest tier, where entries are few, each fourth run may copy all of them.
      let lowest = 1500 * 4 * Self.lowestTier / 3
      #expect(copied <= lowest + 4 * added * UInt64(tiers(added)))
    }
  }

  @Test("one run, or none, is left alone")
  func fewRuns() throws {
    #expect(RunMerger.choice([], lowestTier: 100) == nil)
    #expect(RunMerger.choice([try #require(run(5, 1))], lowestTier: 100) == nil)
  }

  private func runs(_ counts: [UInt64]) throws -> [RunSet] {
    try counts.enumerated().map { try #require(run($0.element, UInt32($0.offset) + 1)) }
  }

  @Test("a large run is not copied for the sake of three small ones behind it")
  func largeBeforeSmall() throws {
    #expect(RunMerger.choice(try runs([1_000_000, 5, 5, 5]), lowestTier: 100) == nil)
    #expect(RunMerger.choice(try runs([1_000_000, 5, 5, 5, 5]), lowestTier: 100) == 1..<5)
    #expect(
      RunMerger.choice(try runs([1_000_000, 300, 300, 300, 5, 5, 5]), lowestTier: 100) == nil)
  }

  @Test("small runs before a large one go with it")
  func smallBeforeLarge() throws {
    #expect(RunMerger.choice(try runs([5, 5, 5, 1_000_000]), lowestTier: 100) == 0..<4)
  }
}
