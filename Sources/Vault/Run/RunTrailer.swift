internal import Bytes

/// The last 4096 bytes of a sealed segment or run file: what the MANIFEST says of it, once more.
///
/// Only rebuild and verify read it; readers go by the MANIFEST.
struct RunTrailer: Equatable, Sendable {
  /// "TMRT".
  static let magic: UInt32 = 0x5452_4D54
  static let size = 4096

  var run: RunDescription
  /// For a segment: where its records end, and the numbers they span.
  var recordsEnd: UInt64
  var firstSequence: UInt64
  var lastSequence: UInt64

  func encode(identity: LogIdentity) -> [UInt8] {
    var writer = ByteWriter(capacity: Self.size)
    writer.integer(Self.magic)
    writer.integer(UInt32(Format.version))
    writer.identifier(identity.vault)
    writer.identifier(identity.machine)
    run.encode(into: &writer)
    writer.integer(recordsEnd)
    writer.integer(firstSequence)
    writer.integer(lastSequence)
    // The cuts a consolidated segment preserves will be listed here.
    writer.zeros(Self.size - 4 - writer.bytes.count)
    let checksum = writer.bytes.withUnsafeBytes { Checksum.of($0, seed: run.seed(identity)) }
    writer.integer(checksum)
    return writer.bytes
  }

  /// Reads a trailer; nil if the bytes are no intact trailer of this log.
  init?(_ bytes: [UInt8], identity: LogIdentity) {
    guard bytes.count == Self.size else { return nil }
    let trailer = bytes.withUnsafeBytes { buffer -> RunTrailer? in
      var reader = ByteReader(buffer)
      guard let trailer = try? RunTrailer(from: &reader, identity: identity) else { return nil }
      let body = UnsafeRawBufferPointer(rebasing: buffer[..<(Self.size - 4)])
      let stored = buffer.load(fromByteOffset: Self.size - 4, as: UInt32.self)
      return Checksum.of(body, seed: trailer.run.seed(identity)) == stored ? trailer : nil
    }
    guard let trailer else { return nil }
    self = trailer
  }

  private init(
    from reader: inout ByteReader, identity: LogIdentity
  ) throws(ByteReader.ShortInput) {
    guard try reader.integer(UInt32.self) == Self.magic,
      try reader.integer(UInt32.self) == UInt32(Format.version),
      try reader.identifier() == identity.vault, try reader.identifier() == identity.machine
    else { throw ByteReader.ShortInput() }
    run = try RunDescription(from: &reader)
    recordsEnd = try reader.integer()
    firstSequence = try reader.integer()
    lastSequence = try reader.integer()
  }

  init(
    run: RunDescription, recordsEnd: UInt64 = 0, firstSequence: UInt64 = 0,
    lastSequence: UInt64 = 0
  ) {
    (self.run, self.recordsEnd) = (run, recordsEnd)
    (self.firstSequence, self.lastSequence) = (firstSequence, lastSequence)
  }
}
