internal import Bytes
internal import Codecs
internal import Synchronization

/// What one read needs besides its result, kept from read to read so that none allocates.
///
/// Unchecked, because the pool gives an area to one thread at a time and takes it back after.
final class ReadScratch: @unchecked Sendable {
  /// Fetches of neighbouring cells are joined up to this size.
  static let fetchLimit = 512 << 10

  let coder = CellCoder()
  /// Stored bytes, as fetched.
  let fetched = UnsafeMutableRawBufferPointer.allocate(byteCount: fetchLimit, alignment: 64)
  /// One decompressed cell of which only a part is wanted.
  let cell = UnsafeMutableRawBufferPointer.allocate(byteCount: Layout.cellSize, alignment: 64)
  var taken: [BlockQuery.Taken] = []
  var pieces: [CellPiece] = []

  deinit {
    fetched.deallocate()
    cell.deallocate()
  }
}

/// Scratch areas that wait for the next read. Safe from any thread; nobody waits for another.
final class ScratchPool: Sendable {
  static let shared = ScratchPool()

  /// A place for one area.
  private final class Place: Sendable {
    let area = Mutex<ReadScratch?>(nil)
  }

  private let places = (0..<32).map { _ in Place() }

  /// Lends an area to `body`.
  @inline(__always)
  func withScratch(_ body: (ReadScratch) throws(VaultError) -> Void) throws(VaultError) {
    let first = Self.threadHash
    let scratch = take(from: first)
    defer { put(scratch, at: first) }
    try body(scratch)
  }

  /// Differs between most threads, and is mostly the same in one: where its stack lies.
  @inline(__always)
  private static var threadHash: Int {
    var here: UInt8 = 0
    return withUnsafeMutablePointer(to: &here) {
      Int(((UInt(bitPattern: $0) >> 16) &* 0x9E37_79B1) >> 12)
    }
  }

  private func take(from first: Int) -> ReadScratch {
    for step in 0..<places.count {
      let place = places[(first &+ step) % places.count]
      let found = place.area.withLockIfAvailable { $0.take() }
      if let found, let area = found { return area }
    }
    return ReadScratch()
  }

  /// What finds no place is let go.
  private func put(_ scratch: ReadScratch, at first: Int) {
    for step in 0..<places.count {
      let place = places[(first &+ step) % places.count]
      let isKept = place.area.withLockIfAvailable { area in
        guard area == nil else { return false }
        area = scratch
        return true
      }
      if isKept == true { return }
    }
  }
}
