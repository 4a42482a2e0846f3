package import Bytes

/// The numbers of the VHD format (Microsoft, "Virtual Hard Disk Image Format Specification", 1.0).
///
/// A fixed VHD is the disk's bytes, then a footer. A dynamic VHD is a copy of the footer, a dynamic
/// header, a block table, the blocks that hold anything, and the footer. Integers are big-endian.
package enum VHD {
  /// Bytes of a sector, the unit of every address in the format.
  package static let sectorSize: UInt64 = 512
  /// The most sectors of a disk, 2,040 GiB: the block table addresses sectors with 32 bits, and
  /// QEMU, Hyper-V and Azure all stop here.
  package static let maximumSectors: UInt64 = 0xFF00_0000
  /// Bytes of the largest disk.
  package static let maximumSize = maximumSectors * sectorSize
  /// What disks are padded to: Azure takes only whole MiB.
  package static let sizeUnit: UInt64 = 1 << 20
  /// Seconds between 1970 and 2000, where a VHD's time begins.
  package static let epoch: Int64 = 946_684_800
  /// The entry of a block table that stands for a block that is all zeros.
  package static let absent = UInt32.max

  /// A moment as the format has it: seconds since 2000, held inside what 32 bits can express.
  package static func time(_ moment: Timestamp) -> UInt32 {
    UInt32(clamping: moment.seconds - epoch)
  }

  /// The one's complement of the sum of all bytes, those of the checksum itself left out.
  package static func checksum(_ bytes: UnsafeRawBufferPointer, at field: Int) -> UInt32 {
    var sum: UInt32 = 0
    for byte in bytes { sum &+= UInt32(byte) }
    for byte in bytes[field..<field + 4] { sum &-= UInt32(byte) }
    return ~sum
  }

  /// The size a disk of `size` bytes has inside a VHD: the next whole MiB.
  ///
  /// - Throws: `.invalidSize` for no bytes or a broken sector; `.tooLarge` above 2,040 GiB.
  package static func paddedSize(of size: UInt64) throws(ImageError) -> UInt64 {
    guard size > 0, size % sectorSize == 0 else {
      throw ImageError(
        .invalidSize,
        "Cannot make a VHD of a disk of \(size) bytes: a disk is a whole number of sectors of "
          + "512 bytes, and at least one.")
    }
    guard size <= maximumSize else {
      throw ImageError(
        .tooLarge,
        "Cannot make a VHD of a disk of \(size) bytes: the format ends at 2,040 GiB "
          + "(\(maximumSize) bytes). Export it raw.")
    }
    return (size + sizeUnit - 1) / sizeUnit * sizeUnit
  }
}
