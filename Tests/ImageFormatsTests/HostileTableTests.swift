import Bytes
import ImageFormats
import Support
import Testing

/// Tables that are damaged, contradict themselves, or were made to do harm.
struct HostileTableTests {
  private typealias Entry = TableBuilder.Entry

  private func disk(_ records: [UInt64: [Entry]], size: UInt64 = 1 << 20) -> MemoryDisk {
    let disk = MemoryDisk(size: size)
    for (sector, entries) in records { disk.write(TableBuilder.record(entries), at: sector * 512) }
    return disk
  }

  @Test("chains that lead back, break off or never end are followed a bounded way")
  func chains() throws {
    let container = Entry(type: 5, start: 100, count: 1000)
    let data = Entry(type: 0x83, start: 1, count: 10)
    let cases: [(String, [Entry], Int)] = [
      ("comes back on itself", [data, Entry(type: 5, start: 0, count: 10)], 1),
      ("breaks off at sector 600", [data, Entry(type: 5, start: 500, count: 10)], 1),
      ("the disk ends before it", [data, Entry(type: 5, start: .max, count: 10)], 1),
      ("comes back on itself", [Entry(type: 15, start: 0, count: 1)], 0),
    ]
    for (words, entries, count) in cases {
      let table = try readPartitionTable(of: disk([0: [container], 100: entries]))
      #expect(table.partitions.map(\.number) == Array(5..<5 + count))
      #expect(table.remarks.count == 1 && table.remarks[0].contains(words), "\(table.remarks)")
    }
    var endless: [UInt64: [Entry]] = [0: [container]]
    for link in 0..<1900 as Range<UInt64> {
      endless[100 + link] = [data, Entry(type: 5, start: UInt32(link + 1), count: 10)]
    }
    let table = try readPartitionTable(of: disk(endless))
    #expect(table.partitions.last?.number == 255 && table.remarks.count == 100)
  }

