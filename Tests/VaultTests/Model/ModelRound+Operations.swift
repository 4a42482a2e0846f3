import Bytes
import Support
import Testing

@testable import Vault

/// The operations, and how often each is done.
extension ModelRound {
  private enum Operation {
    case write, burst, zero, commit, mark, reopen, merge, readPoints, readHead, hold, readHeld
    case resize, tick, fault, ingest, abandon
  }

  private static let weights: [(Operation, Int)] = [
    (.write, 34), (.burst, 2), (.zero, 6), (.commit, 5), (.mark, 12), (.reopen, 3), (.merge, 5),
    (.readPoints, 9), (.readHead, 5), (.hold, 2), (.readHeld, 3), (.resize, 1), (.tick, 5),
    (.fault, 6), (.ingest, 8), (.abandon, 2),
  ]
  private static let deck = weights.flatMap { [Operation](repeating: $0.0, count: $0.1) }

  /// Does one operation.
  func step() throws {
    let operation = Self.deck[random.number(0..<Self.deck.count)]
    switch operation {
    case .write: try go(on: try writeSome(random.number(1..<7)))
    case .burst: try go(on: try writeSome(random.number(60..<200)))
    case .zero: try go(on: try zeroSome())
    case .ingest: try go(on: try ingest(random.number(1..<30)))
    case .abandon: try go(on: try abandon())
    case .commit: try go(on: try commit())
    case .mark: try go(on: try mark(newPoint()))
    case .reopen: try go(on: try closeAndOpen())
    case .merge: try go(on: try merge())
    case .readPoints: try readPoints(2, by: random.once(in: 2) ? observer : writer.machine)
    case .readHead: try readHead()
    case .hold: try hold()
    case .readHeld: try readHeld()
    case .resize: resize()
    case .tick: clock.step(Int64(random.number(-3_000_000_000..<5_000_000_000)))
    case .fault: if !isArmed { try breakSomething() }
    }
  }

  /// Starts again where a call has failed, or has met the loss of power where it may pass over it: in what is
  /// written ahead of a commit.
  private func go(on isDone: Bool) throws {
    if !isDone || disk.isOff { try restart() }
  }

  private func writeSome(_ count: Int) throws -> Bool {
    let index = random.number(0..<numbers.count)
    let blocks = head.pages[index].count / Layout.pagesPerBlock
    var block = random.number(0..<blocks)
    for _ in 0..<count {
      // Some blocks are hot, some writes follow each other.
      block = random.once(in: 2) ? (block + 1) % blocks : random.number(0..<min(4, blocks))
      var pages = UInt16(truncatingIfNeeded: random.next())
      if random.once(in: 3) { pages = .max }
      if random.once(in: 3) { pages = 1 << UInt16(random.number(0..<16)) }
      guard try write(index, block: block, pages: pages) else { return false }
    }
    return true
  }

  private func zeroSome() throws -> Bool {
    let index = random.number(0..<numbers.count)
    let blocks = head.pages[index].count / Layout.pagesPerBlock
    switch random.number(0..<6) {
    case 0: return try zero(index, first: 0, count: 1 << 32)
    case 1:
      let first = random.number(0..<blocks)
      return try zero(index, first: UInt64(first), count: UInt64(random.number(1..<1 << 30)))
    default:
      let first = random.number(0..<blocks)
      let count = random.number(1..<blocks - first + 1)
      return try zero(index, first: UInt64(first), count: UInt64(count))
    }
  }

  func newPoint() -> NewPoint {
    let chosen = numbers.indices.filter { _ in !random.once(in: 8) }
    let disks = (chosen.isEmpty ? [0] : chosen).map {
      PointDisk(number: numbers[$0], size: sizes[$0])
    }
    return NewPoint(
      kind: random.once(in: 3) ? .application : .crash,
      consistency: random.once(in: 3) ? .perDisk : .machine, sourceWatched: random.once(in: 2),
      label: random.once(in: 3) ? "label \(points.count)" : nil, cycle: UInt64(points.count),
      disks: disks.shuffled(using: &random), time: clock.now)
  }

  func closeAndOpen() throws -> Bool {
    guard try attempt("close", { _ in }, { try writer.close() }) else { return false }
    acknowledge()
    guard random.once(in: 2) else { return true }
    let isOpen = try attempt("open", { _ in }) {
      writer = try Self.open(disk, clock, limits, lock)
    }
    guard isOpen else {
      // The writer before must not go on: another has begun to put the log in order.
      try restart(crashing: random.once(in: 2))
      return true
    }
    guard writer.lastSequence.rawValue == acknowledged else {
      throw ModelFailure("closed at \(acknowledged), opened at \(writer.lastSequence)")
    }
    return true
  }

  func merge() throws -> Bool {
    let budget = random.once(in: 3) ? random.number(0..<2000) : Int.max
    var polls = random.once(in: 4) ? 1 : Int.max
    return try attempt("merge", { _ in }) {
      try writer.mergeRuns(entryBudget: budget) {
        polls -= 1
        return polls < 0
      }
    }
  }

  private func resize() {
    let index = random.number(0..<numbers.count)
    let largest = head.pages[index].count * Layout.pageSize / 512
    sizes[index] = UInt64(random.number(1..<largest + 1)) * 512
  }
}
