public import Bytes
internal import Synchronization

/// A disk of an open branch. Safe from any thread; calls block.
///
/// What is thrown is a `VaultError`: `.overBudget` for a write that would pass the branch's budget, `.full`
/// where the vault has no room but its reserve, `.damaged` where bytes are not what was written.
public final class BranchDisk: WritableDisk {
  /// Which disk of the machine.
  public let number: DiskNumber
  /// Bytes of the disk; the size it has at the branch's cut.
  public let size: UInt64

  private let view: BranchView
  private let log: BranchLog
  private let queue: BranchQueue
  private let flusher: BranchFlush

  init(_ view: BranchView, _ log: BranchLog, _ queue: BranchQueue, _ flusher: BranchFlush) {
    (number, size) = (view.number, view.size)
    (self.view, self.log, self.queue, self.flusher) = (view, log, queue, flusher)
  }

  /// Fills `buffer` with the bytes from `offset`.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    log.reads.wrappingAdd(1, ordering: .relaxed)
    try view.readPages(into: buffer, at: offset)
  }

  /// The first byte at or after `offset` of a page that was written and not zeroed; nil if none follows.
  public func nextData(from offset: UInt64) throws -> UInt64? {
    switch view.source {
    case .log(let reader): try reader.nextData(from: offset)
    case .file(let disk): try disk.nextData(from: offset)
    }
  }

  /// The first byte at or after `offset` of a page that reads as zeros and takes no room.
  public func nextHole(from offset: UInt64) throws -> UInt64 {
    switch view.source {
    case .log(let reader): try reader.nextHole(from: offset)
    case .file(let disk): try disk.nextHole(from: offset)
    }
  }

  /// Replaces the bytes from `offset`; answered once the record, or the plain file, has them.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws {
    try check(offset, UInt64(bytes.count))
    guard !bytes.isEmpty else { return }
    if let file = view.flat { return try log.write(bytes, to: file, at: offset) }
    log.allowance.admit(offset..<offset + UInt64(bytes.count))
    try queue.perform(.write(view, bytes, at: offset))
  }

  /// Makes the bytes zeros; whole blocks of 64 KiB take one record together, whatever their number.
  public func zero(_ range: Range<UInt64>) throws {
    try check(range.lowerBound, range.upperBound - range.lowerBound)
    guard !range.isEmpty else { return }
    if let file = view.flat { return try log.zero(range, of: file) }
    log.allowance.admitZeros(range)
    try queue.perform(.zero(view, range))
  }

  /// Makes everything durable that was written to any disk of the branch before the call.
  public func flush() throws { try queue.flush(log, flusher) }

  private func check(_ offset: UInt64, _ count: UInt64) throws(VaultError) {
    guard offset <= size, count <= size - offset else {
      throw VaultError(
        .invalid, "A write of \(count) bytes at \(offset) is past the disk's \(size) bytes.")
    }
  }
}
