internal import Bytes
internal import FileIO
internal import Glibc
internal import RecoveryTree
internal import Support
internal import Testing

/// Goal: a mount of writable disks means the same to every process that serves it. Method: the tree over
/// plain files, without FUSE, in memory that a second tree takes over.
struct DiskTreeTests {
  private let directory: TemporaryDirectory
  private let memory: Memory
  private let disk: FileDisk
  private let tree: DiskTree

  /// What a holder would keep.
  private final class Memory {
    let bytes: UnsafeMutableRawBufferPointer
    init() {
      bytes = .allocate(byteCount: DiskTree.memorySize, alignment: 4096)
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }
    deinit { bytes.deallocate() }
  }

  init() throws {
    directory = try TemporaryDirectory("disks")
    let path = directory.file("disk")
    let file = try File(path, .creating(permissions: 0o600))
    try file.truncate(to: 8 << 20)
    try file.write(
      VaultFixture.partitionTable([(2048, 2048), (4096, 2048)]), at: 446)
    disk = try FileDisk(path)
    memory = Memory()
    tree = try DiskTree([0: disk], memory: memory.bytes)
  }

  private func inode(_ name: String) throws -> InodeNumber {
    try tree.lookup(name, in: .root).attributes.inode
  }

  private func code(_ body: () throws -> Void) -> Int32? {
    do { try body() } catch { return (error as? TreeError)?.code }
    return nil
  }

  @Test("the tree has a file for each disk and partition, with their sizes")
  func names() throws {
    let names = tree.names().map(\.name)
    #expect(names == [".", "..", "disk0.raw", "disk0.part1.raw", "disk0.part2.raw"])
    #expect(try tree.lookup("disk0.raw", in: .root).attributes.size == 8 << 20)
    #expect(try tree.lookup("disk0.part2.raw", in: .root).attributes.size == 1 << 20)
    for name in ["disk1.raw", "disk0.part3.raw", "disk0.vhd", "disk0.part0.raw", "x"] {
      #expect(code { _ = try inode(name) } == ENOENT, "\(name)")
    }
    let whole = try inode("disk0.raw")
    #expect(code { _ = try tree.lookup("x", in: whole) } == ENOTDIR)
  }

  @Test("while a disk is open for writing none of its partitions is, and the other way round")
  func writers() throws {
    let (whole, first) = (try inode("disk0.raw"), try inode("disk0.part1.raw"))
    let second = try inode("disk0.part2.raw")
    let opened = try tree.open(whole, writes: true, request: 1)
    #expect(code { _ = try tree.open(first, writes: true, request: 2) } == EBUSY)
    let again = try tree.open(whole, writes: true, request: 3)
    let reader = try tree.open(first, writes: false, request: 4)
    #expect(reader.bypassesCache, "it sees what is written through the other file")
    for handle in [opened.handle, again.handle, reader.handle] { tree.close(handle) }
    let one = try tree.open(first, writes: true, request: 5)
    let two = try tree.open(second, writes: true, request: 6)
    #expect(code { _ = try tree.open(whole, writes: true, request: 7) } == EBUSY)
    tree.close(one.handle)
    #expect(code { _ = try tree.open(whole, writes: true, request: 8) } == EBUSY)
    tree.close(two.handle)
    let last = try tree.open(whole, writes: true, request: 9)
    #expect(!last.keepsCache, "the partitions were written to")
    tree.close(last.handle)
    #expect(!tree.isInUse)
    #expect(try tree.open(whole, writes: false, request: 10).keepsCache)
  }

