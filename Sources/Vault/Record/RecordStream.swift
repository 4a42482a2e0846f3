public import Bytes
public import Codecs
public import FileIO

/// Turns writes to the disks of a machine into records of its log, in the order they come.
///
/// It works beside the log, in the vault's writer, or far from it, in an agent that was told where the
/// log goes on. For one thread at a time; up to 64 blocks are encoded at once, on all cores, and as many
/// more are added meanwhile.
public final class RecordStream {
  private let identity: LogIdentity
  private let codec: Codec
  private let clock: @Sendable () -> Timestamp
  /// What was added last.
  private var batch = BlockBatch()
  /// What was added before that, and is encoded meanwhile; there only once `advance` was called.
  private var encoding: BlockBatch?

  /// Where the next record goes on.
  public internal(set) var position: LogPosition

  /// The moment that the source's bytes are of, while they are added; nil for the moment they are.
  ///
  /// A clone is read for minutes after it was made: its records, and so the recovery point, carry the
  /// time it shows.
  public var recordTime: Timestamp?

  /// Encodes records of the log of `machine` in `vault`, the first one to follow `position`.
  public convenience init(
    vault: Identifier, machine: Identifier, codec: Codec, position: LogPosition,
    clock: @escaping @Sendable () -> Timestamp = { Timestamp.now() }
  ) {
    self.init(
      LogIdentity(vault: vault, machine: machine), codec: codec, position: position, clock: clock)
  }

  init(
    _ identity: LogIdentity, codec: Codec, position: LogPosition,
    clock: @escaping @Sendable () -> Timestamp
  ) {
    (self.identity, self.codec, self.position, self.clock) = (identity, codec, position, clock)
  }

  /// Whether nothing waits to be encoded or given.
  public var isEmpty: Bool { batch.isEmpty && encoding?.isEmpty ?? true }

  /// How long encoding, which is mostly compressing, has taken so far.
  public var encodingTime: Duration {
    batch.encodingTime + (encoding?.encodingTime ?? .zero)
  }

  /// Whether `drain` or `advance` has to be called before anything more is added.
  public var isFull: Bool { batch.isFull }

  /// Adds pages of one block.
  ///
  /// `bytes` is the whole block of 64 KiB, zeros behind the disk's end; bit n of `pages` says that page
  /// n is to be stored. Pages of zeros take no room.
  /// - Throws: `.invalid` for what is no block.
  public func write(
    disk: DiskNumber, block: UInt64, bytes: UnsafeRawBufferPointer, pages: UInt16
  ) throws(VaultError) {
    guard bytes.count == Layout.blockSize, block < 1 << 32 else {
      throw VaultError(.invalid, "Block \(block) of disk \(disk) can't be stored: it is no block.")
    }
    guard pages != 0 else { return }
    var header = next(.data, disk: disk, block: block, count: 1)
    header.codec = codec
    header.dataMask = pages
    batch.add(header, block: bytes)
  }

  /// Says that whole blocks became zeros, any number of them in one record.
  /// - Throws: `.invalid` for blocks past the largest disk.
  public func zero(
    disk: DiskNumber, firstBlock: UInt64, count: UInt64
  ) throws(VaultError) {
    guard count > 0 else { return }
    guard firstBlock < 1 << 32, count <= (1 << 32) - firstBlock else {
      throw VaultError(
        .invalid, "Blocks \(firstBlock) … of disk \(disk) are past the largest disk.")
    }
    batch.add(next(.zero, disk: disk, block: firstBlock, count: count))
  }

  private func next(
    _ type: RecordType, disk: DiskNumber, block: UInt64, count: UInt64
  ) -> RecordHeader {
    var header = RecordHeader(
      type: type, sequence: position.sequence.next,
      time: max(position.time, recordTime ?? clock()), length: UInt32(Format.recordHeaderSize))
    (header.disk, header.block, header.blockCount) = (UInt32(disk), block, count)
    header.hint = position.hint
    position.pass(header)
    return header
  }

  /// Encodes what waits, gives each record to `body` in the order they were added, and forgets them.
  func drainRecords<Failure: Error>(
    _ body: (RecordHeader, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    // Whatever fails, none of it is given later.
    defer { batch.forget() }
    try encoding?.end(body)
    // On this thread: handing a single page to others and back would take longer than to encode it.
    batch.encode(identity)
    try batch.give(to: body)
  }

  /// Begins to encode what waits, on other threads, and gives each record that was encoded before to `body`,
  /// as `drain` does: a source is read and records are sent while the next ones are compressed.
  public func advance<Failure: Error>(
    _ body: (SequenceNumber, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    let encoded = encoding ?? BlockBatch()
    batch.begin(identity: identity)
    (batch, encoding) = (encoded, batch)
    try encoded.end { (header, record) throws(Failure) in try body(header.sequence, record) }
  }

  /// Passes the number that a new incarnation takes; nothing may wait to be encoded.
  public func passBranching() { position.passBranching() }

  /// Passes a mark made at `moment`; nothing may wait to be encoded.
  public func passMark(at moment: Timestamp) { position.passMark(at: moment) }

  /// Encodes what waits, gives each record's number and bytes to `body` in the order they were added,
  /// and forgets them, also if `body` throws; the bytes are gone when `body` returns.
  public func drain<Failure: Error>(
    _ body: (SequenceNumber, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    try drainRecords { (header, record) throws(Failure) in try body(header.sequence, record) }
  }
}
