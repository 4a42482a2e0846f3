import Bytes
import Support
import Testing

@testable import Vault

/// Goal: a reader sees the numbers of its own past and none that was abandoned. Method: one look-up
/// against every number asked one by one.
struct TimelineTests {
  private func branching(_ parent: UInt64, _ first: UInt64, _ number: UInt32 = 1) -> Branching {
    Branching(
      kind: .epoch, number: number, first: SequenceNumber(rawValue: first),
      parent: SequenceNumber(rawValue: parent))
  }

  private func timeline(_ cut: UInt64, _ branchings: [Branching]) -> Timeline {
    Timeline(cut: SequenceNumber(rawValue: cut), branchings: branchings)
  }

  @Test("without branchings everything up to the cut is seen")
  func unbroken() {
    let timeline = timeline(10, [])
    #expect(timeline.isUnbroken)
    #expect(
      (0...20).map { timeline.visible($0) } == Array(0...10) + Array(repeating: 10, count: 10))
  }

  @Test("what was abandoned is seen by its own points and by no later one")
  func abandoned() {
    let branchings = [branching(10, 21)]
    #expect(timeline(15, branchings).visible(15) == 15)
    #expect(timeline(20, branchings).visible(.max) == 20)
    #expect(timeline(21, branchings).visible(.max) == 21)
    #expect(timeline(30, branchings).visible(20) == 10)
    #expect(timeline(30, branchings).visible(11) == 10)
    #expect(timeline(30, branchings).visible(10) == 10)
  }

  @Test("an epoch may go on from what an earlier one abandoned")
  func changedPoint() {
    let branchings = [branching(10, 31), branching(20, 41, 2)]
    #expect(timeline(40, branchings).visible(30) == 10)
    #expect(timeline(50, branchings).visible(40) == 20)
    #expect(timeline(50, branchings).visible(15) == 15)
  }

  @Test("a branching that abandons nothing changes nothing")
  func nothingAbandoned() {
    #expect(timeline(30, [branching(20, 21)]).isUnbroken)
  }

  @Test("many branchings agree with asking each number")
  func agreesWithSearch() {
    var random = SeededGenerator(for: "timelines")
    for _ in 0..<300 {
      var branchings: [Branching] = []
      var next: UInt64 = 1
      for number in 0..<UInt32(random.number(0..<6)) {
        next += UInt64(random.number(1..<20))
        let parent = UInt64(random.number(0..<Int(next)))
        branchings.append(branching(parent, next, number))
      }
      for cut in 0..<next + 10 {
        let timeline = timeline(cut, branchings.shuffled(using: &random))
        func isSeen(_ number: UInt64, by cut: UInt64) -> Bool {
          let own = branchings.filter { $0.first.rawValue <= cut }.max { $0.first < $1.first }
          guard let own else { return number <= cut }
          let isOwn = own.first.rawValue <= number && number <= cut
          return isOwn || isSeen(number, by: own.parent.rawValue)
        }
        for number in 0..<next + 10 {
          let expected = (0...number).reversed().first { isSeen($0, by: cut) }
          #expect(timeline.visible(number) == expected)
        }
      }
    }
  }
}
