import Bytes
import FileIO
import ImageFormats
import Support
import Testing

/// Exports that run to their end, and those that are refused before they begin.
struct ExportTests {
  private let directory: TemporaryDirectory
  private var path: String { directory.file("out") }

  init() throws { directory = try TemporaryDirectory("export") }

  static func export(_ format: ExportFormat, _ identity: String = "point 1") -> DiskExport {
    DiskExport(
      format: format, identity: identity, identifier: Identifier(high: 7, low: 9),
      created: Timestamp(seconds: 1_795_170_725))
  }

  private func bytes(_ path: String) throws -> [UInt8] {
    try FileSystem.system.readFile(path, limit: 64 << 20)
  }

  @Test("an export reads as its disk, and verifies", arguments: ExportFormat.allCases)
  func content(format: ExportFormat) throws {
    var random = SeededGenerator(for: "export as \(format)")
    for size in [512, 4096, 1 << 20, (2 << 20) + 512, (7 << 20) - 1024] as [UInt64] {
      let disk = MemoryDisk.sample(size: size, &random)
      var export = Self.export(format)
      export.replacesExisting = true
      let summary = try export.run(disk, to: path)
      let image = try openImage(path, as: format.imageFormat)
      #expect(try image.size == (format == .raw ? size : VHD.paddedSize(of: size)))
      #expect(summary.diskSize == image.size && summary.resumedAt == 0)
      #expect(try image.bytes(0, Int(size)) == disk.bytes())
      let padding = try image.bytes(size, Int(image.size - size))
      #expect(padding.allSatisfy { $0 == 0 })
      #expect(try FileSystem.system.status(path).size == summary.fileSize)
      try export.verify(disk, at: path)
    }
    #expect(try FileSystem.system.list(directory.path) == ["out"])
  }

  @Test("equal disks give equal files, whatever the source knows of holes")
  func deterministic() throws {
    var random = SeededGenerator(for: "equal exports")
    let disk = MemoryDisk.sample(size: 9 << 20, &random)
    for format in ExportFormat.allCases {
      let (one, other) = (directory.file("\(format)-1"), directory.file("\(format)-2"))
      try Self.export(format).run(disk, to: one)
      try Self.export(format, "another way to the same point").run(Dense(content: disk), to: other)
      #expect(try bytes(one) == bytes(other), "\(format)")
      let allocated = try FileSystem.system.status(other).allocated
      #expect(try allocated <= FileSystem.system.status(one).allocated, "\(format)")
    }
  }

  @Test("the exported fixed VHD is byte for byte the one that the mount shows")
  func asMounted() throws {
    var random = SeededGenerator(for: "export and mount")
    let disk = MemoryDisk.sample(size: (3 << 20) + 512, &random)
    let export = Self.export(.fixedVHD)
    try export.run(disk, to: path)
    let shown = try FixedVHD(
      diskSize: disk.size, identifier: export.identifier, created: export.created)
    var whole = [UInt8](repeating: 1, count: Int(shown.fileSize))
    try whole.withUnsafeMutableBytes { try shown.read(into: $0, at: 0, from: disk) }
    #expect(try bytes(path) == whole)
  }

