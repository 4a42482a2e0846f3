internal import Bytes
internal import Codecs

/// Checks the cells of a record whose header is intact.
enum RecordCheck {
  /// The pages of a data record that can't be given out any more; 0 if it is whole.
  ///
  /// With `coder` each cell is decompressed too.
  static func damagedPages(
    of header: RecordHeader, in record: UnsafeRawBufferPointer, identity: LogIdentity,
    coder: CellCoder?, scratch: UnsafeMutableRawBufferPointer
  ) -> UInt16 {
    var damaged: UInt16 = 0
    var position = Format.recordHeaderSize
    for cell in 0..<Layout.cellsPerBlock {
      let length = Int(header.cellLengths[cell])
      guard length > 0 else { continue }
      defer { position += length }
      let pages = header.dataMask >> UInt16(cell * Layout.pagesPerCell) & 0xF
      let stored = UnsafeRawBufferPointer(rebasing: record[position..<position + length])
      let body = UnsafeRawBufferPointer(rebasing: stored[Format.cellChecksumSize...])
      let checksum = CellChecksum.of(
        body, identity: identity, type: header.type, disk: header.disk, block: header.block,
        sequence: header.sequence.rawValue, cell: cell)
      var isIntact = checksum == stored.loadUnaligned(as: UInt32.self)
      if isIntact, let coder {
        let size = pages.nonzeroBitCount * Layout.pageSize
        isIntact = coder.decompress(
          body, with: body.count == size ? .none : header.codec,
          into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<size]))
      }
      if !isIntact { damaged |= pages << UInt16(cell * Layout.pagesPerCell) }
    }
    return damaged
  }
}
