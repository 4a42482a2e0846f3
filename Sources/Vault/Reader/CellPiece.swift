internal import Bytes
internal import Codecs
internal import FileIO

/// Pages of one cell that a read needs, and where they go.
struct CellPiece {
  var segment: UInt32
  /// Of the cell's checksum, in the segment.
  var offset: UInt64
  /// Stored bytes, checksum included.
  var length: Int
  var block: UInt64
  var sequence: UInt64
  var disk: DiskNumber
  var codec: UInt8
  var cell: UInt8
  /// Which of the reader's logs it is of.
  var layer: UInt8
  /// The pages the cell holds, and those of them that are wanted: four bits each.
  var held: UInt16
  var wanted: UInt16

  /// The first byte of the cell's pages, on the disk.
  @inline(__always)
  var position: UInt64 {
    block * UInt64(Layout.blockSize) + UInt64(cell) * UInt64(Layout.cellSize)
  }

  /// Splits what was taken from a record into its cells.
  @inline(__always)
  static func append(_ taken: BlockQuery.Taken, to pieces: inout [CellPiece]) {
    let entry = taken.entry
    var offset = UInt64(entry.offset) + UInt64(Format.recordHeaderSize)
    for cell in 0..<Layout.cellsPerBlock {
      let length = Int(entry.cellLengths[cell])
      let shift = UInt16(cell * Layout.pagesPerCell)
      let wanted = taken.pages >> shift & 0xF
      if wanted != 0 {
        pieces.append(
          CellPiece(
            segment: entry.segment, offset: offset, length: length, block: entry.key.index,
            sequence: entry.sequence, disk: entry.key.disk, codec: entry.codec,
            cell: UInt8(cell), layer: taken.layer, held: entry.dataMask >> shift & 0xF,
            wanted: wanted))
      }
      offset += UInt64(length)
    }
  }
}

/// Why a cell can't be given out.
enum CellFault: Error {
  case checksum
  case content
}

extension CellPiece {
  /// Verifies and decompresses the cell and copies its wanted pages to their places.
  ///
  /// `output` holds the disk's bytes from `start`; what lies outside of it is left away.
  @inline(__always)
  func decode(
    _ stored: UnsafeRawBufferPointer, identity: LogIdentity, scratch: ReadScratch,
    into output: UnsafeMutableRawBufferPointer, from start: UInt64
  ) throws(CellFault) {
    guard stored.count > Format.cellChecksumSize else { throw .content }
    let body = UnsafeRawBufferPointer(rebasing: stored[Format.cellChecksumSize...])
    let checksum = CellChecksum.of(
      body, identity: identity, type: .data, disk: UInt32(disk), block: block,
      sequence: sequence, cell: Int(cell))
    guard checksum == stored.loadUnaligned(as: UInt32.self) else { throw .checksum }
    let size = held.nonzeroBitCount * Layout.pageSize
    let codec: Codec = body.count == size ? .none : Codec(rawValue: codec) ?? .none
    if wanted == 0xF, position >= start, position - start + UInt64(size) <= UInt64(output.count) {
      let place = Int(position - start)
      let target = UnsafeMutableRawBufferPointer(rebasing: output[place..<place + size])
      guard scratch.coder.decompress(body, with: codec, into: target) else { throw .content }
      return
    }
    let target = UnsafeMutableRawBufferPointer(rebasing: scratch.cell[..<size])
    guard scratch.coder.decompress(body, with: codec, into: target) else { throw .content }
    copyPages(from: UnsafeRawBufferPointer(target), into: output, from: start)
  }

  private func copyPages(
    from pages: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer,
    from start: UInt64
  ) {
    let end = start + UInt64(output.count)
    var source = 0
    for page in 0..<Layout.pagesPerCell where held & 1 << UInt16(page) != 0 {
      defer { source += Layout.pageSize }
      guard wanted & 1 << UInt16(page) != 0 else { continue }
      let first = position + UInt64(page * Layout.pageSize)
      let low = max(first, start)
      let high = min(first + UInt64(Layout.pageSize), end)
      guard low < high else { continue }
      let from = source + Int(low - first)
      UnsafeMutableRawBufferPointer(rebasing: output[Int(low - start)..<Int(high - start)])
        .copyMemory(
          from: UnsafeRawBufferPointer(rebasing: pages[from..<from + Int(high - low)]))
    }
  }
}
