/// The bytes of a file in memory; ranges never written take no room and read as zeros.
///
/// A copy shares its chunks until one side changes them, so keeping an older state is cheap.
struct SparseBytes {
  static let chunkSize = 65536
  private var chunks: [Int: [UInt8]] = [:]
  private(set) var size = 0

  /// Bytes that take room.
  var allocated: Int { chunks.count * Self.chunkSize }

  /// How much more room a write would take.
  func growth(writing count: Int, at offset: Int) -> Int {
    guard count > 0 else { return 0 }
    let touched = offset / Self.chunkSize...(offset + count - 1) / Self.chunkSize
    return touched.count { chunks[$0] == nil } * Self.chunkSize
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
    let count = max(0, min(buffer.count, size - offset))
    var done = 0
    while done < count {
      let (chunk, start) = (offset + done).quotientAndRemainder(dividingBy: Self.chunkSize)
      let part = min(count - done, Self.chunkSize - start)
      let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + part])
      if let bytes = chunks[chunk] {
        bytes.withUnsafeBytes { target.copyMemory(from: .init(rebasing: $0[start..<start + part])) }
      } else {
        target.initializeMemory(as: UInt8.self, repeating: 0)
      }
      done += part
    }
    return count
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    var done = 0
    while done < bytes.count {
      let (chunk, start) = (offset + done).quotientAndRemainder(dividingBy: Self.chunkSize)
      let part = min(bytes.count - done, Self.chunkSize - start)
      let source = UnsafeRawBufferPointer(rebasing: bytes[done..<done + part])
      chunks[chunk, default: [UInt8](repeating: 0, count: Self.chunkSize)].withUnsafeMutableBytes {
        UnsafeMutableRawBufferPointer(rebasing: $0[start..<start + part]).copyMemory(from: source)
      }
      done += part
    }
    size = max(size, offset + bytes.count)
  }

  mutating func write(_ bytes: ArraySlice<UInt8>, at offset: Int) {
    bytes.withUnsafeBytes { write($0, at: offset) }
  }

  mutating func resize(to newSize: Int) {
    if newSize < size {
      let kept = (newSize + Self.chunkSize - 1) / Self.chunkSize
      for chunk in chunks.keys where chunk >= kept { chunks[chunk] = nil }
      let tail = newSize % Self.chunkSize
      if tail > 0, chunks[kept - 1] != nil {
        for place in tail..<Self.chunkSize { chunks[kept - 1]?[place] = 0 }
      }
    }
    size = newSize
  }

  /// Inverts one bit; false if that byte takes no room.
  mutating func flip(bit: Int, of offset: Int) -> Bool {
    let (chunk, place) = offset.quotientAndRemainder(dividingBy: Self.chunkSize)
    guard offset < size, chunks[chunk] != nil else { return false }
    chunks[chunk]?[place] ^= 1 << UInt8(bit)
    return true
  }
}
