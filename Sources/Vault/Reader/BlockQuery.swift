internal import Bytes

/// One look-up of one block at one cut: which records hold the wanted pages.
///
/// Runs show it their entries from the newest to the oldest; it takes what it still needs.
struct BlockQuery {
  /// Pages to be taken from one record.
  struct Taken {
    var entry: RunEntry
    var pages: UInt16
    /// Which of the reader's logs it is of.
    var layer: UInt8
  }

  let key: BlockKey
  /// Numbers above this are not seen.
  private(set) var cut: UInt64
  /// Pages nothing was found for so far.
  private(set) var wanted: UInt16
  /// Entries at or below this number are hidden by a zeroed stretch.
  var floor: UInt64 = 0
  /// Set when what is needed was lost to damage.
  private(set) var isHurt = false
  private var timeline: Timeline
  private var layer: UInt8 = 0
  private let scratch: ReadScratch

  init(key: BlockKey, wanted: UInt16, timeline: Timeline, scratch: ReadScratch) {
    (self.key, self.wanted, self.timeline, self.scratch) = (key, wanted, timeline, scratch)
    cut = timeline.cut
  }

  /// Looks into the next of the reader's logs for what is still wanted.
  @inline(__always)
  mutating func enter(_ timeline: Timeline, layer: UInt8) {
    (self.timeline, self.layer, cut) = (timeline, layer, timeline.cut)
  }

  /// Takes an entry's pages if they are needed.
  ///
  /// - Returns: false if no older entry is needed.
  @inline(__always)
  mutating func take(_ entry: RunEntry) -> Bool {
    guard entry.sequence > floor else { return false }
    guard timeline.isUnbroken || timeline.visible(entry.sequence) == entry.sequence
    else { return true }
    let pages = entry.dataMask & wanted
    if pages != 0 {
      if entry.flags & RunEntry.damaged != 0 { isHurt = true }
      scratch.taken.append(Taken(entry: entry, pages: pages, layer: layer))
    }
    wanted &= ~(entry.dataMask | entry.zeroMask)
    return wanted != 0
  }

  /// Every page not taken so far is zeros.
  mutating func settle() { wanted = 0 }

  /// Something that is needed was lost.
  mutating func markHurt() { isHurt = true }
}
