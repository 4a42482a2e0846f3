internal import Bytes

/// The parts of `bytes` that are not zero, in units of 4 KiB counted from the disk's start.
///
/// `offset` is the disk's byte at which `bytes` begin. Zero units between two parts split them, so
/// that equal content gives equal holes, whatever the source knew of its own.
func nonzeroParts(of bytes: UnsafeRawBufferPointer, at offset: UInt64) -> [Range<Int>] {
  var parts: [Range<Int>] = []
  var start: Int?
  var place = 0
  while place < bytes.count {
    let inPage = Int((offset + UInt64(place)) % UInt64(Layout.pageSize))
    let end = min(place + Layout.pageSize - inPage, bytes.count)
    if UnsafeRawBufferPointer(rebasing: bytes[place..<end]).isZero {
      if let first = start { parts.append(first..<place) }
      start = nil
    } else if start == nil {
      start = place
    }
    place = end
  }
  if let first = start { parts.append(first..<bytes.count) }
  return parts
}

extension DiskContent {
  /// The next stretch at or after `cursor` that may hold data, not across a multiple of `chunk`.
  ///
  /// It begins at a page.
  func nextStretch(from cursor: UInt64, chunk: UInt64) throws -> Range<UInt64>? {
    guard cursor < size, let data = try nextData(from: cursor), data < size else { return nil }
    let page = UInt64(Layout.pageSize)
    let start = max(cursor, data / page * page)
    return start..<min((start / chunk + 1) * chunk, size)
  }
}

/// Runs `body`, which uses the disk to be exported, and makes its failure a `.source` error.
func fromSource<T>(_ body: () throws -> T) throws(ImageError) -> T {
  do { return try body() } catch {
    throw ImageError(.source, "Cannot read the disk to be exported: \(error)", cause: error)
  }
}

/// Runs `body`, which uses an image, and passes its `ImageError` on.
func fromImage<T>(_ body: () throws -> T) throws(ImageError) -> T {
  do { return try body() } catch let error as ImageError { throw error } catch {
    throw ImageError(.io, "Cannot read the image: \(error)", cause: error)
  }
}
