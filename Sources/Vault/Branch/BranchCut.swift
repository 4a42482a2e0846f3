public import Bytes

/// The disks of a branch as they were at one moment. They never change, and stay readable as long as this, or
/// a disk of it, is held.
public final class BranchCut: Sendable {
  /// The branch.
  public let description: BranchDescription
  /// The newest number it shows.
  public let sequence: SequenceNumber
  /// The disks, by number.
  public let disks: [DiskReader]
  private let own: ReadLayer

  init(_ description: BranchDescription, _ sequence: SequenceNumber, layers: [ReadLayer]) {
    (self.description, self.sequence, own) = (description, sequence, layers[0])
    disks = description.disks.map {
      DiskReader(number: $0.number, size: $0.size, layers: layers)
    }
  }

  /// The disk of that number.
  ///
  /// - Throws: `.unknownDisk`.
  public func disk(_ number: DiskNumber) throws(VaultError) -> DiskReader {
    guard let disk = disks.first(where: { $0.number == number }) else {
      throw VaultError(.unknownDisk, "Branch '\(description.name)' has no disk \(number).")
    }
    return disk
  }

  /// The bytes of a disk that were written or zeroed since the branch was made, in order and apart from each
  /// other; whole pages. Told from the index, without reading the disk.
  public func changedRanges(_ disk: DiskNumber) throws(VaultError) -> [Range<UInt64>] {
    try own.changedRanges(disk, size: try self.disk(disk).size)
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
