internal import Bytes
internal import FileIO

/// Finds and checks what a VHD file says of itself: the footer, and in a dynamic one the header and
/// the block table. Everything is doubted: sizes are bounded before anything is allocated.
struct VHDFile {
  let fileSize: UInt64
  let footer: VHDFooter
  let table: VHDBlockTable?

  /// Reads the structures of `file`.
  static func open(_ file: borrowing File) throws(ImageError) -> VHDFile {
    let fileSize = try imageFileSize(file, file.path)
    let (footer, footerOffset) = try footer(of: file, size: fileSize)
    try checkSize(footer, of: file.path)
    switch footer.kind {
    case .fixed:
      guard footer.currentSize <= footerOffset else {
        throw .damaged(
          file.path,
          "its footer tells of a disk of \(footer.currentSize) bytes, but only \(footerOffset) "
            + "bytes lie before it")
      }
      return VHDFile(fileSize: fileSize, footer: footer, table: nil)
    case .dynamic:
      let table = try table(of: file, footer: footer, footerOffset: footerOffset)
      return VHDFile(fileSize: fileSize, footer: footer, table: table)
    case .differencing:
      throw differencing(file, footer: footer, footerOffset: footerOffset)
    case nil:
      throw .unsupported(
        file.path,
        "its footer gives disk type \(footer.type); only fixed (2) and dynamic (3) can be read. "
          + "Convert it with the program that made it.")
    }
  }

  /// The footer at the end, and where it begins. Virtual PC before 2004 left out its last byte.
  private static func footer(
    of file: borrowing File, size: UInt64
  ) throws(ImageError) -> (VHDFooter, UInt64) {
    let length = UInt64(VHDFooter.size)
    for length in [length, length - 1] where size >= length {
      let tail = try bytes(of: file, at: size - length, count: Int(length))
      guard VHDFooter.isCookie(tail) else { continue }
      do throws(ImageError) {
        return (try VHDFooter(tail, of: file.path, at: "its end"), size - length)
      } catch {
        guard error.code == .damaged, try copyAtStart(of: file) != nil else { throw error }
        throw ImageError(
          error.code,
          error.message + " (The copy of the footer at the file's start is intact, but which of "
            + "the two is newer can't be told.)")
      }
    }
    throw try noFooter(file, size: size)
  }

  /// Why there is no footer at the end.
  private static func noFooter(
    _ file: borrowing File, size: UInt64
  ) throws(ImageError) -> ImageError {
    if let copy = try copyAtStart(of: file) {
      return .damaged(
        file.path,
        "its end holds no footer, while the copy at its start tells of a dynamic disk of "
          + "\(copy.currentSize) bytes, so the end is missing or was overwritten")
    }
    let start = try bytes(of: file, at: 0, count: 8)
    if start.elementsEqual("vhdxfile".utf8) {
      return .unsupported(
        file.path,
        "it is a VHDX. Convert it first: qemu-img convert -O vpc -o subformat=fixed,force_size=on "
          + "'\(file.path)' OUT.vhd")
    }
    return ImageError(
      .notAnImage,
      "Cannot read the image '\(file.path)': no VHD footer lies at the end of its \(size) bytes. "
        + "If it is a raw image, say so; if it is a VHD, it was cut short: copy it again.")
  }

  private static func copyAtStart(of file: borrowing File) throws(ImageError) -> VHDFooter? {
    let head = try bytes(of: file, at: 0, count: VHDFooter.size)
    do throws(ImageError) {
      let copy = try VHDFooter(head, of: file.path, at: "its start")
      return copy.kind == .fixed ? nil : copy
    } catch { return nil }
  }

  private static func checkSize(_ footer: VHDFooter, of name: String) throws(ImageError) {
    try checkDiskSize(footer.currentSize, of: name)
    guard footer.currentSize <= VHD.maximumSize else {
      throw ImageError(
        .tooLarge,
        "Cannot read the image '\(name)': its footer tells of a disk of \(footer.currentSize) "
          + "bytes, and the format ends at 2,040 GiB (\(VHD.maximumSize) bytes).")
    }
  }

