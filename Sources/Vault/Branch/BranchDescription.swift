public import Bytes

/// What a branch is, as its MANIFEST says; read without opening it.
public struct BranchDescription: Hashable, Sendable {
  /// The branch's identifier, also the name of its directory.
  public let id: Identifier
  /// The machine whose disks these are.
  public let machine: Identifier
  /// The cut of the machine's log that it stands on.
  public let cut: SequenceNumber
  /// The machine's epoch from the branch on: of a failover the one it began, of a drill the one it found.
  public let epoch: UInt32
  /// The first number of the epoch that a failover began; zero for a drill.
  let epochStart: SequenceNumber
  /// Where the machine's log was when the branch was made: the branch's own records go on from there.
  let position: LogPosition
  /// Numbers of the branch's own records are above this.
  var start: SequenceNumber { position.sequence }
  /// What it is for.
  public let purpose: BranchPurpose
  /// Its name.
  public let name: String
  /// When it was made.
  public let created: Timestamp
  /// Bytes it may store; nil for as many as the vault has room for.
  public let budget: UInt64?
  /// Its disks and their sizes, by number.
  public let disks: [PointDisk]
  /// Whether its disks are plain files, and no longer records above the machine's log.
  public internal(set) var isFlat = false

  func encode() -> [UInt8] {
    var writer = ByteWriter(capacity: 160)
    writer.identifier(id)
    writer.identifier(machine)
    writer.integer(cut.rawValue)
    position.encode(into: &writer)
    writer.integer(epochStart.rawValue)
    writer.integer(epoch)
    writer.integer(UInt32(purpose.rawValue))
    writer.integer(created.rawValue)
    writer.integer(budget ?? .max)
    PointDisk.encode(disks, into: &writer)
    writer.text(name)
    return writer.bytes
  }

  init(from reader: inout ByteReader) throws(ByteReader.ShortInput) {
    id = try reader.identifier()
    machine = try reader.identifier()
    cut = SequenceNumber(rawValue: try reader.integer())
    position = try LogPosition(from: &reader)
    epochStart = SequenceNumber(rawValue: try reader.integer())
    epoch = try reader.integer()
    let purpose = UInt8(exactly: try reader.integer(UInt32.self))
    guard let purpose = purpose.flatMap(BranchPurpose.init) else { throw ByteReader.ShortInput() }
    self.purpose = purpose
    created = Timestamp(rawValue: try reader.integer())
    let budget = try reader.integer(UInt64.self)
    self.budget = budget == .max ? nil : budget
    disks = try PointDisk.decode(from: &reader)
    name = try reader.text()
    guard isSound else { throw ByteReader.ShortInput() }
  }

  /// Whether the numbers fit to each other, and the disks are such as a vault can hold.
  private var isSound: Bool {
    cut <= start && epochStart <= start && Set(disks.map(\.number)).count == disks.count
      && disks.allSatisfy { $0.size > 0 && $0.size <= Layout.largestDisk }
  }

  init(
    id: Identifier, machine: Identifier, cut: SequenceNumber, position: LogPosition,
    epoch: UInt32, epochStart: SequenceNumber, purpose: BranchPurpose, name: String,
    created: Timestamp, budget: UInt64?, disks: [PointDisk]
  ) {
    (self.id, self.machine, self.cut, self.position) = (id, machine, cut, position)
    (self.epoch, self.epochStart, self.purpose) = (epoch, epochStart, purpose)
    (self.name, self.created, self.budget) = (name, created, budget)
    self.disks = disks.sorted { $0.number < $1.number }
  }
}
