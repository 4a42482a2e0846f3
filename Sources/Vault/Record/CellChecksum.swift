internal import Bytes

/// The checksum of one cell's stored bytes, or of a mark's or sync's payload.
///
/// It starts from whose log it is, what record it belongs to and where on which disk the bytes go:
/// an intact cell in the wrong place does not fit.
enum CellChecksum {
  @inline(__always)
  static func of(
    _ stored: UnsafeRawBufferPointer, identity: LogIdentity, type: RecordType, disk: UInt32,
    block: UInt64, sequence: UInt64, cell: Int
  ) -> UInt32 {
    var checksum = Checksum(seed: identity.seed)
    checksum.add(block)
    checksum.add(sequence)
    checksum.add(UInt64(disk) | UInt64(type.rawValue) << 32 | UInt64(cell) << 40)
    checksum.add(stored)
    return checksum.value
  }
}
