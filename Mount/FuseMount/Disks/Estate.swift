internal import CFuse
internal import Glibc
internal import RecoveryTree

/// What the processes of a mount leave each other: memory that lives as long as one of them does
/// (memfd_create(2)), with the tree's table of open disks first, then facts of the mount.
///
/// Facts, from byte `DiskTree.memorySize` on: words of 8 bytes that are the mark, the number of starts,
/// whether the mount is to end, the length of FUSE_INIT, one more than the writes a successor must find, and
/// whether the disks were opened again after a failure; the bytes of FUSE_INIT from byte 64 of them on.
final class Estate: Sendable {
  let descriptor: Int32
  private nonisolated(unsafe) let base: UnsafeMutableRawPointer
  private static let size = DiskTree.memorySize + 4096
  private static let mark: UInt64 = 0x544D_4553_5441_0001

  private enum Word: Int { case mark, starts, ending, length, owed, reopened }

  /// Makes the memory for a mount that is new.
  convenience init(for request: InitialRequest) throws(MountError) {
    let descriptor = tidemark_memory(Self.size)
    guard descriptor >= 0 else { throw .system("make memory to share", errno) }
    try self.init(mapping: descriptor)
    self[.mark] = Self.mark
    self[.length] = UInt64(request.bytes.count)
    let place = base + DiskTree.memorySize + 64
    place.copyMemory(from: request.bytes, byteCount: request.bytes.count)
  }

  /// Takes over what another process of the mount has made.
  convenience init(inheriting descriptor: Int32) throws(MountError) {
    try self.init(mapping: descriptor)
    guard self[.mark] == Self.mark else { throw .system("read what was handed over", EPROTO) }
  }

  private init(mapping descriptor: Int32) throws(MountError) {
    let place = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let place, place != MAP_FAILED else { throw .system("map memory to share", errno) }
    (self.descriptor, base) = (descriptor, place)
  }

  deinit {
    munmap(base, Self.size)
    close(descriptor)
  }

  private subscript(word: Word) -> UInt64 {
    get { base.load(fromByteOffset: DiskTree.memorySize + 8 * word.rawValue, as: UInt64.self) }
    set {
      base.storeBytes(
        of: newValue, toByteOffset: DiskTree.memorySize + 8 * word.rawValue, as: UInt64.self)
    }
  }

  /// The memory of the tree; not to be used once the value has ended.
  var table: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: base, count: DiskTree.memorySize)
  }

  /// The bytes of FUSE_INIT; nil if they are damaged.
  var initialRequest: InitialRequest? {
    guard self[.length] <= InitialRequest.limit else { return nil }
    let bytes = UnsafeRawBufferPointer(
      start: base + DiskTree.memorySize + 64, count: Int(self[.length]))
    return InitialRequest(Array(bytes))
  }

  /// Counts one more server, and gives how many there were with it.
  func countStart() -> Int {
    self[.starts] += 1
    return starts
  }

  /// How many servers there were.
  var starts: Int { Int(self[.starts]) }

  /// More writes than any disks have taken: nobody can find them.
  static let unknownWrites = UInt64.max - 1

  /// Writes that were answered before the disks were opened again after a failure: a successor that does not
  /// find as many lets nothing more be written. Nil if there was no failure, or it is made good.
  var owedWrites: UInt64? {
    get { self[.owed] == 0 ? nil : self[.owed] - 1 }
    set { self[.owed] = newValue.map { $0 + 1 } ?? 0 }
  }

  /// Whether the disks were opened again after a failure, and have not been made durable since.
  var wasReopened: Bool {
    get { self[.reopened] != 0 }
    set { if newValue != wasReopened { self[.reopened] = newValue ? 1 : 0 } }
  }

  /// Whether the mount is to go, or has gone: nobody is started any more.
  var isEnding: Bool {
    get { self[.ending] != 0 }
    set { self[.ending] = newValue ? 1 : 0 }
  }
}
