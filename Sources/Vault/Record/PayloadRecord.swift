internal import Bytes

/// Records that carry a payload instead of cells: marks and syncs.
enum PayloadRecord {
  /// Builds the whole record.
  static func encode(
    _ type: RecordType, sequence: SequenceNumber, time: Timestamp, payload: [UInt8],
    hint: RecordHint, identity: LogIdentity
  ) -> [UInt8] {
    let stored = payload.count + Format.cellChecksumSize
    let length = Format.aligned(Format.recordHeaderSize + stored)
    var header = RecordHeader(
      type: type, sequence: sequence, time: time, length: UInt32(length))
    header.payloadLength = UInt32(stored)
    header.hint = hint
    let complete = header
    var record = [UInt8](repeating: 0, count: length)
    record.withUnsafeMutableBytes { bytes in
      let start = Format.recordHeaderSize + Format.cellChecksumSize
      UnsafeMutableRawBufferPointer(rebasing: bytes[start...]).copyBytes(from: payload)
      let body = UnsafeRawBufferPointer(rebasing: bytes[start..<start + payload.count])
      bytes.storeBytes(
        of: payloadChecksum(body, type, sequence, identity).littleEndian,
        toByteOffset: Format.recordHeaderSize, as: UInt32.self)
      complete.encode(into: bytes, identity: identity)
    }
    return record
  }

  private static func payloadChecksum(
    _ payload: UnsafeRawBufferPointer, _ type: RecordType, _ sequence: SequenceNumber,
    _ identity: LogIdentity
  ) -> UInt32 {
    CellChecksum.of(
      payload, identity: identity, type: type, disk: 0, block: 0, sequence: sequence.rawValue,
      cell: 0)
  }

  /// The payload of an intact header's record; `record` starts at the header.
  ///
  /// A payload with one flipped bit is repaired, and `repaired` says so; one that is damaged worse
  /// is nil.
  static func payload(
    of header: RecordHeader, in record: UnsafeRawBufferPointer, identity: LogIdentity
  ) -> (bytes: [UInt8], repaired: Bool)? {
    let end = Format.recordHeaderSize + Int(header.payloadLength)
    guard end <= record.count else { return nil }
    var stored = [UInt8](record[Format.recordHeaderSize..<end])
    let fits = { (bytes: UnsafeRawBufferPointer) -> Bool in
      let body = UnsafeRawBufferPointer(rebasing: bytes[Format.cellChecksumSize...])
      return payloadChecksum(body, header.type, header.sequence, identity)
        == bytes.loadUnaligned(as: UInt32.self)
    }
    let intact = stored.withUnsafeBytes(fits)
    guard intact || SingleBitRepair.repair(&stored, until: fits) else { return nil }
    return (Array(stored[Format.cellChecksumSize...]), !intact)
  }
}

/// Finds the one flipped bit that makes bytes fit their checksum.
///
/// For short, precious structures only. CRC32C has a Hamming distance of 6 up to 655 bytes and 4 far
/// beyond, so a damage of two bits is never taken for one of a single bit; the chance that worse
/// damage is, is the number of bits over 2³².
enum SingleBitRepair {
  static func repair(
    _ bytes: inout [UInt8], until fits: (UnsafeRawBufferPointer) -> Bool
  ) -> Bool {
    bytes.withUnsafeMutableBytes { buffer in
      for index in 0..<buffer.count * 8 {
        buffer[index / 8] ^= 1 << UInt8(index % 8)
        if fits(UnsafeRawBufferPointer(buffer)) { return true }
        buffer[index / 8] ^= 1 << UInt8(index % 8)
      }
      return false
    }
  }
}
