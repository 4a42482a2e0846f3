/// A set of numbers that are added one by one, which tells the next one at or behind any; either takes a few steps
/// whatever it holds.
///
/// A tree of bit maps: a word of the lowest level has a bit for each of 64 neighbouring numbers, one of the level
/// above a bit for each of 64 neighbouring words that are not empty, and so on.
struct KeySet: Sendable {
  private static let height = 11

  private var levels = [[UInt64: UInt64]](repeating: [:], count: height)

  mutating func insert(_ key: UInt64) {
    var rest = key
    for level in 0..<Self.height {
      let bit: UInt64 = 1 << (rest & 63)
      rest >>= 6
      let word = levels[level][rest] ?? 0
      guard word & bit == 0 else { return }
      levels[level][rest] = word | bit
      // What is above knows of a word that held something already.
      guard word == 0 else { return }
    }
  }

  /// The least number that is not below `key`; nil if there is none.
  func first(at key: UInt64) -> UInt64? {
    var (level, place) = (0, key)
    while level < Self.height {
      let word = (levels[level][place >> 6] ?? 0) & (UInt64.max << (place & 63))
      if word != 0 {
        return descend(from: level, (place & ~63) | UInt64(word.trailingZeroBitCount))
      }
      // Behind all that this word could hold.
      place = (place >> 6) + 1
      level += 1
    }
    return nil
  }

  private func descend(from level: Int, _ place: UInt64) -> UInt64? {
    var place = place
    for level in (0..<level).reversed() {
      guard let word = levels[level][place], word != 0 else { return nil }
      place = place << 6 | UInt64(word.trailingZeroBitCount)
    }
    return place
  }
}
