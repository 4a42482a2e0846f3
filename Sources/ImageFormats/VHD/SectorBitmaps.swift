internal import Bytes
internal import FileIO
internal import Synchronization

/// Which sectors of a block are present: one bit each, the first in the highest bit of a byte.
enum SectorMap: Sendable {
  case full
  case empty
  case mixed(Bits)

  struct Bits: Sendable {
    let bytes: [UInt8]

    func isPresent(_ sector: Int) -> Bool { bytes[sector >> 3] & (0x80 >> UInt8(sector & 7)) != 0 }

    /// Whether `sector` is present, and the first sector after it that differs in that.
    func run(at sector: Int) -> (isPresent: Bool, end: Int) {
      let isPresent = isPresent(sector)
      let uniform: UInt8 = isPresent ? 0xFF : 0
      var end = sector + 1
      while end < bytes.count * 8 {
        if end & 7 == 0, bytes[end >> 3] == uniform {
          end += 8
        } else if self.isPresent(end) == isPresent {
          end += 1
        } else {
          break
        }
      }
      return (isPresent, end)
    }
  }

  init(_ bytes: [UInt8]) {
    let isZero = bytes.withUnsafeBytes { $0.isZero }
    if isZero {
      self = .empty
    } else if bytes.allSatisfy({ $0 == 0xFF }) {
      self = .full
    } else {
      self = .mixed(Bits(bytes: bytes))
    }
  }
}

/// The bitmaps read lately; all other reads of a block would read its bitmap again.
final class SectorBitmaps: Sendable {
  private let bitmapSize: UInt64
  private let capacity: Int
  private let known = Mutex<[Int: SectorMap]>([:])

  /// Remembers at most 2 MiB of bitmaps of `bitmapSize` bytes.
  init(bitmapSize: UInt64) {
    self.bitmapSize = bitmapSize
    capacity = max(1, (2 << 20) / Int(bitmapSize))
  }

  /// The bitmap of `block`, which ends where the block's data begins.
  func map(
    of block: Int, endingAt data: UInt64, in file: borrowing File
  ) throws(ImageError) -> SectorMap {
    if let map = known.withLock({ $0[block] }) { return map }
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try file.read(at: data - bitmapSize, count: Int(bitmapSize))
    } catch { throw ImageError(error) }
    guard bytes.count == Int(bitmapSize) else {
      throw .damaged(file.path, "it ends inside the sector bitmap of block \(block)")
    }
    let map = SectorMap(bytes)
    known.withLock { known in
      if known.count >= capacity { known.removeAll(keepingCapacity: true) }
      known[block] = map
    }
    return map
  }
}
