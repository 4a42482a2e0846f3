internal import Bytes
internal import Synchronization

/// What the writers, the keeper and the readers of an open branch share. Safe from any thread.
final class BranchLog: Sendable {
  let description: BranchDescription
  let configuration: MachineConfiguration
  let place: LogPlace
  let limits: LogLimits
  let clock: @Sendable () -> Timestamp
  let views: BranchViews
  /// The newest number whose record is in the file.
  let answered: Atomic<UInt64>
  /// Reads that were begun.
  let reads = Atomic<UInt64>(0)
  /// Bytes of records.
  let storedBytes: Atomic<UInt64>
  /// Holds writers back towards the end of a copy to plain files.
  let allowance = WriteAllowance()
  /// Bytes written to plain files since the vault was asked for room; at first as if it were time for that.
  private let sinceRoomCheck = Atomic<UInt64>(BranchWriter.roomStep)
  private let failure = Mutex<VaultError?>(nil)
  private let unsynced = Mutex<VaultError?>(nil)

  init(
    _ description: BranchDescription, _ configuration: MachineConfiguration, at place: LogPlace,
    limits: LogLimits, clock: @escaping @Sendable () -> Timestamp, views: BranchViews,
    last: SequenceNumber, storedBytes: UInt64
  ) {
    (self.description, self.configuration) = (description, configuration)
    (self.place, self.limits, self.clock, self.views) = (place, limits, clock, views)
    answered = Atomic(last.rawValue)
    self.storedBytes = Atomic(storedBytes)
  }

  /// Nothing more is written after this: what is in the files is not known any more, or nobody is to write.
  func end(_ reason: VaultError) { failure.withLock { $0 = $0 ?? reason } }

  /// Throws why nothing is written any more.
  func checkIsOpen() throws(VaultError) {
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Writes to a plain file, unless nothing is written any more.
  ///
  /// - Throws: `.full` for what takes more room where the vault has no more than its reserve.
  func write(
    _ bytes: UnsafeRawBufferPointer, to file: FlatDisk, at offset: UInt64
  ) throws(VaultError) {
    try checkIsOpen()
    try admit(offset..<offset + UInt64(bytes.count), to: file)
    try file.write(bytes, at: offset)
  }

  /// Makes bytes of a plain file zeros, unless nothing is written any more.
  func zero(_ range: Range<UInt64>, of file: FlatDisk) throws(VaultError) {
    try checkIsOpen()
    try file.zero(range)
  }

  /// What lies over bytes that have their room is not refused, however full the vault is.
  private func admit(_ range: Range<UInt64>, to file: FlatDisk) throws(VaultError) {
    let count = range.upperBound - range.lowerBound
    let written = sinceRoomCheck.wrappingAdd(count, ordering: .relaxed).newValue
    guard written >= BranchWriter.roomStep else { return }
    do throws(VaultError) {
      try place.checkRoom()
      sinceRoomCheck.store(0, ordering: .relaxed)
    } catch {
      guard try file.hasRoom(for: range) else { throw error }
    }
  }

  /// A number that is another one as soon as somebody reads or writes.
  var activity: UInt64 {
    answered.load(ordering: .relaxed) &+ reads.load(ordering: .relaxed)
  }

  var hasEnded: Bool { failure.withLock { $0 != nil } }

  /// Makes durable what was written to plain files before the call; nothing happens where there are none.
  func syncFlat() throws(VaultError) {
    guard let flat = views.flat else { return }
    do throws(VaultError) { try flat.sync() } catch {
      endUnsynced(error)
      try checkIsSynced()
    }
  }

  /// After a failed fdatasync nobody knows what is on the disk.
  func endUnsynced(_ cause: VaultError) {
    let reason = VaultError(
      .io,
      "Branch '\(description.name)' could not be made durable, and takes no more writes until its "
        + "disk server is started again: \(cause.message)", cause: cause.cause)
    unsynced.withLock { $0 = $0 ?? reason }
    end(reason)
  }

  /// Throws if an fdatasync failed: then nothing may be said to be durable any more.
  func checkIsSynced() throws(VaultError) {
    if let unsynced = unsynced.withLock({ $0 }) { throw unsynced }
  }
}