  @Test("partitions beyond the disk's end are left out and keep their numbers to themselves")
  func beyond() throws {
    let table = try readPartitionTable(
      of: disk([
        0: [
          Entry(type: 0x83, start: 1, count: 100), Entry(type: 0x83, start: 2000, count: 49),
          Entry(type: 0x83, start: .max, count: .max), Entry(type: 5, start: 200, count: 5000),
        ],
        200: [
          Entry(type: 0x83, start: 1000, count: 5000), Entry(type: 5, start: 100, count: 100),
        ],
        300: [Entry(type: 0x83, start: 1, count: 1)],
      ]))
    #expect(table.partitions.map(\.number) == [1, 6])
    #expect(table.remarks.count == 3)
    #expect(
      table.remarks.contains(
        "Partition 2 is left out: it reaches from byte 1024000 to 1049088, and the disk ends at "
          + "1048576."))
  }

  @Test("partitions may overlap, and entries of no type count if they have sectors, as in Linux")
  func overlapping() throws {
    let table = try readPartitionTable(
      of: disk([0: [Entry(type: 0x83, start: 0, count: 100), Entry(type: 0, start: 50, count: 9)]]))
    #expect(table.partitions.map(\.offset) == [0, 25600])
  }

  @Test("the third and fourth entry in a chain count only inside their container")
  func garbage() throws {
    let wild = Entry(type: 0x83, start: 900, count: 200)
    let table = try readPartitionTable(
      of: disk([
        0: [Entry(type: 5, start: 100, count: 1000)],
        100: [
          Entry(type: 0x83, start: 1, count: 1), Entry(type: 0, start: 0, count: 0), wild,
          Entry(type: 0x83, start: 5, count: 5),
        ],
      ]))
    #expect(table.partitions.map(\.offset) == [101 * 512, 105 * 512])
  }

  @Test("what begins a file system is not taken for a table")
  func bootSector() throws {
    let entry = Entry(type: 0x83, start: 1, count: 1, indicator: 0x41)
    #expect(try readPartitionTable(of: disk([0: [entry]])) == PartitionTable())
    for (place, mark) in [(3, "NTFS    "), (3, "EXFAT   "), (54, "FAT16   "), (82, "FAT32   ")] {
      let disk = disk([0: [Entry(type: 0x83, start: 1, count: 1)]])
      disk.write([0xEB, 0x3C, 0x90], at: 0)
      #expect(try readPartitionTable(of: disk).partitions.count == 1)
      disk.write(Array(mark.utf8), at: UInt64(place))
      #expect(try readPartitionTable(of: disk) == PartitionTable(), "\(mark)")
    }
  }

  private func gpt(
    entries: Int = 128, _ spoil: (inout TableBuilder.GPT) -> Void = { _ in }
  ) -> MemoryDisk {
    let disk = MemoryDisk(size: 1 << 20)
    var table = TableBuilder.GPT(sectors: 2048, entries: entries)
    table.add(2, 100, 199, name: "a\u{1B}[2Jb")
    table.backup(on: disk).write(to: disk)
    spoil(&table)
    table.write(to: disk)
    return disk
  }

  @Test("control characters in names are replaced")
  func names() throws {
    let table = try readPartitionTable(of: gpt())
    #expect(table.partitions.first?.name == "a\u{FFFD}[2Jb" && table.remarks.isEmpty)
    #expect(table.partitions.first?.type == "03020100-0504-0706-0809-0a0b0c0d0e0f")
  }

  @Test("a header that can't be believed is named with the reason, and the backup is read")
  func backup() throws {
    let cases: [(String, (inout TableBuilder.GPT) -> Void)] = [
      ("its size of 91 bytes is impossible", { $0.headerSize = 91 }),
      ("its size of 513 bytes is impossible", { $0.headerSize = 513 }),
      ("its last usable sector, 9000, is beyond", { $0.lastUsable = 9000 }),
      ("its last usable sector, 5, is beyond", { $0.lastUsable = 5 }),
      ("128 entries of 256 bytes", { $0.entrySize = 256 }),
      ("4294967295 entries of 128 bytes", { $0.entryCount = .max }),
      ("8193 entries of 128 bytes", { $0.entryCount = 8193 }),
      ("its entries begin beyond", { $0.entriesPlace = 1 << 40 }),
      ("its entries reach beyond", { $0.entriesPlace = 2040 }),
      ("the checksum of its entries is wrong", { $0.entryCount = 127 }),
    ]
    for (words, spoil) in cases {
      let disk = MemoryDisk(size: 1 << 20)
      var table = TableBuilder.GPT(sectors: 2048)
      table.add(2, 100, 199)
      table.backup(on: disk).write(to: disk)
      spoil(&table)
      disk.write(table.header(), at: 512)
      let read = try readPartitionTable(of: disk)
      #expect(read.partitions.map(\.number) == [2], "\(words)")
      #expect(read.remarks.first?.contains("its backup at the end was read") == true)
      #expect(read.remarks.last?.contains(words) == true, "\(read.remarks)")
    }
  }

  @Test("without any header that can be believed there are no partitions, and the reasons are told")
  func bothDamaged() throws {
    let disk = gpt()
    disk.write([0xFF], at: 512 + 40)
    disk.write([0xFF], at: (1 << 20) - 512 + 40)
    let table = try readPartitionTable(of: disk)
    #expect(table.partitions.isEmpty && table.scheme == nil && table.remarks.count == 3)
    #expect(
      table.remarks[1] == "The GPT header at byte 512 is not believed: its checksum is wrong.")
    disk.write([UInt8](repeating: 0, count: 512), at: 0)
    #expect(try readPartitionTable(of: disk) == PartitionTable())
    let unprotected = TableBuilder.record([Entry(type: 0xEE, start: 2, count: 9)])
    disk.write(unprotected, at: 0)
    #expect(try readPartitionTable(of: disk).remarks.count == 1)
  }

  @Test("a disk padded behind its backup keeps its partitions; one cut short says so")
  func sizes() throws {
    let disk = gpt()
    let bytes = try disk.bytes()
    let padded = MemoryDisk(bytes + [UInt8](repeating: 0, count: 1 << 20))
    #expect(try readPartitionTable(of: padded).partitions.map(\.number) == [2])
    let cut = try readPartitionTable(of: MemoryDisk(Array(bytes.dropLast(1 << 19))))
    #expect(cut.partitions.isEmpty)
    #expect(cut.remarks.contains { $0.hasSuffix("1023; the disk was cut short.") })
  }

  @Test("entries of a GPT beyond the disk's end, or that end before they begin, are left out")
  func entries() throws {
    let table = try readPartitionTable(
      of: gpt {
        $0.add(1, 100, 2048)
        $0.add(3, 100, 99)
        $0.add(4, .max, .max)
        $0.add(5, 0, 2047)
        $0.add(6, 50, 60, type: 0)
      })
    #expect(table.partitions.map(\.number) == [2, 5])
    #expect(table.remarks.count == 3)
  }

  @Test("tables of random bytes with right checksums never trap, and name nothing outside the disk")
  func fuzz() throws {
    var random = SeededGenerator(for: "partition tables")
    for _ in 0..<Count.of("TIDEMARK_FUZZ", normally: 1500) {
      let disk: MemoryDisk
      if random.once(in: 2) {
        disk = gpt(entries: 8) { spoil(&$0, &random) }
      } else {
        disk = MemoryDisk(size: 1 << 20)
        for _ in 0..<random.number(1..<30) {
          let sector = random.once(in: 4) ? 0 : UInt64(random.number(0..<40))
          disk.write(TableBuilder.record((0..<4).map { _ in entry(&random) }), at: sector * 512)
        }
      }
      let table = try readPartitionTable(of: disk)
      #expect(Set(table.partitions.map(\.number)).count == table.partitions.count)
      for partition in table.partitions {
        #expect(partition.offset + partition.size <= disk.size && partition.size > 0)
      }
    }
  }

  private func entry(_ random: inout SeededGenerator) -> Entry {
    let isNear = !random.once(in: 5)
    return Entry(
      type: [0x05, 0x0F, 0x83, 0x07, UInt8(random.number(0..<256))][random.number(0..<5)],
      start: isNear ? UInt32(random.number(0..<40)) : UInt32(truncatingIfNeeded: random.next()),
      count: isNear ? UInt32(random.number(0..<400)) : UInt32(truncatingIfNeeded: random.next()))
  }

  private func spoil(_ table: inout TableBuilder.GPT, _ random: inout SeededGenerator) {
    for _ in 0..<random.number(0..<3) {
      let wild = random.next() >> UInt64(random.number(0..<64))
      switch random.number(0..<7) {
      case 0: table.headerSize = UInt32(truncatingIfNeeded: wild)
      case 1: table.lastUsable = wild
      case 2: table.firstUsable = wild
      case 3: table.entryCount = UInt32(truncatingIfNeeded: wild)
      case 4: table.entrySize = UInt32(truncatingIfNeeded: wild)
      default: table.add(random.number(1..<9), wild, wild &+ random.next() >> 50)
      }
    }
  }
}