  @Test("holes and runs of zeros take no room in the file", arguments: ExportFormat.allCases)
  func sparse(format: ExportFormat) throws {
    let disk = MemoryDisk(size: 4 << 30)
    disk.write([UInt8](repeating: 1, count: 4096), at: 65536)
    disk.write([UInt8](repeating: 0, count: 1 << 20), at: 1 << 30)
    disk.write([2], at: (3 << 30) + 70_000)
    try Self.export(format).run(disk, to: path)
    let allocated = try FileSystem.system.status(path).allocated
    // Two pages of data, at most two bitmaps, table, headers and footer.
    #expect(allocated <= 16 * 4096, "\(allocated)")
    let image = try openImage(path, as: format.imageFormat)
    #expect(
      try image.stretches() == [65536..<69632, (3 << 30) + 69632..<(3 << 30) + 69632 + 4096])
  }

  @Test("a dynamic VHD has no blocks for zeros, and places its data at whole pages")
  func dynamicLayout() throws {
    let disk = MemoryDisk(size: 100 << 20)
    disk.write([1], at: 50 << 20)
    disk.write([UInt8](repeating: 0, count: 4096), at: 60 << 20)
    disk.write([2], at: (100 << 20) - 1)
    let summary = try Self.export(.dynamicVHD).run(disk, to: path)
    let table = VHDBlockTable(
      try File(path, .reading).read(at: 1536, count: 50 * 4), blockSize: 2 << 20)
    let placed = table.entries.enumerated().filter { $0.element != VHD.absent }
    #expect(placed.map(\.offset) == [25, 49])
    #expect(placed.allSatisfy { (UInt64($0.element) * 512 + 512) % 4096 == 0 })
    #expect(summary.fileSize == 4096 + 2 * (2 << 20) + 4096 + 512)
    try Self.export(.dynamicVHD).run(MemoryDisk(size: 100 << 20), to: directory.file("empty"))
    #expect(try FileSystem.system.status(directory.file("empty")).size == 2560)
    #expect(try VHDImage(directory.file("empty")).nextData(from: 0) == nil)
  }

  @Test("an existing file is kept unless replacing it was asked for, and only files are replaced")
  func existing() throws {
    try write([1, 2, 3], to: path)
    let disk = MemoryDisk([UInt8](repeating: 1, count: 4096))
    var error = #expect(throws: ImageError.self) { try Self.export(.raw).run(disk, to: path) }
    #expect(error?.code == .alreadyExists && error?.message.contains("'\(path)'") == true)
    #expect(try bytes(path) == [1, 2, 3])
    var export = Self.export(.raw)
    export.replacesExisting = true
    try export.run(disk, to: path)
    #expect(try bytes(path).count == 4096)
    error = #expect(throws: ImageError.self) { try export.run(disk, to: directory.path) }
    #expect(error?.message.contains("it is a directory or a device") == true)
    error = #expect(throws: ImageError.self) {
      try export.run(disk, to: directory.file("none/out"))
    }
    #expect(error?.code == .io)
    #expect(try FileSystem.system.list(directory.path) == ["out"])
  }

  @Test("only the owner may read an exported disk, unless other permissions are given")
  func permissions() throws {
    let disk = MemoryDisk(size: 4096)
    try Self.export(.raw).run(disk, to: path)
    #expect(try FileSystem.system.status(path).permissions == 0o600)
  }

  @Test("two exports to one file do not run at once")
  func busy() throws {
    let partial = try File(
      directory.file(".out.tidemark-partial"), .creating(permissions: 0o600))
    try partial.lockExclusively()
    let error = #expect(throws: ImageError.self) {
      try Self.export(.raw).run(MemoryDisk(size: 4096), to: path)
    }
    #expect(error?.code == .busy && error?.message.contains("another export") == true)
  }

  @Test("progress rises from what is done to the whole, and ends there")
  func progress() throws {
    let disk = MemoryDisk([UInt8](repeating: 3, count: 5 << 20))
    var told: [UInt64] = []
    try Self.export(.raw).run(disk, to: path) { done, total in
      #expect(total == 5 << 20)
      told.append(done)
    }
    #expect(told == [0, 2 << 20, 4 << 20, 5 << 20, 5 << 20])
  }

  @Test("disks that no format holds are refused before a file is made")
  func sizes() throws {
    for (size, format, code) in [
      ((2040 << 30) + 512, .fixedVHD, .tooLarge), ((2040 << 30) + 512, .dynamicVHD, .tooLarge),
      (0, .raw, .invalidSize), (1000, .fixedVHD, .invalidSize), (1000, .raw, .invalidSize),
    ] as [(UInt64, ExportFormat, ImageError.Code)] {
      let error = #expect(throws: ImageError.self) {
        try Self.export(format).run(MemoryDisk(size: size), to: path)
      }
      #expect(error?.code == code)
    }
    #expect(try FileSystem.system.list(directory.path).isEmpty)
  }

  @Test("verifying names the first byte that differs, anywhere in the disk or its padding")
  func verify() throws {
    var random = SeededGenerator(for: "verify")
    let disk = MemoryDisk.sample(size: (5 << 20) + 512, &random)
    let export = Self.export(.fixedVHD)
    try export.run(disk, to: path)
    for place in [0, 1, 70_001, (2 << 20) - 1, (5 << 20) + 511, (5 << 20) + 512, (6 << 20) - 1] {
      let file = try File(path, .writing)
      let byte = try file.read(at: UInt64(place), count: 1)
      try file.write([byte[0] ^ 0x10], at: UInt64(place))
      let error = #expect(throws: ImageError.self) { try export.verify(disk, at: path) }
      #expect(error?.code == .different)
      #expect(error?.message.contains("at byte \(place) of the disk") == true)
      try file.write(byte, at: UInt64(place))
    }
    try export.verify(disk, at: path)
  }

  @Test("verifying refuses another point's footer, another size and another format")
  func verifyHeaders() throws {
    let disk = MemoryDisk(size: 3 << 20)
    try Self.export(.fixedVHD).run(disk, to: path)
    var other = Self.export(.fixedVHD)
    other.identifier = Identifier(high: 1, low: 1)
    for (export, size) in [
      (other, disk.size), (Self.export(.dynamicVHD), disk.size), (Self.export(.fixedVHD), 4 << 20),
      (Self.export(.raw), disk.size),
    ] {
      let error = #expect(throws: ImageError.self) {
        try export.verify(MemoryDisk(size: size), at: path)
      }
      #expect(error?.code == .different)
    }
  }
}

extension ExportFormat {
  /// What a file of this format is read as.
  fileprivate var imageFormat: ImageFormat { self == .raw ? .raw : .vhd }
}
