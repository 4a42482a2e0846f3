import Bytes
import FileIO
import ImageFormats
import Support
import Synchronization

/// A disk in memory, cut into pieces of 4 KiB of which it knows which are holes.
final class MemoryDisk: DiskContent {
  let size: UInt64
  private let pages: Mutex<[UInt64: [UInt8]]>
  /// Reads that touch this range fail.
  let broken: Range<UInt64>?

  init(size: UInt64, broken: Range<UInt64>? = nil) {
    (self.size, self.broken) = (size, broken)
    pages = Mutex([:])
  }

  convenience init(_ bytes: [UInt8]) {
    self.init(size: UInt64(bytes.count))
    write(bytes, at: 0)
  }

  struct Broken: Error, CustomStringConvertible {
    var description: String { "Block 7 of disk 0 is damaged." }
  }

  func write(_ bytes: [UInt8], at offset: UInt64) {
    pages.withLock { pages in
      var done = 0
      while done < bytes.count {
        let (page, inPage) = (offset + UInt64(done)).quotientAndRemainder(dividingBy: 4096)
        let count = min(bytes.count - done, 4096 - Int(inPage))
        pages[page, default: [UInt8](repeating: 0, count: 4096)]
          .replaceSubrange(Int(inPage)..<Int(inPage) + count, with: bytes[done..<done + count])
        done += count
      }
    }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    precondition(offset + UInt64(buffer.count) <= size)
    if let broken, broken.overlaps(offset..<offset + UInt64(buffer.count)) { throw Broken() }
    pages.withLock { pages in
      var done = 0
      while done < buffer.count {
        let place = offset + UInt64(done)
        let inPage = Int(place % 4096)
        let count = min(buffer.count - done, 4096 - inPage)
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
        if let page = pages[place / 4096] {
          page.withUnsafeBytes {
            part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[inPage..<inPage + count]))
          }
        } else {
          part.clear()
        }
        done += count
      }
    }
  }

  func nextData(from offset: UInt64) throws -> UInt64? {
    let page = pages.withLock { $0.keys.filter { $0 >= offset / 4096 }.min() }
    guard let page else { return nil }
    let found = max(page * 4096, offset)
    return found < size ? found : nil
  }

  func nextHole(from offset: UInt64) throws -> UInt64 {
    pages.withLock { pages in
      var page = offset / 4096
      while pages[page] != nil { page += 1 }
      return min(max(page * 4096, offset), size)
    }
  }
}

extension DiskContent {
  /// The bytes of a range.
  func bytes(_ offset: UInt64, _ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xEE, count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0, at: offset) }
    return bytes
  }

  /// All bytes.
  func bytes() throws -> [UInt8] { try bytes(0, Int(size)) }

  /// The stretches outside holes, by walking `nextData` and `nextHole`.
  func stretches() throws -> [Range<UInt64>] {
    var found: [Range<UInt64>] = []
    var place: UInt64 = 0
    while let data = try nextData(from: place) {
      let hole = try nextHole(from: data)
      found.append(data..<hole)
      place = hole
    }
    return found
  }
}

/// Writes a file of these bytes.
func write(_ bytes: [UInt8], to path: String) throws {
  let file = try File(path, .creating(permissions: 0o600))
  try file.write(bytes, at: 0)
}

/// A dynamic VHD put together by hand, each part of which a test may spoil.
struct HandmadeVHD {
  var footer: VHDFooter
  var header: VHDDynamicHeader
  var table: [UInt32]
  /// What the file holds from a byte on: bitmaps and blocks.
  var parts: [(offset: UInt64, bytes: [UInt8])] = []
  /// Where the footer at the end begins.
  var end: UInt64
  var headCopy = true

  /// An empty disk of `size` bytes in blocks of `blockSize`, with room for `blocks` of them.
  init(size: UInt64, blockSize: UInt32 = 1 << 16, room blocks: UInt64 = 8) {
    footer = VHDFooter(
      kind: .dynamic, diskSize: size, identifier: Identifier(high: 1, low: 2),
      created: Timestamp(seconds: 1_700_000_000))
    let count = VHDBlockTable.entryCount(size: size, blockSize: UInt64(blockSize))
    header = VHDDynamicHeader(
      tableOffset: 1536, entryCount: UInt32(count), blockSize: blockSize)
    table = [UInt32](repeating: VHD.absent, count: Int(count))
    let stride = VHDBlockTable.bitmapSize(ofBlock: UInt64(blockSize)) + UInt64(blockSize)
    end = 2048 + (UInt64(count) * 4 + 511) / 512 * 512 + blocks * stride
  }

  /// The sector at which the block in a slot begins.
  func sector(ofSlot slot: UInt64) -> UInt32 {
    let size = UInt64(header.blockSize)
    let first = 2048 + (UInt64(table.count) * 4 + 511) / 512 * 512
    return UInt32((first + slot * (VHDBlockTable.bitmapSize(ofBlock: size) + size)) / 512)
  }

  /// Puts a block into a slot: its bitmap, and the first bytes of its data.
  mutating func add(block: Int, slot: UInt64, bitmap: [UInt8], data: [UInt8]) {
    table[block] = sector(ofSlot: slot)
    let start = UInt64(table[block]) * 512
    parts.append((start, bitmap))
    parts.append((start + VHDBlockTable.bitmapSize(ofBlock: UInt64(header.blockSize)), data))
  }

  func write(to path: String, footerLength: Int = 512) throws {
    let file = try File(path, .creating(permissions: 0o600))
    let foot = footer.encoded()
    if headCopy { try file.write(foot, at: 0) }
    try file.write(header.encoded(), at: 512)
    var writer = ByteWriter()
    for entry in table { writer.bigEndian(entry) }
    try file.write(writer.bytes, at: 1536)
    for part in parts { try file.write(part.bytes, at: part.offset) }
    try file.write(Array(foot.prefix(footerLength)), at: end)
  }
}

extension MemoryDisk {
  /// A disk with pieces of data here and there, zeros that are no holes among them.
  static func sample(size: UInt64, _ random: inout SeededGenerator) -> MemoryDisk {
    let disk = MemoryDisk(size: size)
    for _ in 0..<12 {
      let start = UInt64.random(in: 0..<size, using: &random)
      let count = min(random.number(1..<60_000), Int(size - start))
      let zeros = [UInt8](repeating: 0, count: count)
      disk.write(random.once(in: 4) ? zeros : random.bytes(count), at: start)
    }
    disk.write(random.bytes(512), at: size - 512)
    return disk
  }
}

/// A disk that knows no holes.
struct Dense<Content: DiskContent>: DiskContent {
  let content: Content
  var size: UInt64 { content.size }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try content.read(into: buffer, at: offset)
  }

  func nextData(from offset: UInt64) -> UInt64? { offset < size ? offset : nil }
  func nextHole(from offset: UInt64) -> UInt64 { size }
}
