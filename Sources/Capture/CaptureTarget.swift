public import Bytes
public import Vault

/// Where a cycle puts what it finds: the log of a vault here (`LocalTarget`), or a session with a
/// service elsewhere. For one thread; calls block.
public protocol CaptureTarget: AnyObject {
  /// The cycle that made the newest recovery point; nil if there is none.
  var cycle: UInt64? { get }
  /// Whether something was stored since the newest recovery point.
  var hasUnmarkedWrites: Bool { get }
  /// The newest number of the log, whatever took it.
  var newestNumber: SequenceNumber { get }
  /// How far a cycle that was broken off has come; see `MachineWriter.cursor`.
  var cursor: (disk: DiskNumber, blocks: Range<UInt64>)? { get }
  /// Bytes stored so far.
  var storedBytes: UInt64 { get }
  /// The moment that the bytes stored next are of; nil for the moment they are stored.
  var recordTime: Timestamp? { get set }

  /// The size a disk had at the newest recovery point that holds it; nil if none does.
  func lastSize(of disk: DiskNumber) -> UInt64?

  /// What the vault holds of a disk of `size` bytes; `base` is the disk as it was at the newest recovery
  /// point, where the source has kept that.
  func replica(
    of disk: DiskNumber, size: UInt64, base: (any DiskContent)?
  ) throws(CaptureError) -> any Replica

  /// Stores pages of one block; see `RecordStream.write`.
  func write(
    disk: DiskNumber, block: UInt64, bytes: UnsafeRawBufferPointer, pages: UInt16
  ) throws(CaptureError)

  /// Stores that blocks are zeros; see `RecordStream.zero`.
  func zero(disk: DiskNumber, firstBlock: UInt64, count: UInt64) throws(CaptureError)

  /// Makes everything stored so far durable.
  func commit() throws(CaptureError)

  /// Gives up what was stored since the newest recovery point; see `MachineWriter.abandonUnmarked`.
  func abandonUnmarked() throws(CaptureError)

  /// Makes a recovery point of everything stored so far.
  func mark(_ new: NewPoint) throws(CaptureError) -> RecoveryPoint
}

/// What the vault holds of one disk, as far as it takes to tell what of the source differs.
public protocol Replica: AnyObject {
  /// The first byte of a range of the disk that may be other than zero in the vault.
  func firstData(in range: Range<UInt64>) throws(CaptureError) -> UInt64?

  /// Which of the pages that were read into a window differ from the vault's: one mask a block.
  func differing(_ window: Window) throws(CaptureError) -> [UInt16]
}

/// A cycle's target in a vault on this machine.
public final class LocalTarget: CaptureTarget {
  private let writer: MachineWriter

  /// Stores in the log that `writer` writes.
  public init(_ writer: MachineWriter) { self.writer = writer }

  /// The cycle that made the newest recovery point.
  public var cycle: UInt64? { writer.cycle }
  /// Whether something was stored since the newest recovery point.
  public var hasUnmarkedWrites: Bool { writer.hasUnmarkedWrites }
  /// The newest number of the log.
  public var newestNumber: SequenceNumber { writer.lastSequence }
  /// How far a cycle that was broken off has come.
  public var cursor: (disk: DiskNumber, blocks: Range<UInt64>)? { writer.cursor }
  /// Bytes added to the log.
  public var storedBytes: UInt64 { writer.storedBytes }
  /// The moment that the bytes stored next are of.
  public var recordTime: Timestamp? {
    get { writer.recordTime }
    set { writer.recordTime = newValue }
  }

  /// The size a disk had at the newest recovery point.
  public func lastSize(of disk: DiskNumber) -> UInt64? { writer.lastSize(of: disk) }

  /// The replica itself, whatever the source has kept.
  public func replica(
    of disk: DiskNumber, size: UInt64, base: (any DiskContent)?
  ) throws(CaptureError) -> any Replica {
    ContentReplica(
      disk: disk,
      content: try inVault { () throws(VaultError) in try writer.head(disk, size: size) })
  }

  /// Adds a data record.
  public func write(
    disk: DiskNumber, block: UInt64, bytes: UnsafeRawBufferPointer, pages: UInt16
  ) throws(CaptureError) {
    try inVault { () throws(VaultError) in
      try writer.write(disk: disk, block: block, bytes: bytes, pages: pages)
    }
  }

  /// Adds a zero record.
  public func zero(
    disk: DiskNumber, firstBlock: UInt64, count: UInt64
  ) throws(CaptureError) {
    try inVault { () throws(VaultError) in
      try writer.zero(disk: disk, firstBlock: firstBlock, count: count)
    }
  }

  /// Ends a group commit.
  public func commit() throws(CaptureError) {
    try inVault { () throws(VaultError) in try writer.commit() }
  }

  /// Starts a new incarnation of the source.
  public func abandonUnmarked() throws(CaptureError) {
    try inVault { () throws(VaultError) in try writer.abandonUnmarked() }
  }

  /// Adds a mark.
  public func mark(_ new: NewPoint) throws(CaptureError) -> RecoveryPoint {
    try inVault { () throws(VaultError) in try writer.mark(new) }
  }
}
