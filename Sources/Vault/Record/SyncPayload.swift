internal import Bytes

/// What a sync record says: the state of the log at the end of a group commit.
struct SyncPayload: Equatable, Sendable {
  /// The newest number is a cut.
  static let endsAtCut: UInt32 = 1
  /// The writer stopped in order; nothing follows until it starts again.
  static let closing: UInt32 = 2
  /// What this ends was moved from the segment before, and is still there unless the MANIFEST knows
  /// this segment.
  static let moved: UInt32 = 4
  /// The failover of the newest epoch is committed: the points up to `lastSequence` are gone.
  static let commits: UInt32 = 8

  var flags: UInt32 = 0
  /// The newest number before this record.
  var lastSequence: SequenceNumber
  /// Everything before this offset of this segment was durable when the record was written.
  var durableOffset: UInt64
  var epoch: UInt32 = 0
  var incarnation: UInt32 = 0
  /// Where the newest epoch or incarnation branched off, and its first number.
  var parentCut: SequenceNumber = .zero
  var branchStart: SequenceNumber = .zero
  /// Bytes of the MANIFEST when this was written, and their checksum.
  var manifestLength: UInt64
  var manifestChecksum: UInt32
  /// The clock of whoever wrote the record.
  var serviceTime: Timestamp
  /// The size of every disk from here on.
  var disks: [PointDisk] = []

  func encode() -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.integer(flags)
    writer.integer(epoch)
    writer.integer(lastSequence.rawValue)
    writer.integer(durableOffset)
    writer.integer(incarnation)
    writer.integer(manifestChecksum)
    writer.integer(parentCut.rawValue)
    writer.integer(branchStart.rawValue)
    writer.integer(manifestLength)
    writer.integer(serviceTime.rawValue)
    PointDisk.encode(disks, into: &writer)
    return writer.bytes
  }

  init(
    flags: UInt32, lastSequence: SequenceNumber, durableOffset: UInt64, manifestLength: UInt64,
    manifestChecksum: UInt32, serviceTime: Timestamp, disks: [PointDisk]
  ) {
    (self.flags, self.lastSequence, self.durableOffset) = (flags, lastSequence, durableOffset)
    (self.manifestLength, self.manifestChecksum) = (manifestLength, manifestChecksum)
    (self.serviceTime, self.disks) = (serviceTime, disks)
  }

  init?(_ bytes: [UInt8]) {
    let decoded = bytes.withUnsafeBytes { buffer -> SyncPayload? in
      var reader = ByteReader(buffer)
      return try? SyncPayload(from: &reader)
    }
    guard let decoded else { return nil }
    self = decoded
  }

  private init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    flags = try reader.integer()
    epoch = try reader.integer()
    lastSequence = SequenceNumber(rawValue: try reader.integer())
    durableOffset = try reader.integer()
    incarnation = try reader.integer()
    manifestChecksum = try reader.integer()
    parentCut = SequenceNumber(rawValue: try reader.integer())
    branchStart = SequenceNumber(rawValue: try reader.integer())
    manifestLength = try reader.integer()
    serviceTime = Timestamp(rawValue: try reader.integer())
    disks = try PointDisk.decode(from: &reader)
  }
}

extension SyncPayload {
  /// Tells of the newest of a log's epochs and incarnations.
  mutating func tell(_ branchings: [Branching]) {
    for branching in branchings {
      if branching.kind == .epoch { epoch = branching.number }
      if branching.kind == .incarnation { incarnation = branching.number }
      (parentCut, branchStart) = (branching.parent, branching.first)
    }
  }

  /// The epoch or incarnation that this tells of and `known` does not hold yet.
  func branching(after known: [Branching]) -> Branching? {
    guard branchStart > .zero, !known.contains(where: { $0.first == branchStart })
    else { return nil }
    let epochs = known.filter { $0.kind == .epoch }.map(\.number)
    let isEpoch = epoch > epochs.max() ?? 0
    return Branching(
      kind: isEpoch ? .epoch : .incarnation, number: isEpoch ? epoch : incarnation,
      first: branchStart, parent: parentCut)
  }
}
