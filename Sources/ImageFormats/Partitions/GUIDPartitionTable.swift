internal import Bytes

/// A GUID partition table: a header at the disk's second sector with an array of entries, and a
/// backup of both at the disk's end.
struct GUIDPartitionTable {
  private let sectors: SectorReader
  private let sectorSize: UInt64
  private var lastSector: UInt64 { sectors.disk.size / sectorSize - 1 }

  /// The most bytes of entries that are read; the usual array has 16 KiB.
  private static let largestArray: UInt64 = 1 << 20
  /// The least a header has, and its entries.
  private static let (headerSize, entrySize): (UInt64, UInt64) = (92, 128)

  private struct Header {
    var size: UInt64 = 0
    var checksum: UInt32 = 0
    var place: UInt64 = 0
    var usable: (first: UInt64, last: UInt64) = (0, 0)
    var entriesPlace: UInt64 = 0
    var entryCount: UInt64 = 0
    var entrySize: UInt64 = 0
    var entriesChecksum: UInt32 = 0
  }

  private enum Finding {
    case table(PartitionTable)
    /// There is a header, but it is not believed, for this reason.
    case doubt(String)
    case nothing
  }

  /// Reads the table of a disk whose boot record announces one: the header at the start if it can
  /// be believed, else the backup, counted in sectors of 512 or of 4096 bytes.
  static func read(_ sectors: SectorReader) throws(ImageError) -> PartitionTable {
    var doubts: [String] = []
    for isBackup in [false, true] {
      for sectorSize in [512, 4096] as [UInt64] where sectors.disk.size >= 2 * sectorSize {
        let candidate = GUIDPartitionTable(sectors: sectors, sectorSize: sectorSize)
        let place = isBackup ? candidate.lastSector : 1
        switch try candidate.finding(at: place) {
        case .table(var table):
          if isBackup {
            table.remark(
              "The GPT at the disk's start can't be used; its backup at the end was read.")
            for doubt in doubts { table.remark(doubt) }
          }
          return table
        case .doubt(let reason):
          doubts.append("The GPT header at byte \(place * sectorSize) is not believed: \(reason).")
        case .nothing: break
        }
      }
    }
    let summary =
      "The boot record announces a GPT, but neither at the disk's start nor at its end "
      + "is one that can be read."
    return PartitionTable(remarks: [summary] + doubts)
  }

  private func finding(at place: UInt64) throws(ImageError) -> Finding {
    let bytes = try sectors.bytes(at: place * sectorSize, count: Int(sectorSize))
    guard let bytes, bytes.starts(with: "EFI PART".utf8) else { return .nothing }
    guard let header = bytes.withUnsafeBytes({ try? Self.parse($0) }) else { return .nothing }
    if let reason = doubt(about: header, bytes, at: place) { return .doubt(reason) }
    let length = header.entryCount * header.entrySize
    guard
      let entries = try sectors.bytes(at: header.entriesPlace * sectorSize, count: Int(length))
    else { return .doubt("its entries reach beyond the disk's end") }
    guard CRC32.of(entries) == header.entriesChecksum else {
      return .doubt("the checksum of its entries is wrong")
    }
    return .table(table(entries, size: Int(header.entrySize)))
  }

  private static func parse(
    _ bytes: UnsafeRawBufferPointer
  ) throws(ByteReader.ShortInput) -> Header {
    var reader = ByteReader(bytes)
    var header = Header()
    try reader.skip(12)
    header.size = UInt64(try reader.integer(UInt32.self))
    header.checksum = try reader.integer()
    try reader.skip(4)
    header.place = try reader.integer()
    try reader.skip(8)
    header.usable = (try reader.integer(), try reader.integer())
    try reader.skip(16)
    header.entriesPlace = try reader.integer()
    header.entryCount = UInt64(try reader.integer(UInt32.self))
    header.entrySize = UInt64(try reader.integer(UInt32.self))
    header.entriesChecksum = try reader.integer()
    return header
  }

  /// Why a header at `place` can't be believed; nil if it can. What Linux asks for is asked for.
  private func doubt(about header: Header, _ bytes: [UInt8], at place: UInt64) -> String? {
    guard header.size >= Self.headerSize, header.size <= sectorSize else {
      return "its size of \(header.size) bytes is impossible"
    }
    var covered = Array(bytes[..<Int(header.size)])
    covered.replaceSubrange(16..<20, with: [0, 0, 0, 0])
    guard CRC32.of(covered) == header.checksum else { return "its checksum is wrong" }
    guard header.place == place else { return "it says it lies at sector \(header.place)" }
    guard header.usable.first <= header.usable.last, header.usable.last <= lastSector else {
      return "its last usable sector, \(header.usable.last), is beyond the disk's last, "
        + "\(lastSector); the disk was cut short"
    }
    guard header.entrySize == Self.entrySize,
      header.entryCount <= Self.largestArray / Self.entrySize
    else {
      return "\(header.entryCount) entries of \(header.entrySize) bytes are not what it can have"
    }
    guard header.entriesPlace <= lastSector else {
      return "its entries begin beyond the disk's end"
    }
    return nil
  }

  private func table(_ bytes: [UInt8], size: Int) -> PartitionTable {
    var table = PartitionTable(scheme: .gpt, sectorSize: sectorSize)
    bytes.withUnsafeBytes { buffer in
      for index in 0..<bytes.count / size {
        let entry = UnsafeRawBufferPointer(rebasing: buffer[index * size..<(index + 1) * size])
        try? add(entry, number: index + 1, to: &table)
      }
    }
    return table
  }

  /// Adds the partition of an entry, if it names one that can be.
  private func add(
    _ bytes: UnsafeRawBufferPointer, number: Int, to table: inout PartitionTable
  ) throws(ByteReader.ShortInput) {
    var reader = ByteReader(bytes)
    let type = Self.guid(try reader.bytes(16))
    guard type.high != 0 || type.low != 0 else { return }
    try reader.skip(16)
    let first: UInt64 = try reader.integer()
    let last: UInt64 = try reader.integer()
    guard first <= last, last <= lastSector else {
      return table.remark(
        "Partition \(number) is left out: it reaches from sector \(first) to \(last), and the last "
          + "of the disk is \(lastSector).")
    }
    try reader.skip(8)
    let name = Self.name(try reader.bytes(72))
    table.add(
      Partition(
        number: number, offset: first * sectorSize, size: (last - first + 1) * sectorSize,
        scheme: .gpt, type: type.description, name: name.isEmpty ? nil : name),
      diskSize: sectors.disk.size)
  }

  /// A GUID, whose first three parts are little-endian.
  private static func guid(_ bytes: UnsafeRawBufferPointer) -> Identifier {
    let order = [3, 2, 1, 0, 5, 4, 7, 6]
    let high = order.reduce(UInt64(0)) { $0 << 8 | UInt64(bytes[$1]) }
    return Identifier(high: high, low: bytes[8..<16].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
  }

  /// UTF-16, little-endian, up to the first zero.
  private static func name(_ bytes: UnsafeRawBufferPointer) -> String {
    var units: [UInt16] = []
    for place in stride(from: 0, to: bytes.count, by: 2) {
      let unit = UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8
      if unit == 0 { break }
      units.append(unit)
    }
    return printable(String(decoding: units, as: UTF16.self))
  }
}
