import Bytes
import Support
import Testing

@testable import Vault

/// Goal: a zeroed range of any length is found from any of its blocks by one look-up a level, and by
/// no other. Method: all short ranges, and random long ones.
struct BlockKeyTests {
  @Test("a zeroed range is cut into stretches that cover each of its blocks once, and no other")
  func shortRanges() {
    for first in UInt64(0)..<40 {
      for count in UInt64(1)..<80 {
        let keys = BlockKey.zeros(disk: 3, first: first, count: count)
        #expect(keys.flatMap { Array($0.blocks) } == Array(first..<first + count))
        #expect(keys.allSatisfy { $0.disk == 3 && $0.level >= 1 })
        #expect(Double(keys.count) <= 2 * log2(count) + 2)
      }
    }
  }

  private func log2(_ count: UInt64) -> Double { Double(63 - count.leadingZeroBitCount) }

  @Test("a long range takes few stretches, each found from the blocks it covers")
  func longRanges() {
    var random = SeededGenerator(for: "zeroed ranges")
    for _ in 0..<2000 {
      let first = random.next() >> UInt64(random.number(32..<64))
      let count = max(1, random.next() >> UInt64(random.number(32..<64)))
      let end = min(first + count, 1 << 32)
      guard first < end else { continue }
      let keys = BlockKey.zeros(disk: .max, first: first, count: end - first)
      #expect(keys.count <= 64)
      var next = first
      for key in keys {
        #expect(key.blocks.lowerBound == next)
        next = key.blocks.upperBound
        #expect(Set(keys.map(\.rawValue)).count == keys.count)
        for block in [key.blocks.lowerBound, key.blocks.upperBound - 1] {
          let sought = BlockKey(disk: .max, level: key.level, index: block >> UInt64(key.level - 1))
          #expect(sought == key)
        }
      }
      #expect(next == end)
    }
  }

  @Test("the whole of the largest disk is one stretch")
  func wholeDisk() {
    #expect(BlockKey.zeros(disk: 0, first: 0, count: 1 << 32) == [BlockKey.everything(of: 0)])
    #expect(BlockKey.everything(of: 9).blocks == 0..<(1 << 32))
  }

  @Test("keys are ordered by disk, then level, then place")
  func order() {
    let keys = [
      BlockKey(disk: 0, index: 0), BlockKey(disk: 0, index: (1 << 32) - 1),
      BlockKey(disk: 0, level: 1, index: 0), BlockKey(disk: 0, level: 33, index: 0),
      BlockKey(disk: 1, index: 0), BlockKey(disk: .max, index: 5),
    ]
    #expect(keys.map(\.rawValue) == keys.map(\.rawValue).sorted())
    #expect(keys.map(\.disk) == [0, 0, 0, 0, 1, .max])
    #expect(keys.map(\.level) == [0, 0, 1, 33, 0, 0])
  }
}
