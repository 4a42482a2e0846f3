public import Bytes

/// A stretch of a disk that its partition table names.
public struct Partition: Hashable, Sendable {
  /// The kinds of partition table.
  public enum Scheme: String, Hashable, Sendable, CaseIterable {
    /// A master boot record, with or without logical partitions.
    case mbr
    /// A GUID partition table (UEFI specification, chapter 5).
    case gpt
  }

  /// The number Linux gives it: of `sda5`, 5. Logical partitions begin at 5.
  public var number: Int
  /// Its first byte in the disk.
  public var offset: UInt64
  /// Bytes.
  public var size: UInt64
  /// The table that names it.
  public var scheme: Scheme
  /// What the table says is in it: `0x83` in an MBR, a type GUID in lower case in a GPT.
  public var type: String
  /// The name a GPT has for it; nil if it is empty. Control characters are replaced.
  public var name: String?

  /// Describes a partition.
  public init(
    number: Int, offset: UInt64, size: UInt64, scheme: Scheme, type: String, name: String? = nil
  ) {
    (self.number, self.offset, self.size) = (number, offset, size)
    (self.scheme, self.type, self.name) = (scheme, type, name)
  }
}

/// What a disk's partition table says, as far as it can be believed.
public struct PartitionTable: Hashable, Sendable {
  /// The kind of table; nil if there is none.
  public var scheme: Partition.Scheme?
  /// Bytes of the sectors the table counts in, 512 or 4096.
  public var sectorSize: UInt64
  /// The partitions, by number. They may overlap. Each lies inside the disk. The container of
  /// logical partitions is not among them.
  public var partitions: [Partition]
  /// What was left out, repaired or not believed, and why; a sentence each.
  public var remarks: [String]

  /// Describes a table.
  public init(
    scheme: Partition.Scheme? = nil, sectorSize: UInt64 = 512, partitions: [Partition] = [],
    remarks: [String] = []
  ) {
    (self.scheme, self.sectorSize) = (scheme, sectorSize)
    (self.partitions, self.remarks) = (partitions, remarks)
  }

  /// The most partitions Linux gives numbers to.
  static let largestNumber = 255

  /// Adds a partition if it lies inside a disk of `diskSize` bytes, else a remark.
  mutating func add(_ partition: Partition, diskSize: UInt64) {
    guard partition.number <= Self.largestNumber else {
      return remark("Partition \(partition.number) is left out: Linux numbers only 255.")
    }
    guard partition.offset <= diskSize, partition.size <= diskSize - partition.offset else {
      return remark(
        "Partition \(partition.number) is left out: it reaches from byte \(partition.offset) to "
          + "\(partition.offset + partition.size), and the disk ends at \(diskSize).")
    }
    partitions.append(partition)
  }

  /// Adds a remark; a hostile table earns at most a hundred.
  mutating func remark(_ text: String) {
    if remarks.count < 100 { remarks.append(text) }
  }
}

/// Reads a disk's partition table: a GPT, an MBR with its logical partitions, or none.
///
/// A GPT whose header at the start is damaged is read from its backup at the disk's end. Reads a
/// bounded number of sectors, whatever they hold. A table is believed where Linux believes it.
/// - Throws: `.source` if the disk can't be read; nothing for a table that makes no sense.
public func readPartitionTable(of disk: any DiskContent) throws(ImageError) -> PartitionTable {
  let sectors = SectorReader(disk: disk)
  guard let first = try sectors.bytes(at: 0, count: 512), let record = MasterBootRecord(first)
  else { return PartitionTable() }
  // As soon as one entry is of this type, Linux reads a GPT or nothing.
  guard record.entries.contains(where: { $0.type == MasterBootRecord.protectiveType }) else {
    return try record.table(sectors)
  }
  guard record.isProtective else {
    return PartitionTable(remarks: [
      "The boot record protects a GPT, but not from sector 1 on; Linux reads no table then."
    ])
  }
  return try GUIDPartitionTable.read(sectors)
}

/// The partitions that `readPartitionTable` finds.
///
/// - Throws: `.source` if the disk can't be read.
package func readPartitions(of disk: any DiskContent) throws(ImageError) -> [Partition] {
  try readPartitionTable(of: disk).partitions
}

/// Reads pieces of a disk for the tables.
struct SectorReader {
  let disk: any DiskContent

  /// The bytes of a range; nil if it is not all inside the disk.
  func bytes(at offset: UInt64, count: Int) throws(ImageError) -> [UInt8]? {
    guard offset <= disk.size, UInt64(count) <= disk.size - offset else { return nil }
    var bytes = [UInt8](repeating: 0, count: count)
    do {
      try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: offset) }
    } catch {
      throw ImageError(.source, "Cannot read the partition table: \(error)", cause: error)
    }
    return bytes
  }
}