  private static func header(
    of file: borrowing File, footer: VHDFooter, footerOffset: UInt64
  ) throws(ImageError) -> VHDDynamicHeader {
    let (start, length) = (footer.dataOffset, UInt64(VHDDynamicHeader.size))
    guard start % VHD.sectorSize == 0, start >= UInt64(VHDFooter.size), footerOffset >= length,
      start <= footerOffset - length
    else {
      throw .damaged(
        file.path, "its footer places the dynamic header at byte \(start), where none can lie")
    }
    let bytes = try bytes(of: file, at: start, count: VHDDynamicHeader.size)
    return try VHDDynamicHeader(bytes, of: file.path)
  }

  private static func table(
    of file: borrowing File, footer: VHDFooter, footerOffset: UInt64
  ) throws(ImageError) -> VHDBlockTable {
    if let copy = try copyAtStart(of: file), copy.currentSize != footer.currentSize {
      throw .damaged(
        file.path,
        "the footer at its end tells of a disk of \(footer.currentSize) bytes, the copy at its "
          + "start of \(copy.currentSize)")
    }
    let header = try header(of: file, footer: footer, footerOffset: footerOffset)
    let count = try entryCount(of: header, size: footer.currentSize, in: file.path)
    let (start, length) = (header.tableOffset, UInt64(count) * 4)
    guard start % VHD.sectorSize == 0, start >= UInt64(VHDFooter.size), length <= footerOffset,
      start <= footerOffset - length
    else {
      throw .damaged(
        file.path,
        "its block table of \(length) bytes would begin at byte \(start), where it can't lie")
    }
    let bytes = try bytes(of: file, at: start, count: Int(length))
    let table = VHDBlockTable(bytes, blockSize: UInt64(header.blockSize))
    let reserved = [
      footer.dataOffset..<footer.dataOffset + UInt64(VHDDynamicHeader.size), start..<start + length,
    ]
    try table.validate(
      size: footer.currentSize, room: UInt64(VHDFooter.size)..<footerOffset, outside: reserved,
      of: file.path)
    return table
  }

  private static func entryCount(
    of header: VHDDynamicHeader, size: UInt64, in name: String
  ) throws(ImageError) -> Int {
    let block = header.blockSize
    guard block.nonzeroBitCount == 1, block >= VHDBlockTable.smallestBlock,
      block <= VHDBlockTable.largestBlock
    else {
      throw .unsupported(
        name,
        "its blocks are of \(block) bytes; a power of two from 4 KiB to 256 MiB can be read. "
          + "If the program that made it still reads it, convert it there.")
    }
    let count = VHDBlockTable.entryCount(size: size, blockSize: UInt64(block))
    guard UInt64(header.entryCount) >= count else {
      throw .damaged(
        name,
        "its block table has \(header.entryCount) entries, but a disk of \(size) bytes in blocks "
          + "of \(block) needs \(count)")
    }
    guard count <= VHDBlockTable.mostEntries else {
      throw .unsupported(
        name,
        "its block table has \(count) entries; at most \(VHDBlockTable.mostEntries) are read. "
          + "Convert it to larger blocks.")
    }
    return Int(count)
  }

  private static func differencing(
    _ file: borrowing File, footer: VHDFooter, footerOffset: UInt64
  ) -> ImageError {
    var parent = "its parent"
    do throws(ImageError) {
      let header = try header(of: file, footer: footer, footerOffset: footerOffset)
      if !header.parentName.isEmpty { parent = "its parent '\(header.parentName)'" }
    } catch {
      // Only the name is lost; what matters is that the file can't be read alone.
    }
    return .unsupported(
      file.path,
      "it is a differencing VHD and holds only what differs from \(parent). Merge the two first "
        + "(Merge-VHD in Hyper-V) or give the merged disk.")
  }

  /// Exactly `count` bytes; fewer only if the file is shorter than that.
  private static func bytes(
    of file: borrowing File, at offset: UInt64, count: Int
  ) throws(ImageError) -> [UInt8] {
    do throws(IOError) { return try file.read(at: offset, count: count) } catch {
      throw ImageError(error)
    }
  }
}
