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

/// Scratch areas that wait for the next read. Safe from any thread.
final class ScratchPool: Sendable {
  static let shared = ScratchPool()

  private let idle = Mutex<[ReadScratch]>([])

  /// Lends an area to `body`.
  @inline(__always)
  func withScratch(_ body: (ReadScratch) throws(VaultError) -> Void) throws(VaultError) {
    let scratch = idle.withLock { $0.popLast() } ?? ReadScratch()
    defer { idle.withLock { $0.append(scratch) } }
    try body(scratch)
  }
}
