import Bytes
import FileIO
import ImageFormats
import Support
import Testing

struct RawImageTests {
  @Test("a raw image is its bytes, and its holes are those of the file")
  func reads() throws {
    let directory = try TemporaryDirectory("raw")
    let path = directory.file("disk.raw")
    let file = try File(path, .creating(permissions: 0o600))
    try file.truncate(to: 8 << 20)
    try file.write([UInt8](repeating: 7, count: 65536), at: 1 << 20)
    try file.write([UInt8](repeating: 9, count: 512), at: (8 << 20) - 512)
    let image = try openImage(path, as: .raw)
    #expect(image.size == 8 << 20)
    #expect(try image.bytes((1 << 20) - 1, 3) == [0, 7, 7])
    #expect(
      try image.stretches() == [1 << 20..<(1 << 20) + 65536, (8 << 20) - 4096..<8 << 20])
    #expect(try image.nextData(from: 8 << 20) == nil)
    #expect(try image.nextHole(from: 8 << 20) == 8 << 20)
  }

  @Test("no bytes, a broken sector, a directory and a missing file are refused, each in its words")
  func refusals() throws {
    let directory = try TemporaryDirectory("raw")
    try write([], to: directory.file("empty"))
    try write([UInt8](repeating: 1, count: 513), to: directory.file("odd"))
    let cases: [(String, ImageError.Code, String)] = [
      ("empty", .invalidSize, "holds no bytes"), ("odd", .invalidSize, "513 bytes"),
      (".", .unsupported, "neither a file nor a block device"),
      ("none", .io, "No such file or directory"),
    ]
    for (name, code, words) in cases {
      let error = #expect(throws: ImageError.self) { try RawImage(directory.file(name)) }
      #expect(error?.code == code && error?.message.contains(words) == true, "\(name)")
      #expect(error?.message.contains(directory.file(name)) == true)
    }
  }

  @Test("a file that shrinks while it is open is an error that says so, not zeros")
  func shrinks() throws {
    let directory = try TemporaryDirectory("raw")
    let path = directory.file("disk.raw")
    try write([UInt8](repeating: 1, count: 8192), to: path)
    let image = try RawImage(path)
    let file = try File(path, .writing)
    try file.truncate(to: 4096)
    let error = #expect(throws: ImageError.self) { try image.bytes(2048, 4096) }
    #expect(error?.code == .damaged && error?.message.contains("ends at byte 4096") == true)
  }

  @Test("a block device is read, and has its device's size")
  func device() throws {
    let directory = try TemporaryDirectory("raw")
    let path = directory.file("disk.raw")
    try write([UInt8](repeating: 5, count: 1 << 20), to: path)
    let loop = try Program.run("losetup", "--find", "--show", "--read-only", path)
    // Only root may attach loop devices; where tests must be complete, they run as root.
    guard loop.succeeded || environment("CI") != nil else { return }
    #expect(loop.succeeded, "\(loop.report)")
    let device = String(loop.output.prefix { $0 != "\n" })
    defer { _ = try? Program.run("losetup", "--detach", device) }
    let image = try openImage(device, as: .raw)
    #expect(image.size == 1 << 20)
    #expect(try image.bytes() == [UInt8](repeating: 5, count: 1 << 20))
    #expect(try image.stretches() == [0..<1 << 20])
  }

  @Test("a name ending in .vhd means a VHD, every other a raw image, whatever the content")
  func names() {
    #expect(ImageFormat(nameOf: "/a/b.vhd") == .vhd)
    #expect(ImageFormat(nameOf: "B.VHD") == .vhd)
    #expect(ImageFormat(nameOf: "/a/b.vhd/c.img") == .raw)
    #expect(ImageFormat(nameOf: "/dev/sda") == .raw)
  }
}
