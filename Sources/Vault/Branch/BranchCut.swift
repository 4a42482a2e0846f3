public import Bytes

/// A disk of a branch as it was at one moment.
public struct BranchCutDisk: DiskContent {
  /// Which disk of the machine.
  public let number: DiskNumber
  private let content: any DiskContent
  private let lease: ReaderLease?

  init(_ number: DiskNumber, _ content: any DiskContent, _ lease: ReaderLease? = nil) {
    (self.number, self.content, self.lease) = (number, content, lease)
  }

  /// What reads it from logs; nil for a plain file.
  var reader: DiskReader? { content as? DiskReader }

  /// Bytes of the disk.
  public var size: UInt64 { content.size }

  /// Fills `buffer` with the bytes from `offset`.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws {
    try content.read(into: buffer, at: offset)
  }

  /// The first byte at or after `offset` that may be other than zero; nil if none follows.
  public func nextData(from offset: UInt64) throws -> UInt64? {
    try content.nextData(from: offset)
  }

  /// The first byte at or after `offset` that starts a hole; `size` if none follows.
  public func nextHole(from offset: UInt64) throws -> UInt64 {
    try content.nextHole(from: offset)
  }
}

/// The disks of a branch as they were at one moment. They never change, and stay readable as long as this, or
/// a disk of it, is held. Plain files of a branch that was flattened change with what is written to them.
public final class BranchCut: Sendable {
  /// The branch.
  public let description: BranchDescription
  /// The newest number it shows.
  public let sequence: SequenceNumber
  /// The disks, by number.
  public let disks: [BranchCutDisk]
  /// What the branch's own log says; nil for one that was flattened.
  private let own: ReadLayer?
  /// The plain files it is read from, and when each was written to last before that.
  private let plain: (files: FlatDisks, modified: [Timestamp])?

  init(_ description: BranchDescription, _ sequence: SequenceNumber, layers: [ReadLayer]) {
    (self.description, self.sequence, own, plain) = (description, sequence, layers[0], nil)
    disks = description.disks.map {
      BranchCutDisk(
        $0.number, DiskReader(number: $0.number, size: $0.size, layers: layers))
    }
  }

  init(
    _ description: BranchDescription, _ sequence: SequenceNumber, _ flat: FlatDisks,
    _ lease: ReaderLease
  ) throws(VaultError) {
    (self.description, self.sequence, own) = (description, sequence, nil)
    plain = (flat, try flat.modified)
    disks = flat.disks.map { BranchCutDisk($0.number, $0, lease) }
  }

  /// The disk of that number.
  ///
  /// - Throws: `.unknownDisk`.
  public func disk(_ number: DiskNumber) throws(VaultError) -> BranchCutDisk {
    guard let disk = disks.first(where: { $0.number == number }) else {
      throw VaultError(.unknownDisk, "Branch '\(description.name)' has no disk \(number).")
    }
    return disk
  }

  /// Whether somebody wrote to the plain files that it shows since it was taken, so that what was read of them is
  /// no one moment's. Never where it stays as it is.
  public func hasChanged() throws(VaultError) -> Bool {
    guard let plain else { return false }
    return try plain.files.modified != plain.modified
  }

  /// The bytes of a disk that were written or zeroed since the branch was made, in order and apart from each
  /// other; whole pages. Told from the index, without reading the disk.
  ///
  /// - Throws: `.invalid` for a branch that was flattened: plain files tell nothing of that.
  public func changedRanges(_ disk: DiskNumber) throws(VaultError) -> [Range<UInt64>] {
    guard let own else {
      throw VaultError(
        .invalid,
        "What was written to branch '\(description.name)' is not known any more: it is plain files."
      )
    }
    return try own.changedRanges(disk, size: try self.disk(disk).size)
  }
}

/// An open branch at one moment, before its newest entries are sorted, which takes too long to let writers
/// wait for it.
struct FrozenLayers {
  /// Those of the segment that takes records.
  let entries: [RunEntry]
  let base: ReadLayer
  private let top: (MemoryRun) -> ReadLayer

  init(
    entries: [RunEntry], base: ReadLayer, _ top: @escaping (MemoryRun) -> ReadLayer
  ) {
    (self.entries, self.base, self.top) = (entries, base, top)
  }

  func layers() -> [ReadLayer] { [top(MemoryRun(entries)), base] }
}