  @Test("bytes of a partition are those of its disk, and both end where they end")
  func bytes() throws {
    let first = try tree.open(try inode("disk0.part1.raw"), writes: true, request: 1)
    let text = Array("in the partition".utf8)
    let written = try text.withUnsafeBytes { try tree.write(first.handle, $0, at: 4096) }
    #expect(written == text.count)
    var found = [UInt8](repeating: 0, count: text.count)
    try found.withUnsafeMutableBytes { try disk.read(into: $0, at: 1 << 20 | 4096) }
    #expect(found == text)
    let short = try text.withUnsafeBytes {
      try tree.write(first.handle, $0, at: 1 << 20 - 5)
    }
    #expect(short == 5)
    #expect(
      code { _ = try text.withUnsafeBytes { try tree.write(first.handle, $0, at: 1 << 20) } }
        == ENOSPC)
    #expect(try tree.seek(first.handle, .data, from: 0) <= 4096)
    try tree.zero(first.handle, 1 << 30, at: 0)
    #expect(code { _ = try tree.seek(first.handle, .data, from: 0) } == ENXIO)
    #expect(try tree.seek(first.handle, .hole, from: 77) == 77)
    let reader = try tree.open(try inode("disk0.raw"), writes: false, request: 2)
    #expect(
      code { _ = try text.withUnsafeBytes { try tree.write(reader.handle, $0, at: 0) } } == EBADF)
  }

  @Test("a successor knows what is open and frozen, and a request that comes again opens once")
  func successor() throws {
    let first = try tree.open(try inode("disk0.part1.raw"), writes: true, request: 11)
    let next = try DiskTree([0: disk], memory: memory.bytes)
    #expect(next.isInUse)
    #expect(
      try next.open(try inode("disk0.part1.raw"), writes: true, request: 11).handle == first.handle)
    #expect(next.uses().map(\.writers) == [0, 1, 0])
    #expect(code { _ = try next.open(try inode("disk0.raw"), writes: true, request: 12) } == EBUSY)
    #expect(try !next.freeze())
    next.close(first.handle)
    next.close(first.handle)
    #expect(try next.freeze())
    let last = try DiskTree([0: disk], memory: memory.bytes)
    #expect(last.isFrozen)
    #expect(code { _ = try last.open(try inode("disk0.raw"), writes: true, request: 13) } == EROFS)
    last.close(try last.open(try inode("disk0.raw"), writes: false, request: 14).handle)
    last.thaw()
    _ = try last.open(try inode("disk0.raw"), writes: true, request: 15)
  }

  @Test("who gives up an open file once more does not give up the one opened since")
  func reuse() throws {
    let file = try inode("disk0.raw")
    let first = try tree.open(file, writes: true, request: 1)
    tree.close(first.handle)
    let second = try tree.open(file, writes: true, request: 2)
    tree.close(first.handle)
    #expect(tree.isInUse)
    let text: [UInt8] = [1]
    #expect(
      code { _ = try text.withUnsafeBytes { try tree.write(first.handle, $0, at: 0) } } != nil)
    let next = try DiskTree([0: disk], memory: memory.bytes)
    #expect(next.inherited == [second.handle])
    next.withdraw(request: 2)
    #expect(!next.isInUse && next.inherited.isEmpty)
  }

  @Test("what a predecessor left open and somebody uses is known to be open")
  func used() throws {
    let file = try inode("disk0.raw")
    let used = try tree.open(file, writes: true, request: 1)
    let idle = try tree.open(file, writes: false, request: 2)
    let next = try DiskTree([0: disk], memory: memory.bytes)
    #expect(Set(next.inherited) == [used.handle, idle.handle])
    let text: [UInt8] = [1]
    _ = try text.withUnsafeBytes { try next.write(used.handle, $0, at: 0) }
    #expect(next.inherited == [idle.handle])
    var bytes: [UInt8] = [0]
    _ = try bytes.withUnsafeMutableBytes { try next.read(idle.handle, into: $0, at: 0) }
    #expect(next.inherited.isEmpty && next.isInUse)
  }

  @Test("an open partition stays what it was, for a successor too, whatever becomes of the table")
  func window() throws {
    let part = try tree.open(try inode("disk0.part2.raw"), writes: true, request: 1)
    let table = VaultFixture.partitionTable([(2048, 4096)])
    try table.withUnsafeBytes { try disk.write($0, at: 446) }
    let next = try DiskTree([0: disk], memory: memory.bytes)
    let text: [UInt8] = [7, 7]
    _ = try text.withUnsafeBytes { try next.write(part.handle, $0, at: 0) }
    var found: [UInt8] = [0, 0]
    try found.withUnsafeMutableBytes { try disk.read(into: $0, at: 2 << 20) }
    #expect(found == text)
    #expect(try next.lookup("disk0.part2.raw", in: .root).attributes.size == 1 << 20)
    next.close(part.handle)
    #expect(next.names().map(\.name) == [".", "..", "disk0.raw", "disk0.part1.raw"])
  }

  @Test("one file's writers all use the kernel's cache or none, which is dropped in between")
  func caching() throws {
    let file = try inode("disk0.raw")
    func open(_ isDirect: Bool, _ request: UInt64) throws -> OpenedDisk {
      try tree.open(file, writes: true, isDirect: isDirect, request: request)
    }
    tree.close(try open(false, 1).handle)
    let direct = try open(true, 2)
    let beside = try open(false, 3)
    #expect(direct.bypassesCache && beside.bypassesCache)
    for handle in [direct.handle, beside.handle] { tree.close(handle) }
    let cached = try open(false, 4)
    #expect(!cached.bypassesCache && !cached.keepsCache)
    #expect(try !open(true, 5).bypassesCache)
    #expect(try open(false, 6).keepsCache)
  }

  @Test(
    "who reads a file through the cache before it is written through another is told of each write")
  func contest() throws {
    let (whole, part) = (try inode("disk0.raw"), try inode("disk0.part1.raw"))
    func look() throws -> TreeEntry { try tree.attributes(of: part) }
    let reader = try tree.open(part, writes: false, request: 1)
    #expect(!reader.bypassesCache && reader.outdated.isEmpty)
    let first = try look()
    #expect(!first.attributesChange)
    let writer = try tree.open(whole, writes: true, request: 2)
    #expect(!writer.bypassesCache, "nobody reads this very file")
    #expect(writer.outdated == [part])
    #expect(try look().attributesChange)
    #expect(try !tree.attributes(of: whole).attributesChange)
    var last = try look().attributes.modified
    for _ in 0..<3 {
      _ = try [UInt8(1)].withUnsafeBytes { try tree.write(writer.handle, $0, at: 1 << 20) }
      let now = try look().attributes.modified
      #expect(now > last)
      last = now
    }
    try tree.zero(writer.handle, 4096, at: 1 << 20)
    #expect(try look().attributes.modified > last)
    // A successor tells of writes, too, and so does one that is asked to open it again.
    let next = try DiskTree([0: disk], memory: memory.bytes)
    #expect(try next.attributes(of: part).attributesChange)
    #expect(try next.open(whole, writes: true, request: 2).outdated == [part])
    next.close(writer.handle)
    #expect(try !next.attributes(of: part).attributesChange)
    let beside = try next.open(part, writes: true, request: 3)
    #expect(beside.bypassesCache && beside.outdated == [part], "its reader uses the cache")
    let late = try next.open(part, writes: false, request: 4)
    #expect(late.bypassesCache)
    for handle in [reader.handle, beside.handle, late.handle] { next.close(handle) }
    let fresh = try next.open(part, writes: false, request: 5)
    #expect(!fresh.bypassesCache && !fresh.keepsCache)
  }

  @Test("zeros behind the end are refused unless they are of no matter")
  func zeros() throws {
    let whole = try tree.open(try inode("disk0.raw"), writes: true, request: 1)
    #expect(
      code { try tree.zero(whole.handle, 8192, at: (8 << 20) - 4096, ignoringEnd: false) } == ENOSPC
    )
    try tree.zero(whole.handle, 8192, at: (8 << 20) - 4096)
    try tree.zero(whole.handle, 4096, at: (8 << 20) - 4096, ignoringEnd: false)
  }

  @Test("a disk that is partitioned anew shows its partitions once nobody has it open")
  func partitioning() throws {
    let whole = try tree.open(try inode("disk0.raw"), writes: true, request: 1)
    let table = VaultFixture.partitionTable([(2048, 4096)])
    _ = try table.withUnsafeBytes { try tree.write(whole.handle, $0, at: 446) }
    #expect(tree.names().count == 5)
    tree.close(whole.handle)
    #expect(tree.names().map(\.name) == [".", "..", "disk0.raw", "disk0.part1.raw"])
    #expect(try tree.lookup("disk0.part1.raw", in: .root).attributes.size == 2 << 20)
  }
}
