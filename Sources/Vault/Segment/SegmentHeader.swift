internal import Bytes

/// The start of a segment: whose it is, where it stands in the log, and the machine's configuration,
/// so that a lost MANIFEST can be made anew.
struct SegmentHeader: Sendable {
  /// "TMSG".
  static let magic: UInt32 = 0x4753_4D54
  /// Bytes before the configuration.
  static let fixedSize = 96

  var number: UInt32
  var firstSequence: SequenceNumber
  var epoch: UInt32 = 0
  var incarnation: UInt32 = 0
  var created: Timestamp
  var configuration: MachineConfiguration
  /// Bytes of the header with padding; records start here.
  private(set) var length: UInt32 = 0

  func encode(identity: LogIdentity) -> [UInt8] {
    let configuration = configuration.encode()
    let length = Self.length(configuration)
    var writer = ByteWriter(capacity: length)
    writer.integer(Self.magic)
    writer.integer(UInt32(Format.version))
    writer.identifier(identity.vault)
    writer.identifier(identity.machine)
    writer.integer(number)
    writer.integer(UInt32(length))
    writer.integer(firstSequence.rawValue)
    writer.integer(epoch)
    writer.integer(incarnation)
    writer.integer(created.rawValue)
    writer.integer(UInt32(configuration.count))
    writer.zeros(Self.fixedSize - writer.bytes.count)
    writer.append(contentsOf: configuration)
    writer.zeros(length - 4 - writer.bytes.count)
    writer.integer(writer.bytes.withUnsafeBytes { Checksum.of($0, seed: identity.seed) })
    return writer.bytes
  }

  private static func length(_ configuration: [UInt8]) -> Int {
    Format.aligned(fixedSize + configuration.count + 4)
  }

  init(
    number: UInt32, firstSequence: SequenceNumber, created: Timestamp,
    configuration: MachineConfiguration
  ) {
    (self.number, self.firstSequence) = (number, firstSequence)
    (self.created, self.configuration) = (created, configuration)
    length = UInt32(Self.length(configuration.encode()))
  }

  /// Reads the header at the start of `bytes`; nil if it is no intact header of this vault.
  ///
  /// The identity found is given too, for whoever does not know the machine yet.
  static func decode(_ bytes: [UInt8]) -> (header: SegmentHeader, identity: LogIdentity)? {
    bytes.withUnsafeBytes { buffer in
      var reader = ByteReader(buffer)
      guard let found = try? read(from: &reader) else { return nil }
      let length = Int(found.header.length)
      guard length <= buffer.count else { return nil }
      let body = UnsafeRawBufferPointer(rebasing: buffer[..<(length - 4)])
      let stored = buffer.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self)
      return Checksum.of(body, seed: found.identity.seed) == stored ? found : nil
    }
  }

  private static func read(
    from reader: inout ByteReader
  ) throws(ByteReader.ShortInput) -> (header: SegmentHeader, identity: LogIdentity) {
    guard try reader.integer(UInt32.self) == magic,
      try reader.integer(UInt32.self) == UInt32(Format.version)
    else { throw ByteReader.ShortInput() }
    let identity = LogIdentity(
      vault: try reader.identifier(), machine: try reader.identifier())
    let number = try reader.integer(UInt32.self)
    let length = try reader.integer(UInt32.self)
    let first = SequenceNumber(rawValue: try reader.integer())
    let (epoch, incarnation) = (try reader.integer(UInt32.self), try reader.integer(UInt32.self))
    let created = Timestamp(rawValue: try reader.integer())
    let count = Int(try reader.integer(UInt32.self))
    try reader.skip(fixedSize - reader.position)
    guard length >= UInt32(fixedSize + 4), length <= 1 << 22,
      count <= Int(length) - fixedSize - 4
    else { throw ByteReader.ShortInput() }
    var header = SegmentHeader(
      number: number, firstSequence: first, created: created,
      configuration: try MachineConfiguration(from: &reader))
    (header.epoch, header.incarnation, header.length) = (epoch, incarnation, length)
    return (header, identity)
  }
}
