import Bytes

/// Boot records and GUID partition tables put together by hand.
enum TableBuilder {
  struct Entry {
    var type: UInt8
    var start: UInt32
    var count: UInt32
    var indicator: UInt8 = 0
  }

  /// A boot sector with these entries.
  static func record(_ entries: [Entry]) -> [UInt8] {
    var writer = ByteWriter(capacity: 512)
    writer.zeros(446)
    for entry in entries {
      writer.integer(entry.indicator)
      writer.zeros(3)
      writer.integer(entry.type)
      writer.zeros(3)
      writer.integer(entry.start)
      writer.integer(entry.count)
    }
    writer.zeros(510 - writer.bytes.count)
    writer.integer(UInt16(0xAA55))
    return writer.bytes
  }

  /// A GPT of 128 entries, of which a test may spoil each field; the checksums are made right.
  struct GPT {
    var headerSize: UInt32 = 92
    var place: UInt64 = 1
    var firstUsable: UInt64 = 34
    var lastUsable: UInt64
    var entriesPlace: UInt64 = 2
    var entryCount: UInt32
    var entrySize: UInt32 = 128
    var entries: [UInt8]

    init(sectors: UInt64, entries count: Int = 128) {
      lastUsable = sectors - 34
      entryCount = UInt32(count)
      entries = [UInt8](repeating: 0, count: count * 128)
    }

    mutating func add(
      _ number: Int, _ first: UInt64, _ last: UInt64, name: String = "", type: UInt8 = 1
    ) {
      var writer = ByteWriter(capacity: 128)
      for value in 0..<32 { writer.integer(UInt8(value) &* type) }
      writer.integer(first)
      writer.integer(last)
      writer.zeros(8)
      for unit in name.utf16.prefix(36) { writer.integer(unit) }
      writer.zeros(128 - writer.bytes.count)
      entries.replaceSubrange((number - 1) * 128..<number * 128, with: writer.bytes)
    }

    func header() -> [UInt8] {
      var writer = ByteWriter(capacity: 512)
      writer.append(contentsOf: "EFI PART".utf8)
      writer.integer(UInt32(0x10000))
      writer.integer(headerSize)
      writer.zeros(8)
      writer.integer(place)
      writer.integer(UInt64(0))
      writer.integer(firstUsable)
      writer.integer(lastUsable)
      writer.zeros(16)
      writer.integer(entriesPlace)
      writer.integer(entryCount)
      writer.integer(entrySize)
      writer.integer(TableBuilder.checksum(entries))
      writer.zeros(512 - writer.bytes.count)
      let covered = writer.bytes.prefix(min(512, Int(headerSize)))
      writer.replace(at: 16, with: TableBuilder.checksum(Array(covered)))
      return writer.bytes
    }

    /// Writes boot record, header and entries to a disk.
    func write(to disk: MemoryDisk) {
      disk.write(TableBuilder.record([Entry(type: 0xEE, start: 1, count: .max)]), at: 0)
      disk.write(header(), at: place * 512)
      disk.write(entries, at: entriesPlace * 512)
    }

    /// The backup of this table at the end of a disk.
    func backup(on disk: MemoryDisk) -> GPT {
      var backup = self
      backup.place = disk.size / 512 - 1
      backup.entriesPlace = backup.place - 32
      return backup
    }
  }

  /// CRC-32, a nibble at a time.
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var value = UInt32.max
    for byte in bytes {
      value ^= UInt32(byte)
      value = value >> 4 ^ nibbles[Int(value & 15)]
      value = value >> 4 ^ nibbles[Int(value & 15)]
    }
    return ~value
  }

  private static let nibbles: [UInt32] = (0..<16).map { nibble in
    (0..<4).reduce(nibble) { value, _ in value & 1 == 0 ? value >> 1 : value >> 1 ^ 0xEDB8_8320 }
  }
}
