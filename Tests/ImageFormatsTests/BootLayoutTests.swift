import Bytes
import ImageFormats
import Support
import Testing

/// What could start a machine: boot records put together by hand, and tables of other programs.
struct BootLayoutTests {
  /// A disk whose first sector has that text in its code, with one partition from sector 8 on.
  private func disk(_ code: String, in partition: String? = nil) -> MemoryDisk {
    var sector = TableBuilder.record([
      TableBuilder.Entry(type: 0x83, start: 8, count: 64, indicator: 0x80)
    ])
    sector.replaceSubrange(90..<90 + code.utf8.count, with: Array(code.utf8))
    let disk = MemoryDisk(size: 1 << 20)
    disk.write(sector, at: 0)
    if let partition {
      var first = [UInt8](repeating: 0, count: 512)
      first.replaceSubrange(3..<3 + partition.utf8.count, with: Array(partition.utf8))
      (first[510], first[511]) = (0x55, 0xAA)
      disk.write(first, at: 8 * 512)
    }
    return disk
  }

  @Test("a boot record says whose it is, or the partition that it runs does")
  func loaders() throws {
    let cases: [(code: String, partition: String?, BootLayout.Loader)] = [
      ("", nil, .none), ("", "SYSLINUX", .none), ("GRUB ", nil, .grub),
      ("Missing operating system.", "SYSLINUX", .syslinux),
      ("Missing operating system.", "EXTLINUX", .syslinux),
      ("Missing operating system", "NTFS    BOOTMGR", .windows),
      ("Missing operating system", "NTFS", .other), ("?", nil, .other),
    ]
    for (code, partition, loader) in cases {
      let layout = try BootLayout(of: disk(code, in: partition))
      #expect(layout.loader == loader, "\(code) \(partition ?? "")")
      #expect(layout.scheme == .mbr && layout.systemPartition == nil)
    }
  }

  @Test("an EFI system partition is found in either table, and no table in an empty disk")
  func systemPartitions() throws {
    let guid = try BootLayout(of: Vectors.disk("gpt-4096"))
    #expect(guid.scheme == .gpt && guid.systemPartition == 1)
    let empty = MemoryDisk(size: 1 << 20)
    #expect(
      try BootLayout(of: empty) == BootLayout(scheme: nil, loader: .none, systemPartition: nil))
    empty.write(
      TableBuilder.record([TableBuilder.Entry(type: 0xEF, start: 8, count: 64)]), at: 0)
    #expect(try BootLayout(of: empty).systemPartition == 1)
    #expect(try BootLayout(of: MemoryDisk(size: 512)).scheme == nil)
  }
}
