import Bytes
import FileIO
import ImageFormats
import Support
import Testing

/// Tables of other programs, with other programs as judges.
struct PartitionTableTests {
  private static let linux = "0fc63daf-8483-4772-8e79-3d69d8477de4"

  @Test("an MBR of sfdisk is read with its logical partitions, numbered as Linux does")
  func logical() throws {
    let table = try readPartitionTable(of: Vectors.disk("mbr-logical"))
    let expected: [(Int, UInt64, UInt64, String)] = [
      (1, 2048, 20480, "0x83"), (2, 22528, 40960, "0x07"), (5, 67584, 10000, "0x83"),
      (6, 79872, 20000, "0x82"), (7, 102_400, 30000, "0x8e"), (8, 135_168, 5000, "0x0c"),
    ]
    #expect(table.scheme == .mbr && table.remarks.isEmpty)
    #expect(
      table.partitions
        == expected.map {
          Partition(number: $0, offset: $1 * 512, size: $2 * 512, scheme: .mbr, type: $3)
        })
  }

  @Test("a GPT of sgdisk on 4 KiB sectors is read, with names and gaps in the numbers")
  func largeSectors() throws {
    let disk = try Vectors.disk("gpt-4096")
    let table = try readPartitionTable(of: disk)
    #expect(table.scheme == .gpt && table.sectorSize == 4096 && table.remarks.isEmpty)
    let expected = [
      Partition(
        number: 1, offset: 256 * 4096, size: 745 * 4096, scheme: .gpt,
        type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", name: "EFI"),
      Partition(
        number: 3, offset: 2048 * 4096, size: 1024 * 4096, scheme: .gpt, type: Self.linux,
        name: "Wurzel ☃"),
      Partition(
        number: 128, offset: 4096 * 4096, size: 12283 * 4096, scheme: .gpt,
        type: "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f"),
    ]
    #expect(table.partitions == expected)
    disk.write([0], at: 4096)
    let backup = try readPartitionTable(of: disk)
    #expect(backup.partitions == expected && backup.sectorSize == 4096)
    #expect(backup.remarks.count == 1)
  }

  /// What `partx` of util-linux reads: number, start and size in bytes, type.
  private func judge(_ path: String) throws -> [Partition] {
    let output = try Program.require(
      "partx", "--raw", "--noheadings", "-o", "NR,START,SECTORS,TYPE,SCHEME", path)
    return output.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ").map(String.init)
      guard let number = Int(fields[0]), let start = UInt64(fields[1]),
        let count = UInt64(fields[2])
      else { return nil }
      let isGPT = fields[4] == "gpt"
      let short = fields[3].count == 3 && !isGPT
      return Partition(
        number: number, offset: start * 512, size: count * 512, scheme: isGPT ? .gpt : .mbr,
        type: short ? "0x0" + fields[3].suffix(1) : fields[3])
    }
  }

  @Test("random tables that sgdisk writes are read as partx reads them, as GPT and as MBR")
  func sgdisk() throws {
    let directory = try TemporaryDirectory("gpt")
    var random = SeededGenerator(for: "tables of sgdisk")
    for round in 0..<4 {
      let path = directory.file("disk-\(round)")
      try File(path, .creating(permissions: 0o600)).truncate(to: 256 << 20)
      var arguments = ["--clear"]
      var start = 2048
      let numbers = Array((1...(round < 2 ? 120 : 3)).shuffled(using: &random).prefix(6))
      for number in numbers {
        let length = random.number(1..<30_000)
        arguments += ["--new=\(number):\(start):\(start + length)"]
        arguments += ["--typecode=\(number):\(["8300", "0700", "8200"][random.number(0..<3)])"]
        start += length + random.number(2048..<9000)
      }
      if round >= 2 {
        arguments += ["--gpttombr=" + numbers.map(String.init).joined(separator: ":")]
      }
      let written = try Program("sgdisk", arguments + [path]).wait(seconds: 30)
      #expect(written.succeeded, "\(written.report)")
      var found = try readPartitions(of: RawImage(path))
      #expect(found.count == numbers.count)
      for index in found.indices { found[index].name = nil }
      #expect(try found == judge(path), "round \(round)")
    }
  }

  @Test("random chains of logical partitions are read as partx reads them")
  func chains() throws {
    let directory = try TemporaryDirectory("mbr")
    var random = SeededGenerator(for: "logical partitions")
    for round in 0..<6 {
      let path = directory.file("disk-\(round)")
      let container: UInt32 = 40_000
      let file = try File(path, .creating(permissions: 0o600))
      try file.truncate(to: 512 << 20)
      try file.write(
        TableBuilder.record([
          .init(type: 0x83, start: 2048, count: 10_000, indicator: 0x80),
          .init(type: [0x05, 0x0F, 0x85][round % 3], start: container, count: 1_000_000),
          .init(type: 0, start: 0, count: 0), .init(type: 0x07, start: 15_000, count: 20_000),
        ]), at: 0)
      var link = container
      for left in (0..<random.number(1..<20)).reversed() {
        let gap = UInt32(random.number(1..<3000))
        let count = UInt32(random.number(1..<20_000))
        let next = link + gap + count + UInt32(random.number(0..<3000))
        var entries = [TableBuilder.Entry(type: 0x83, start: gap, count: count)]
        if left > 0 { entries.append(.init(type: 0x05, start: next - container, count: 30_000)) }
        try file.write(TableBuilder.record(entries), at: UInt64(link) * 512)
        link = next
      }
      // partx lists the container too, which is no place for a file system.
      let judged = try judge(path).filter { $0.number != 2 }
      let table = try readPartitionTable(of: RawImage(path))
      #expect(table.partitions.sorted { $0.number < $1.number } == judged, "round \(round)")
      #expect(table.remarks.isEmpty)
    }
  }

  @Test(
    "a disk with a file system instead of a table has no partitions", arguments: ["ext4", "ntfs"])
  func noTable(kind: String) throws {
    let directory = try TemporaryDirectory("file-system")
    let path = directory.file("disk")
    try File(path, .creating(permissions: 0o600)).truncate(to: 16 << 20)
    try Program.require("mkfs." + kind, kind == "ext4" ? "-q" : "-FQq", path)
    #expect(try readPartitionTable(of: RawImage(path)) == PartitionTable())
    #expect(try readPartitionTable(of: MemoryDisk(size: 512)) == PartitionTable())
  }

  @Test("a disk that can't be read is an error of the source")
  func unreadable() throws {
    let error = #expect(throws: ImageError.self) {
      try readPartitions(of: MemoryDisk(size: 1 << 20, broken: 0..<512))
    }
    #expect(error?.code == .source && error?.cause is MemoryDisk.Broken)
  }
}
