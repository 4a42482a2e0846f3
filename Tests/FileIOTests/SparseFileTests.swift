import FileIO
import Support
import Testing

/// Holes, sizes and places of a file's bytes, on real file systems.
struct SparseFileTests {
  static let mebibyte: UInt64 = 1 << 20

  @Test("data and holes are found where they are, and punched room is given back")
  func holes() throws {
    let directory = try TemporaryDirectory("holes")
    let file = try File(directory.file("sparse"), .creating(permissions: 0o600))
    try file.truncate(to: 64 * Self.mebibyte)
    #expect(try file.nextData(from: 0) == nil)
    #expect(try file.nextHole(from: 0) == 0)
    try file.write([UInt8](repeating: 1, count: 1 << 20), at: 8 * Self.mebibyte)
    try file.sync()
    #expect(try file.nextData(from: 0) == 8 * Self.mebibyte)
    #expect(try file.nextHole(from: 8 * Self.mebibyte) == 9 * Self.mebibyte)
    #expect(try file.nextData(from: 9 * Self.mebibyte) == nil)
    #expect(try file.nextHole(from: 64 * Self.mebibyte) == 64 * Self.mebibyte)
    let before = try file.status().allocated
    #expect(before >= Self.mebibyte && before < 2 * Self.mebibyte)
    try file.punchHole(at: 8 * Self.mebibyte, count: Self.mebibyte / 2)
    #expect(try file.nextData(from: 0) == 8 * Self.mebibyte + Self.mebibyte / 2)
    #expect(try file.status().allocated < before)
    #expect(try file.status().size == 64 * Self.mebibyte)
    #expect(try file.read(at: 8 * Self.mebibyte, count: 2) == [0, 0])
  }

  @Test("a block device tells its size and has no holes", .enabled(if: Available.root))
  func device() throws {
    let directory = try TemporaryDirectory("device")
    try File(directory.file("image"), .creating(permissions: 0o600)).truncate(to: 5 * Self.mebibyte)
    let device = try Program.require("losetup", "--find", "--show", directory.file("image"))
      .split(separator: "\n").first.map(String.init)
    let path = try #require(device)
    defer { _ = try? Program.run("losetup", "--detach", path) }
    let file = try File(path, .reading)
    #expect(try file.status().kind == .device)
    #expect(try file.status().size == 5 * Self.mebibyte)
    #expect(try file.nextData(from: 4096) == 4096)
  }

  @Test(
    "a clone shares every extent, and a write moves exactly its own", .enabled(if: Available.root),
    arguments: [LoopMount.Kind.xfs, .btrfs])
  func clonesAndExtents(kind: LoopMount.Kind) throws {
    var random = SeededGenerator(for: "extents on \(kind)")
    let mount = try LoopMount(kind, size: 512 * Self.mebibyte)
    #expect(try FileSystem.system.kind(at: mount.path).rawValue == kind.rawValue)
    let original = try File(mount.file("original"), .creating(permissions: 0o600))
    try original.write(random.bytes(4 << 20), at: 0)
    try original.truncate(to: 16 * Self.mebibyte)
    let clone = try File(mount.file("clone"), .creating(permissions: 0o600))
    try clone.clone(from: original)
    #expect(try Self.pages(of: clone) == Self.pages(of: original))
    #expect(try clone.status().size == 16 * Self.mebibyte)

    let changed = Set((0..<50).map { _ in UInt64(random.number(0..<1024)) })
    for page in changed { try original.write(random.bytes(4096), at: page * 4096) }
    let (before, after) = (try Self.pages(of: clone), try Self.pages(of: original))
    #expect(Set(after.keys.filter { before[$0] != after[$0] }) == changed)
    #expect(after.count == 1024)
  }

  /// Where each 4 KiB page of a file lies.
  static func pages(of file: borrowing File) throws -> [UInt64: UInt64] {
    var pages: [UInt64: UInt64] = [:]
    for extent in try extents(of: file) {
      #expect(extent.isComparable)
      for offset in stride(from: 0, to: extent.length, by: 4096) {
        pages[(extent.logical + offset) / 4096] = extent.physical + offset
      }
    }
    return pages
  }

  /// All extents of a file.
  static func extents(of file: borrowing File) throws -> [FileExtent] {
    var cursor = ExtentCursor()
    var extents: [FileExtent] = []
    while let extent = try cursor.next(of: file) { extents.append(extent) }
    return extents
  }

  @Test("a file of thousands of extents is mapped whole and in order")
  func manyExtents() throws {
    let directory = try TemporaryDirectory("extents")
    let file = try File(directory.file("fragments"), .creating(permissions: 0o600))
    let count: UInt64 = 5000
    for index in 0..<count { try file.write([1], at: index * 16384) }
    let extents = try Self.extents(of: file)
    #expect(extents.count >= Int(count))
    #expect(extents.last?.isLast == true)
    #expect(Set(extents.map { $0.logical / 16384 }).count == Int(count))
    for (left, right) in zip(extents, extents.dropFirst()) {
      #expect(left.logical + left.length <= right.logical)
    }
  }

  @Test("cloning between file systems is refused as unsupported", .enabled(if: Available.root))
  func clonesStayOnOneFileSystem() throws {
    let directory = try TemporaryDirectory("clone")
    let mount = try LoopMount(.xfs, size: 512 * Self.mebibyte)
    let source = try File(directory.file("source"), .creating(permissions: 0o600))
    try source.write([1], at: 0)
    let target = try File(mount.file("target"), .creating(permissions: 0o600))
    do throws(IOError) {
      try target.clone(from: source)
      Issue.record("the clone should fail")
    } catch { #expect(error.isUnsupported) }
  }
}
