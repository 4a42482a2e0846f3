internal import Bytes
internal import Codecs

/// Turns pages of a block into a record: finds the zeros, compresses and checksums the cells.
///
/// One thread at a time; keeps its state so that no record allocates.
final class BlockRecordEncoder {
  private let coder = CellCoder()
  private let gathered = UnsafeMutableRawBufferPointer.allocate(
    byteCount: Layout.cellSize, alignment: 16)

  deinit { gathered.deallocate() }

  /// Encodes the pages of `header.dataMask` out of `content`: one block of 64 KiB, or the part of it from page
  /// `first` on that holds them.
  ///
  /// Pages that turn out to be zeros move to the zero mask. `output` holds at least
  /// `Format.largestBlockRecord` bytes.
  /// - Returns: the header as written; `length` is the record's length.
  func encode(
    _ header: RecordHeader, content: UnsafeRawBufferPointer, from first: Int = 0,
    identity: LogIdentity, into output: UnsafeMutableRawBufferPointer
  ) -> RecordHeader {
    var header = header
    markZeroPages(&header, content, from: first)
    var position = Format.recordHeaderSize
    for cell in 0..<Layout.cellsPerBlock {
      let pages = (header.dataMask >> UInt16(cell * Layout.pagesPerCell)) & 0xF
      guard pages != 0 else { continue }
      let raw = gather(pages, of: cell, from: content, first)
      let start = position + Format.cellChecksumSize
      let length = store(raw, codec: header.codec, at: start, in: output)
      let stored = UnsafeRawBufferPointer(rebasing: output[start..<start + length])
      let checksum = CellChecksum.of(
        stored, identity: identity, type: .data, disk: header.disk, block: header.block,
        sequence: header.sequence.rawValue, cell: cell)
      output.storeBytes(of: checksum.littleEndian, toByteOffset: position, as: UInt32.self)
      header.cellLengths[cell] = UInt16(length + Format.cellChecksumSize)
      position = start + length
    }
    let end = Format.aligned(position)
    UnsafeMutableRawBufferPointer(rebasing: output[position..<end]).initializeMemory(
      as: UInt8.self, repeating: 0)
    header.length = UInt32(end)
    header.encode(into: output, identity: identity)
    return header
  }

  private func markZeroPages(
    _ header: inout RecordHeader, _ content: UnsafeRawBufferPointer, from first: Int
  ) {
    for page in 0..<Layout.pagesPerBlock where header.dataMask & (1 << UInt16(page)) != 0 {
      let range = (page - first) * Layout.pageSize..<(page - first + 1) * Layout.pageSize
      if UnsafeRawBufferPointer(rebasing: content[range]).isZero {
        header.dataMask &= ~(1 << UInt16(page))
        header.zeroMask |= 1 << UInt16(page)
      }
    }
  }

  /// The pages of one cell next to each other; in place where all four are wanted.
  private func gather(
    _ pages: UInt16, of cell: Int, from content: UnsafeRawBufferPointer, _ first: Int
  ) -> UnsafeRawBufferPointer {
    let start = cell * Layout.cellSize - first * Layout.pageSize
    if pages.nonzeroBitCount == 1 {
      let from = start + pages.trailingZeroBitCount * Layout.pageSize
      return UnsafeRawBufferPointer(rebasing: content[from..<from + Layout.pageSize])
    }
    if pages == 0xF {
      return UnsafeRawBufferPointer(rebasing: content[start..<start + Layout.cellSize])
    }
    var length = 0
    for page in 0..<Layout.pagesPerCell where pages & (1 << UInt16(page)) != 0 {
      let from = start + page * Layout.pageSize
      UnsafeMutableRawBufferPointer(rebasing: gathered[length..<length + Layout.pageSize])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: content[from..<from + Layout.pageSize]))
      length += Layout.pageSize
    }
    return UnsafeRawBufferPointer(rebasing: gathered[..<length])
  }

  /// Stores a cell's bytes compressed, or as they are where that is not shorter.
  private func store(
    _ raw: UnsafeRawBufferPointer, codec: Codec, at start: Int,
    in output: UnsafeMutableRawBufferPointer
  ) -> Int {
    let room = UnsafeMutableRawBufferPointer(rebasing: output[start..<start + raw.count - 1])
    if let length = coder.compress(raw, with: codec, into: room) { return length }
    UnsafeMutableRawBufferPointer(rebasing: output[start..<start + raw.count])
      .copyMemory(from: raw)
    return raw.count
  }
}
