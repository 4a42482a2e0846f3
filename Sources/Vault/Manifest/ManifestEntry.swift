internal import Bytes

/// One statement of the MANIFEST. The numbers 9, 11, 12 and 15 are kept for labels, no-cut intervals,
/// windows and retired segments.
enum ManifestEntry: Sendable {
  case configuration(MachineConfiguration)
  case segmentOpened(number: UInt32, headerLength: UInt32, firstSequence: SequenceNumber)
  case segmentSealed(SealedSegment)
  case runAdded(RunSet)
  case runsRetired([LogFileName])
  case point(RecoveryPoint)
  case pointLocked(SequenceNumber, Bool)
  case branching(Branching)
  /// The points whose numbers lie in one of these stretches are gone.
  case pointsRemoved([ClosedRange<SequenceNumber>])
  /// A branch stands on a cut; what an earlier entry said of the same branch no longer counts.
  case pinned(BranchPin)
  case pinReleased(branch: Identifier)
  /// The log is that of a branch. Comes with the file.
  case branch(BranchDescription)
  /// Everything before `end` of an open segment is durable.
  case segmentVouched(number: UInt32, end: UInt64)
  /// The branch is its plain files, which hold everything up to this number and whatever was written since; its
  /// log does not count any more.
  case flattened(SequenceNumber)
  /// The MANIFEST was made anew; that before it had so many bytes, as syncs say.
  case rebuilt(formerLength: UInt64)

  /// What is known of a segment once nothing is added to it any more.
  struct SealedSegment: Hashable, Sendable {
    var number: UInt32
    /// Its records end here; what follows is not part of the log.
    var recordsEnd: UInt64
    var lastSequence: SequenceNumber
    var lastTime: Timestamp
    /// The sizes of the disks at its end.
    var disks: [PointDisk]
  }

  var type: UInt16 {
    switch self {
    case .configuration: 1
    case .segmentOpened: 2
    case .segmentSealed: 3
    case .runAdded: 4
    case .runsRetired: 5
    case .point: 6
    case .pointLocked: 7
    case .branching: 8
    case .pointsRemoved: 10
    case .pinned: 13
    case .pinReleased: 14
    case .segmentVouched: 16
    case .branch: 17
    case .rebuilt: 18
    case .flattened: 19
    }
  }

  /// The payload.
  func encode() -> [UInt8] {
    var writer = ByteWriter()
    switch self {
    case .configuration(let configuration): return configuration.encode()
    case .runAdded(let set): return set.encode()
    case .segmentOpened(let number, let headerLength, let first):
      writer.integer(number)
      writer.integer(headerLength)
      writer.integer(first.rawValue)
    case .segmentSealed(let sealed):
      writer.integer(UInt64(sealed.number))
      writer.integer(sealed.recordsEnd)
      writer.integer(sealed.lastSequence.rawValue)
      writer.integer(sealed.lastTime.rawValue)
      PointDisk.encode(sealed.disks, into: &writer)
    case .runsRetired(let names):
      writer.integer(UInt64(names.count))
      for name in names {
        writer.integer(UInt32(name.kind.rawValue))
        writer.integer(name.number)
      }
    case .point(let point):
      writer.integer(point.sequence.rawValue)
      writer.integer(point.time.rawValue)
      writer.append(contentsOf: point.encode())
    case .pointLocked(let sequence, let locked):
      writer.integer(sequence.rawValue)
      writer.integer(UInt64(locked ? 1 : 0))
    case .branching(let branching):
      writer.integer(UInt32(branching.kind.rawValue))
      writer.integer(branching.number)
      writer.integer(branching.first.rawValue)
      writer.integer(branching.parent.rawValue)
    case .pointsRemoved(let stretches):
      writer.integer(UInt64(stretches.count))
      for stretch in stretches {
        writer.integer(stretch.lowerBound.rawValue)
        writer.integer(stretch.upperBound.rawValue)
      }
    case .pinned(let pin): pin.encode(into: &writer)
    case .pinReleased(let branch): writer.identifier(branch)
    case .branch(let branch): return branch.encode()
    case .rebuilt(let length): writer.integer(length)
    case .flattened(let sequence): writer.integer(sequence.rawValue)
    case .segmentVouched(let number, let end):
      writer.integer(UInt64(number))
      writer.integer(end)
    }
    return writer.bytes
  }

