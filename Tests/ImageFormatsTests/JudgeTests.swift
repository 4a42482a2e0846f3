import Bytes
import FileIO
import ImageFormats
import Support
import Testing

/// Exports and images with QEMU and libvhdi as judges.
struct JudgeTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("judge") }

  /// A disk of `size` bytes with data at its ends and between, and the same as a raw file.
  private func sample(_ size: UInt64, _ random: inout SeededGenerator) throws -> RawImage {
    let path = directory.file("source-\(size)")
    let file = try File(path, .creating(permissions: 0o600))
    try file.truncate(to: size)
    for place in [0, size / 2 / 512 * 512, size / 3 * 2 / 512 * 512, size - 512] {
      let count = min(random.number(1..<70_000), Int(size - place))
      try file.write(random.bytes(count), at: place)
    }
    return try RawImage(path)
  }

  private func virtualSize(_ path: String) throws -> UInt64? {
    let text = try Program.require("qemu-img", "info", "-f", "vpc", "--output=json", path)
    let line = text.split(separator: "\n").first { $0.contains("\"virtual-size\"") }
    return line.flatMap { UInt64($0.filter { $0.isNumber }) }
  }

  @Test(
    "QEMU and libvhdi see every byte and the padded size of an exported VHD",
    arguments: [1 << 20, (3 << 20) + 512, 127 << 30, 2040 << 30] as [UInt64])
  func exported(size: UInt64) throws {
    var random = SeededGenerator(for: "exports of \(size) bytes")
    let disk = try sample(size, &random)
    let padded = try VHD.paddedSize(of: size)
    for format in [ExportFormat.fixedVHD, .dynamicVHD] {
      let path = directory.file("out-\(format)")
      let export = ExportTests.export(format)
      let summary = try export.run(disk, to: path)
      #expect(summary.diskSize == padded)
      try export.verify(disk, at: path)
      #expect(try virtualSize(path) == padded)
      let info = try Program.require("vhdiinfo", path)
      #expect(info.contains("(\(padded) bytes)") || info.contains(" \(padded) bytes"), "\(info)")
      #expect(info.contains(format == .fixedVHD ? "Fixed" : "Dynamic"), "\(info)")
      #expect(info.contains(export.identifier.description), "\(info)")
      try Program.require("qemu-img", "compare", "-f", "raw", "-F", "vpc", disk.path, path)
      #expect(try FileSystem.system.status(path).allocated < 8 << 20)
    }
  }

  @Test("one sector more than 2,040 GiB is refused by QEMU and by us")
  func tooLarge() throws {
    let size = (2040 << 30) + 512 as UInt64
    let made = try Program.run(
      "qemu-img", "create", "-f", "vpc", "-o", "subformat=dynamic,force_size=on",
      directory.file("qemu.vhd"), "\(size)")
    #expect(!made.succeeded)
    for format in [ExportFormat.fixedVHD, .dynamicVHD] {
      let error = #expect(throws: ImageError.self) {
        try ExportTests.export(format).run(MemoryDisk(size: size), to: directory.file("ours.vhd"))
      }
      #expect(error?.code == .tooLarge)
    }
  }

  @Test(
    "what QEMU writes as a VHD is read byte for byte, with its holes",
    arguments: ["fixed", "dynamic"], ["on", "off"])
  func written(subformat: String, force: String) throws {
    var random = SeededGenerator(for: "VHDs of QEMU")
    let disk = try sample((37 << 20) + 512, &random)
    let path = directory.file("qemu.vhd")
    try Program.require(
      "qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o",
      "subformat=\(subformat),force_size=\(force)", disk.path, path)
    let image = try VHDImage(path)
    #expect(try image.size == virtualSize(path))
    #expect(image.isDynamic == (subformat == "dynamic"))
    #expect(try image.bytes(0, Int(disk.size)) == disk.bytes())
    let rest = try image.bytes(disk.size, Int(image.size - disk.size))
    #expect(rest.allSatisfy { $0 == 0 })
    #expect(try image.stretches().reduce(0) { $0 + $1.upperBound - $1.lowerBound } < 9 << 20)
  }

  @Test("a dynamic VHD that a machine grows block by block stays readable")
  func grown() throws {
    var random = SeededGenerator(for: "VHDs that grow")
    let (path, raw) = (directory.file("grown.vhd"), directory.file("grown.raw"))
    try Program.require(
      "qemu-img", "create", "-f", "vpc", "-o", "subformat=dynamic,force_size=on", path, "64M")
    for _ in 0..<4 {
      var commands: [String] = []
      for _ in 0..<8 {
        let (place, count) = (random.number(0..<120_000), random.number(1..<300))
        commands += ["-c", "write -P \(random.number(1..<256)) \(place)b \(count)b"]
      }
      let written = try Program("qemu-io", ["-f", "vpc"] + commands + [path]).wait(seconds: 60)
      #expect(written.succeeded, "\(written.report)")
      try Program.require("qemu-img", "convert", "-f", "vpc", "-O", "raw", path, raw)
      #expect(try VHDImage(path).bytes() == RawImage(raw).bytes())
    }
  }

  @Test("what we write as a dynamic VHD, QEMU may go on writing to")
  func writtenTo() throws {
    var random = SeededGenerator(for: "writing to exports")
    let disk = try sample(64 << 20, &random)
    let path = directory.file("out.vhd")
    try ExportTests.export(.dynamicVHD).run(disk, to: path)
    try Program.require(
      "qemu-io", "-f", "vpc", "-c", "write -P 7 10M 64k", "-c", "write -P 9 0 4k", path)
    let image = try VHDImage(path)
    #expect(try image.bytes(10 << 20, 65536) == [UInt8](repeating: 7, count: 65536))
    #expect(try image.bytes(0, 4096) == [UInt8](repeating: 9, count: 4096))
    #expect(try image.bytes(20 << 20, 44 << 20) == disk.bytes(20 << 20, 44 << 20))
  }
}
