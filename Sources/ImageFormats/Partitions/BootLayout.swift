public import Bytes

/// What of a disk could start a machine, as far as its first sectors tell.
public struct BootLayout: Hashable, Sendable {
  /// What a PC's firmware runs from the disk's first sector.
  public enum Loader: String, Hashable, Sendable, CaseIterable {
    /// Nothing is there.
    case none
    /// GRUB.
    case grub
    /// SYSLINUX, EXTLINUX or another of that family, behind any boot record.
    case syslinux
    /// The boot manager of Windows.
    case windows
    /// Something else.
    case other
  }

  /// The kind of partition table; nil if there is none.
  public var scheme: Partition.Scheme?
  /// What a PC's firmware would run.
  public var loader: Loader
  /// The number of the EFI system partition, whose programs UEFI runs; nil if there is none.
  public var systemPartition: Int?

  /// Describes a layout.
  public init(scheme: Partition.Scheme?, loader: Loader, systemPartition: Int?) {
    (self.scheme, self.loader, self.systemPartition) = (scheme, loader, systemPartition)
  }

  /// The types that tables give an EFI system partition (UEFI specification, 5.2.2 and 5.3.3).
  private static let systemTypes = ["0xef", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"]
  /// Bytes of the first sector that are code: behind them are the disk's signature and the table.
  private static let codeSize = 440

  /// Looks at a disk. Reads its partition table, and a sector a partition at the most.
  ///
  /// - Throws: `.source` if the disk can't be read.
  public init(of disk: any DiskContent) throws(ImageError) {
    let table = try readPartitionTable(of: disk)
    scheme = table.scheme
    systemPartition =
      table.partitions.first { Self.systemTypes.contains($0.type.lowercased()) }?.number
    loader = try Self.loader(SectorReader(disk: disk), table)
  }

  private static func loader(
    _ sectors: SectorReader, _ table: PartitionTable
  ) throws(ImageError) -> Loader {
    guard let first = try sectors.bytes(at: 0, count: 512),
      first[..<codeSize].contains(where: { $0 != 0 }), first[510] == 0x55, first[511] == 0xAA
    else { return .none }
    if let found = known(first[...]) { return found }
    // Any other boot record only runs what a partition begins with.
    for partition in table.partitions.prefix(16) {
      guard let sector = try sectors.bytes(at: partition.offset, count: 512),
        sector[510] == 0x55, sector[511] == 0xAA, let found = known(sector[...])
      else { continue }
      return found
    }
    return .other
  }

  /// Who says in a sector that it is theirs.
  private static func known(_ sector: ArraySlice<UInt8>) -> Loader? {
    let marks: [(String, Loader)] = [
      ("GRUB", .grub), ("SYSLINUX", .syslinux), ("EXTLINUX", .syslinux), ("BOOTMGR", .windows),
    ]
    return marks.first { mark, _ in contains(sector, Array(mark.utf8)) }?.1
  }

  private static func contains(_ bytes: ArraySlice<UInt8>, _ mark: [UInt8]) -> Bool {
    bytes.indices.dropLast(mark.count - 1).contains { bytes[$0...].starts(with: mark) }
  }
}
