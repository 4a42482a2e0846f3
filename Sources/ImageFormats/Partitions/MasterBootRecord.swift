internal import Bytes

/// The four partition entries of a boot sector, or of the sector before a logical partition.
struct MasterBootRecord {
  /// The type of the entry that keeps old programs off a GPT.
  static let protectiveType: UInt8 = 0xEE
  /// An MBR counts in these, whatever the disk's sectors are; of an image nothing else is known.
  private static let sectorSize: UInt64 = 512

  struct Entry {
    var indicator: UInt8
    var type: UInt8
    /// Sectors from the start of the disk, or of whatever the entry counts from.
    var start: UInt64
    /// Sectors; 0 in an unused entry.
    var count: UInt64

    /// Whether it holds logical partitions: extended, extended with LBA, Linux extended.
    var isContainer: Bool { count > 0 && [0x05, 0x0F, 0x85].contains(type) }
  }

  let entries: [Entry]
  /// Whether the sector says that an NTFS, exFAT or FAT file system begins with it.
  private let isFileSystem: Bool

  /// Reads the entries of a sector; nil if it has no signature.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 512, bytes[510] == 0x55, bytes[511] == 0xAA else { return nil }
    func number(_ place: Int) -> UInt64 {
      bytes[place..<place + 4].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    let marks = [
      (3, "NTFS    "), (3, "EXFAT   "), (54, "FAT12   "), (54, "FAT16   "), (82, "FAT32   "),
    ]
    isFileSystem =
      [0xEB, 0xE9].contains(bytes[0])
      && marks.contains { bytes[$0.0..<$0.0 + 8].elementsEqual($0.1.utf8) }
    entries = stride(from: 446, to: 510, by: 16).map { place in
      Entry(
        indicator: bytes[place], type: bytes[place + 4], start: number(place + 8),
        count: number(place + 12))
    }
  }

  /// Whether it marks a GPT, as Linux sees it: an entry of that type from sector 1 on.
  var isProtective: Bool {
    entries.contains { $0.type == Self.protectiveType && $0.start == 1 }
  }

  /// The table this boot sector begins, logical partitions included.
  func table(_ sectors: SectorReader) throws(ImageError) -> PartitionTable {
    // What begins a file system has the signature too, and code or text in the entries' place.
    guard !isFileSystem, entries.allSatisfy({ $0.indicator & 0x7F == 0 }) else {
      return PartitionTable()
    }
    var table = PartitionTable(scheme: .mbr)
    var chain = LogicalPartitions(sectors: sectors)
    for (index, entry) in entries.enumerated() where entry.count > 0 {
      if entry.isContainer {
        try chain.read(from: entry.start, count: entry.count)
      } else {
        table.add(Self.partition(index + 1, entry), diskSize: sectors.disk.size)
      }
    }
    for partition in chain.found { table.add(partition, diskSize: sectors.disk.size) }
    for remark in chain.remarks { table.remark(remark) }
    return table
  }

  /// The partition an entry names, which counts from sector `origin`.
  private static func partition(_ number: Int, _ entry: Entry, from origin: UInt64 = 0) -> Partition
  {
    let digits = String(entry.type, radix: 16)
    return Partition(
      number: number, offset: (origin + entry.start) * sectorSize, size: entry.count * sectorSize,
      scheme: .mbr, type: "0x" + (digits.count < 2 ? "0" : "") + digits)
  }

  /// The logical partitions: a chain of sectors, each with one of them and the place of the next.
  private struct LogicalPartitions {
    let sectors: SectorReader
    var found: [Partition] = []
    var remarks: [String] = []
    /// The links read so far, of all containers; a chain that comes back to one ends there.
    private var seen: Set<UInt64> = []
    /// More links than Linux gives numbers, and nothing is gained by going on.
    private static let mostLinks = 512

    init(sectors: SectorReader) { self.sectors = sectors }

    /// Follows the chain of a container of `count` sectors from sector `origin` on.
    mutating func read(from origin: UInt64, count: UInt64) throws(ImageError) {
      var (link, length) = (origin, count)
      while true {
        guard seen.count < Self.mostLinks, seen.insert(link).inserted else {
          return remarks.append(
            "The chain of logical partitions is followed no further than sector \(link): "
              + "it comes back on itself or does not end.")
        }
        let bytes = try sectors.bytes(at: link * MasterBootRecord.sectorSize, count: 512)
        guard let bytes, let record = MasterBootRecord(bytes) else {
          return remarks.append(
            "The chain of logical partitions breaks off at sector \(link): "
              + (bytes == nil ? "the disk ends before it." : "it has no boot record's signature."))
        }
        for (index, entry) in record.entries.enumerated() where entry.count > 0 {
          guard !entry.isContainer else { continue }
          let start = link + entry.start
          // The last two entries are unused, and may hold anything.
          let isInside =
            entry.start + entry.count <= length && start >= origin
            && start + entry.count <= origin + count
          guard index < 2 || isInside else { continue }
          found.append(MasterBootRecord.partition(5 + found.count, entry, from: link))
        }
        guard let next = record.entries.first(where: { $0.isContainer }) else { return }
        (link, length) = (origin + next.start, next.count)
      }
    }
  }
}
