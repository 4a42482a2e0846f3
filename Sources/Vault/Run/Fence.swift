/// What an index knows of one of its pages without reading it: 40 bytes, as in a fence page.
struct Fence: Equatable, Sendable {
  /// The first entry's place in the order.
  var key: BlockKey
  var sequence: UInt64
  /// The page's index in the run.
  var page: UInt32
  /// The pages any entry behind the fence says something of: the OR of all their masks.
  var mask: UInt16
  var reserved: UInt16 = 0
  /// The oldest and the newest number behind the fence.
  var oldest: UInt64
  var newest: UInt64

  @inline(__always)
  func precedes(_ key: BlockKey, _ sequence: UInt64) -> Bool {
    self.key.rawValue < key.rawValue || (self.key == key && self.sequence > sequence)
  }

  /// The fence of a page that holds these entries.
  init(page: UInt32, of entries: some Collection<RunEntry>) {
    let first = entries.first
    self.init(
      page: page, key: first?.key ?? BlockKey(rawValue: 0), sequence: first?.sequence ?? 0)
    for entry in entries { cover(entry.dataMask | entry.zeroMask, entry.sequence, entry.sequence) }
  }

  /// The fence of a page that holds these fences.
  init(page: UInt32, of fences: some Collection<Fence>) {
    let first = fences.first
    self.init(
      page: page, key: first?.key ?? BlockKey(rawValue: 0), sequence: first?.sequence ?? 0)
    for fence in fences { cover(fence.mask, fence.oldest, fence.newest) }
  }

  private init(page: UInt32, key: BlockKey, sequence: UInt64) {
    (self.page, self.key, self.sequence, mask) = (page, key, sequence, 0)
    (oldest, newest) = (.max, 0)
  }

  private mutating func cover(_ mask: UInt16, _ oldest: UInt64, _ newest: UInt64) {
    self.mask |= mask
    self.oldest = min(self.oldest, oldest)
    self.newest = max(self.newest, newest)
  }
}
