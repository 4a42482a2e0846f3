import Bytes
import Support

@testable import Vault

/// What the disks of a branch must hold, as flat arrays, and the records that brought them there: after a loss
/// of power some number of the newest may be gone.
struct BranchModel {
  /// What one record does.
  struct Step {
    var disk: Int
    var range: Range<Int>
    /// Nil for zeros.
    var bytes: [UInt8]?
  }

  struct State {
    var disks: [[UInt8]]
    /// Pages that some record is of.
    var touched: [Set<Int>]

    mutating func apply(_ step: Step) {
      let range = step.range.clamped(to: 0..<disks[step.disk].count)
      let bytes = step.bytes ?? [UInt8](repeating: 0, count: range.count)
      disks[step.disk].replaceSubrange(range, with: bytes)
      touched[step.disk].formUnion(
        range.lowerBound / Layout.pageSize...(range.upperBound - 1) / Layout.pageSize)
    }
  }

  private(set) var head: State
  /// What was flushed, and the number of its newest record.
  private(set) var durable: State
  private(set) var durableNumber: UInt64
  /// What was added since, whether it was answered or not.
  private(set) var steps: [Step] = []
  /// How many of them were answered.
  private(set) var answered = 0

  init(_ disks: [[UInt8]], start: UInt64) {
    head = State(disks: disks, touched: disks.map { _ in [] })
    (durable, durableNumber) = (head, start)
  }

  var answeredNumber: UInt64 { durableNumber + UInt64(answered) }
  var attemptedNumber: UInt64 { durableNumber + UInt64(steps.count) }

  /// Takes the records of a write that was answered, or of which `number` is the newest that was.
  mutating func take(_ new: [Step], upTo number: UInt64? = nil) {
    let count = number.map { Int($0 - answeredNumber) } ?? new.count
    steps.removeSubrange(answered...)
    steps += new
    for step in new.prefix(count) { head.apply(step) }
    answered += count
  }

  /// All that was answered is durable.
  mutating func flush() { settle(at: answeredNumber) }

  /// What is there ends with a number.
  mutating func settle(at number: UInt64) {
    for step in steps.prefix(Int(number - durableNumber)) { durable.apply(step) }
    (head, durableNumber, steps, answered) = (durable, number, [], 0)
  }

  // MARK: - Records

  /// The records of a write, told apart by pages that it holds in part and by blocks.
  static func steps(_ disk: Int, write bytes: [UInt8], at offset: Int) -> [Step] {
    var steps: [Step] = []
    let end = offset + bytes.count
    var position = offset
    while position < end {
      let isPart = position % Layout.pageSize != 0 || end - position < Layout.pageSize
      let unit = isPart ? Layout.pageSize : Layout.blockSize
      var next = min(end, (position / unit + 1) * unit)
      if !isPart { next = min(next, end / Layout.pageSize * Layout.pageSize) }
      let part = Array(bytes[position - offset..<next - offset])
      steps.append(Step(disk: disk, range: position..<next, bytes: part))
      position = next
    }
    return steps
  }

  /// The records of zeros, on a disk of `size` bytes.
  static func steps(_ disk: Int, zero range: Range<Int>, size: Int) -> [Step] {
    var steps: [Step] = []
    let (page, block) = (Layout.pageSize, Layout.blockSize)
    let end = range.upperBound == size ? (size + block - 1) / block * block : range.upperBound
    var position = range.lowerBound
    while position < end {
      let next: Int
      if position % page != 0 || end - position < page {
        next = min(end, (position / page + 1) * page)
      } else if position % block != 0 || end - position < block {
        next = min(end / page * page, (position / block + 1) * block)
      } else {
        next = end / block * block
      }
      if position < size { steps.append(Step(disk: disk, range: position..<next, bytes: nil)) }
      position = next
    }
    return steps
  }
}
