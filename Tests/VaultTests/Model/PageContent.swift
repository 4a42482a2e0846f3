import Bytes
import Support

/// The bytes of a page, known by a number: 0 stands for zeros, every other number for a page of its
/// own. So a model of a disk is an array of numbers, and a page in the wrong place is noticed.
enum PageContent {
  private static let kinds = 64

  /// Pages no codec can shorten, pages that shrink, and pages of little but zeros.
  private static let pool: [UInt8] = {
    var random = SeededGenerator(seed: 1)
    var bytes: [UInt8] = []
    for kind in 0..<kinds {
      switch kind % 4 {
      case 0, 1: bytes += random.bytes(Layout.pageSize)
      case 2: bytes += random.bytes(Layout.pageSize).map { $0 & 0x0F | 0x40 }
      default: bytes += [UInt8](repeating: UInt8(kind), count: 64) + repeatElement(0, count: 4032)
      }
    }
    return bytes
  }()

  /// Writes the page of `number` to `target`, which holds a whole page.
  static func fill(_ number: UInt32, _ target: UnsafeMutableRawBufferPointer) {
    guard number != 0 else { return target.clear() }
    let start = Int(number) % kinds * Layout.pageSize
    pool.withUnsafeBytes {
      target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + target.count]))
    }
    for place in [0, 2048, 4092] {
      target.storeBytes(of: number, toByteOffset: place, as: UInt32.self)
    }
  }
}

/// What the disks of a machine hold, page by page. A copy costs nothing until one side changes.
struct ModelDisks: Equatable {
  /// The number of each page, by disk.
  var pages: [[UInt32]]

  /// The bytes of a range of a disk.
  func bytes(_ disk: Int, _ range: Range<Int>) -> [UInt8] {
    let size = Layout.pageSize
    guard !range.isEmpty else { return [] }
    let first = range.lowerBound / size
    let last = (range.upperBound - 1) / size
    var whole = [UInt8](repeating: 0, count: (last - first + 1) * size)
    whole.withUnsafeMutableBytes { buffer in
      for page in first...last {
        let start = (page - first) * size
        PageContent.fill(
          pages[disk][page], UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + size]))
      }
    }
    let skipped = range.lowerBound - first * size
    if skipped == 0, whole.count == range.count { return whole }
    return Array(whole[skipped..<skipped + range.count])
  }

  /// Makes `count` blocks zeros; what lies behind the end of the disk is left away.
  mutating func zero(_ disk: Int, firstBlock: UInt64, count: UInt64) {
    let perBlock = UInt64(Layout.pagesPerBlock)
    let total = UInt64(pages[disk].count)
    let first = min(total, firstBlock * perBlock)
    let end = min(total, (firstBlock + count) * perBlock)
    for page in first..<end { pages[disk][Int(page)] = 0 }
  }

  /// The first byte at or after `offset` that `isData` pages hold; nil if none follows before `size`.
  func next(_ disk: Int, from offset: UInt64, size: UInt64, isData: Bool) -> UInt64? {
    let pageSize = UInt64(Layout.pageSize)
    var page = offset / pageSize
    while page * pageSize < size {
      if (pages[disk][Int(page)] != 0) == isData { return max(offset, page * pageSize) }
      page += 1
    }
    return nil
  }
}