  /// Reads a payload; nil for a type this version does not know.
  init?(type: UInt16, from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    switch type {
    case 1: self = .configuration(try MachineConfiguration(from: &reader))
    case 2:
      self = .segmentOpened(
        number: try reader.integer(), headerLength: try reader.integer(),
        firstSequence: SequenceNumber(rawValue: try reader.integer()))
    case 3:
      let number = try reader.integer(UInt64.self)
      self = .segmentSealed(
        SealedSegment(
          number: UInt32(truncatingIfNeeded: number), recordsEnd: try reader.integer(),
          lastSequence: SequenceNumber(rawValue: try reader.integer()),
          lastTime: Timestamp(rawValue: try reader.integer()),
          disks: try PointDisk.decode(from: &reader)))
    case 4: self = .runAdded(try RunSet(from: &reader))
    case 5: self = .runsRetired(try Self.names(from: &reader))
    case 6:
      let sequence = SequenceNumber(rawValue: try reader.integer())
      let time = Timestamp(rawValue: try reader.integer())
      let payload = Array(try reader.bytes(reader.remaining))
      guard let point = RecoveryPoint(sequence: sequence, time: time, payload: payload) else {
        throw ByteReader.ShortInput()
      }
      self = .point(point)
    case 7:
      let sequence = SequenceNumber(rawValue: try reader.integer())
      self = .pointLocked(sequence, try reader.integer(UInt64.self) != 0)
    case 8: self = .branching(try Self.branching(from: &reader))
    case 10: self = .pointsRemoved(try Self.stretches(from: &reader))
    case 13: self = .pinned(try BranchPin(from: &reader))
    case 14: self = .pinReleased(branch: try reader.identifier())
    case 17: self = .branch(try BranchDescription(from: &reader))
    case 16:
      let number = try reader.integer(UInt64.self)
      self = .segmentVouched(
        number: UInt32(truncatingIfNeeded: number), end: try reader.integer())
    case 18: self = .rebuilt(formerLength: try reader.integer())
    case 19: self = .flattened(SequenceNumber(rawValue: try reader.integer()))
    default: return nil
    }
  }

  private static func names(
    from reader: inout ByteReader
  ) throws(ByteReader.ShortInput) -> [LogFileName] {
    let count = try reader.integer(UInt64.self)
    guard count <= UInt64(reader.remaining / 8) else { throw ByteReader.ShortInput() }
    var names: [LogFileName] = []
    for _ in 0..<count {
      let kind = UInt8(truncatingIfNeeded: try reader.integer(UInt32.self))
      guard let kind = LogFileName.Kind(rawValue: kind) else { throw ByteReader.ShortInput() }
      names.append(LogFileName(kind, try reader.integer()))
    }
    return names
  }

  private static func stretches(
    from reader: inout ByteReader
  ) throws(ByteReader.ShortInput) -> [ClosedRange<SequenceNumber>] {
    let count = try reader.integer(UInt64.self)
    guard count <= UInt64(reader.remaining / 16) else { throw ByteReader.ShortInput() }
    var stretches: [ClosedRange<SequenceNumber>] = []
    for _ in 0..<count {
      let first = SequenceNumber(rawValue: try reader.integer())
      let last = SequenceNumber(rawValue: try reader.integer())
      guard first <= last else { throw ByteReader.ShortInput() }
      stretches.append(first...last)
    }
    return stretches
  }

  private static func branching(
    from reader: inout ByteReader
  ) throws(ByteReader.ShortInput) -> Branching {
    let kind = UInt8(truncatingIfNeeded: try reader.integer(UInt32.self))
    guard let kind = Branching.Kind(rawValue: kind) else { throw ByteReader.ShortInput() }
    return Branching(
      kind: kind, number: try reader.integer(),
      first: SequenceNumber(rawValue: try reader.integer()),
      parent: SequenceNumber(rawValue: try reader.integer()))
  }
}
