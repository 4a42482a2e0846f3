internal import Bytes

/// An epoch or incarnation: from `first` on, the numbers after `parent` belong to an abandoned past.
struct Branching: Hashable, Sendable {
  enum Kind: UInt8, Sendable {
    case epoch = 1
    case incarnation = 2
  }

  var kind: Kind
  var number: UInt32
  /// The first number of the new epoch or incarnation.
  var first: SequenceNumber
  /// The cut it went on from.
  var parent: SequenceNumber
}

/// Which sequence numbers a reader of one cut sees.
struct Timeline: Sendable {
  /// Dead numbers, as (after, before): those strictly between are not seen. Newest first.
  private let dead: [(after: UInt64, before: UInt64)]
  let cut: UInt64

  /// What a reader of `cut` sees in a log with these branchings.
  ///
  /// It sees its own epoch or incarnation from the first number on, and before that what a reader of the
  /// cut sees that this one went on from: an epoch may go on from a cut that an earlier one abandoned.
  init(cut: SequenceNumber, branchings: [Branching]) {
    self.cut = cut.rawValue
    var dead: [(after: UInt64, before: UInt64)] = []
    var position = cut
    let newestFirst = branchings.sorted { $0.first > $1.first }
    for branching in newestFirst where branching.first <= position {
      // What goes on from itself or from later is none.
      guard branching.parent < branching.first else { continue }
      if branching.parent.next < branching.first {
        dead.append((branching.parent.rawValue, branching.first.rawValue))
      }
      position = branching.parent
    }
    self.dead = dead
  }

  /// Whether every number up to the cut is seen.
  @inline(__always)
  var isUnbroken: Bool { dead.isEmpty }

  /// The newest number at or below `sequence` that is seen.
  @inline(__always)
  func visible(_ sequence: UInt64) -> UInt64 {
    var result = min(sequence, cut)
    for gap in dead where result > gap.after && result < gap.before { result = gap.after }
    return result
  }
}
