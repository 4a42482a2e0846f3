internal import Bytes
internal import Synchronization

/// The index of a branch's segment that records are added to while others read: it knows the newest record of
/// each page and the newest zeros over each stretch, so that adding and finding take as long whatever it
/// holds.
///
/// Once nothing is added any more it never changes. Safe from any thread.
final class OpenIndex: Sendable {
  fileprivate struct State {
    /// In the order they were added.
    var entries: [RunEntry] = []
    /// Where the slots of a block begin, by its key.
    var places: [UInt64: Int] = [:]
    /// Sixteen for each block: one more than the place of the page's newest entry, or 0.
    var slots: [UInt32] = []
    /// The place of the newest entry of each zeroed stretch, by its key.
    var zeros: [UInt64: Int] = [:]
    /// The keys of `places`.
    var keys = KeySet()
  }

  private let state = Shared(State())
  private let zeroedLevels = Atomic<UInt64>(0)

  /// All entries, in the order they were added.
  var entries: [RunEntry] { state.read { $0.pointee.entries } }
  /// Zeroed stretches' levels, as in `RunDescription`.
  var levels: UInt64 { zeroedLevels.load(ordering: .acquiring) }
  var count: Int { state.read { $0.pointee.entries.count } }

  /// Adds entries that are newer than all before.
  func add(_ entries: [RunEntry]) {
    var levels: UInt64 = 0
    for entry in entries where entry.key.level > 0 { levels |= 1 << UInt64(entry.key.level) }
    state.change { state in
      for entry in entries { state.add(entry) }
    }
    if levels != 0 { zeroedLevels.bitwiseOr(levels, ordering: .acquiringAndReleasing) }
  }

  /// The newest entry of a zeroed stretch.
  @inline(__always)
  func newestZero(of key: BlockKey) -> RunEntry? {
    state.read { state in
      state.pointee.zeros[key.rawValue].map { state.pointee.entries[$0] }
    }
  }

  /// Some entry of the first block at or behind a key that data was written to.
  func firstEntry(at key: BlockKey) -> RunEntry? {
    state.read { $0.pointee.firstEntry(at: key) }
  }

  /// Shows `query` the newest entries of its block's pages.
  @inline(__always)
  func collect(_ query: inout BlockQuery) {
    state.read { $0.pointee.collect(&query) }
  }
}

extension OpenIndex.State {
  fileprivate mutating func add(_ entry: RunEntry) {
    let place = entries.count
    entries.append(entry)
    guard entry.key.level == 0 else {
      zeros[entry.key.rawValue] = place
      return
    }
    let first: Int
    if let known = places[entry.key.rawValue] {
      first = known
    } else {
      first = slots.count
      slots.append(contentsOf: repeatElement(0, count: Layout.pagesPerBlock))
      places[entry.key.rawValue] = first
      keys.insert(entry.key.rawValue)
    }
    var pages = entry.dataMask | entry.zeroMask
    while pages != 0 {
      slots[first + pages.trailingZeroBitCount] = UInt32(place + 1)
      pages &= pages - 1
    }
  }

  fileprivate func firstEntry(at key: BlockKey) -> RunEntry? {
    guard let found = keys.first(at: key.rawValue), let place = places[found] else { return nil }
    let newest = slots[place..<place + Layout.pagesPerBlock].max() ?? 0
    return newest > 0 ? entries[Int(newest) - 1] : nil
  }

  @inline(__always)
  fileprivate func collect(_ query: inout BlockQuery) {
    guard let first = places[query.key.rawValue] else { return }
    // The newest first, as entries are shown by every run.
    while true {
      var newest: UInt32 = 0
      var pages = query.wanted
      while pages != 0 {
        newest = max(newest, slots[first + pages.trailingZeroBitCount])
        pages &= pages - 1
      }
      let before = query.wanted
      guard newest > 0, query.take(entries[Int(newest) - 1]), query.wanted != before
      else { return }
    }
  }
}
