public import Bytes
internal import FileIO
internal import Synchronization

/// A disk in a VHD, fixed or dynamic, whichever program wrote it.
///
/// The size is the footer's current size, not what its geometry covers. A sector that a block's
/// bitmap does not have is zeros, whatever the file holds in its place.
public final class VHDImage: DiskContent {
  /// Bytes of the disk.
  public let size: UInt64
  /// The path it was opened by.
  public let path: String
  /// Bytes of the file.
  public let fileSize: UInt64
  /// What the footer at the end says.
  package let footer: VHDFooter
  let file: File
  /// Where the blocks are; nil in a fixed VHD.
  let table: VHDBlockTable?
  let bitmaps: SectorBitmaps

  /// Opens the VHD at `path` for reading, and checks its headers and its block table.
  ///
  /// - Throws: `.notAnImage` without a footer; `.damaged` for wrong checksums, a file cut short,
  ///   blocks outside the file or over each other; `.unsupported` for a differencing VHD, another
  ///   version or a senseless block size; `.invalidSize`, `.io`.
  public init(_ path: String) throws(ImageError) {
    self.path = path
    file = try onDisk { () throws(IOError) in try File(path, .reading) }
    let found = try VHDFile.open(file)
    (fileSize, footer) = (found.fileSize, found.footer)
    size = found.footer.currentSize
    table = found.table
    bitmaps = SectorBitmaps(bitmapSize: found.table?.bitmapSize ?? VHD.sectorSize)
  }

  /// Whether it keeps only the blocks that hold anything.
  public var isDynamic: Bool { table != nil }

  /// Fills `buffer` with the bytes from `offset`; the whole range lies within `size`.
  ///
  /// - Throws: `.io`, or `.damaged` if the file has become shorter than it was.
  public func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(ImageError) {
    guard let table else { return try readExactly(file, into: buffer, at: offset) }
    var done = 0
    while done < buffer.count {
      let place = offset + UInt64(done)
      let inBlock = place % table.blockSize
      let count = min(buffer.count - done, Int(table.blockSize - inBlock))
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      try read(into: part, block: Int(place / table.blockSize), at: inBlock, of: table)
      done += count
    }
  }

  private func read(
    into part: UnsafeMutableRawBufferPointer, block: Int, at inBlock: UInt64,
    of table: VHDBlockTable
  ) throws(ImageError) {
    guard let data = table.dataOffset(of: block) else { return part.clear() }
    switch try bitmaps.map(of: block, endingAt: data, in: file) {
    case .full: try readExactly(file, into: part, at: data + inBlock)
    case .empty: part.clear()
    case .mixed(let map):
      var done = 0
      while done < part.count {
        let place = inBlock + UInt64(done)
        let run = map.run(at: Int(place / VHD.sectorSize))
        let end = min(UInt64(run.end) * VHD.sectorSize, inBlock + UInt64(part.count))
        let stretch = UnsafeMutableRawBufferPointer(rebasing: part[done..<Int(end - inBlock)])
        if run.isPresent {
          try readExactly(file, into: stretch, at: data + place)
        } else {
          stretch.clear()
        }
        done = Int(end - inBlock)
      }
    }
  }

  /// Lets the next reads come from where the file is kept, not from the kernel's memory.
  func forgetCached() { file.forgetCached() }

  /// The first byte at or after `offset` that may be other than zero; nil if none follows.
  public func nextData(from offset: UInt64) throws(ImageError) -> UInt64? {
    var place = offset
    while place < size {
      let stretch = try self.stretch(at: place)
      if stretch.isData { return place }
      place = stretch.end
    }
    return nil
  }

  /// The first byte at or after `offset` that is not kept, or lies in a hole of the file; `size` if
  /// none follows.
  public func nextHole(from offset: UInt64) throws(ImageError) -> UInt64 {
    var place = offset
    while place < size {
      let stretch = try self.stretch(at: place)
      if !stretch.isData { return place }
      place = stretch.end
    }
    return size
  }

  /// What lies at `place`, and the byte up to which that surely goes on.
  private func stretch(at place: UInt64) throws(ImageError) -> (isData: Bool, end: UInt64) {
    guard let table else { return try stretchOfFile(at: place, before: size, shiftedBy: 0) }
    let block = Int(place / table.blockSize)
    let blockStart = UInt64(block) * table.blockSize
    let blockEnd = min(blockStart + table.blockSize, size)
    guard let data = table.dataOffset(of: block) else { return (false, blockEnd) }
    var end = blockEnd
    switch try bitmaps.map(of: block, endingAt: data, in: file) {
    case .full: break
    case .empty: return (false, blockEnd)
    case .mixed(let map):
      let run = map.run(at: Int((place - blockStart) / VHD.sectorSize))
      end = min(blockStart + UInt64(run.end) * VHD.sectorSize, blockEnd)
      if !run.isPresent { return (false, end) }
    }
    return try stretchOfFile(at: place, before: end, shiftedBy: Int64(data) - Int64(blockStart))
  }

  /// The same, of bytes that the file keeps `shift` bytes behind their place in the disk.
  private func stretchOfFile(
    at place: UInt64, before end: UInt64, shiftedBy shift: Int64
  ) throws(ImageError) -> (isData: Bool, end: UInt64) {
    let (start, limit) = (place.advanced(by: shift), end.advanced(by: shift))
    let data = try onDisk { () throws(IOError) in try file.nextData(from: start) } ?? limit
    if data > start { return (false, min(data, limit).advanced(by: -shift)) }
    let hole = try onDisk { () throws(IOError) in try file.nextHole(from: start) }
    return (true, max(min(hole, limit).advanced(by: -shift), place + 1))
  }
}

extension UInt64 {
  fileprivate func advanced(by distance: Int64) -> UInt64 {
    UInt64(bitPattern: Int64(bitPattern: self) &+ distance)
  }
}
