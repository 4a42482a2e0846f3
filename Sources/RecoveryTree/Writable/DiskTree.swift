public import Bytes
internal import FileIO
internal import Glibc
internal import ImageFormats
internal import Synchronization

/// The meaning of a mount of writable disks: `disk0.raw`, `disk0.part1.raw`, … in one directory.
///
/// It knows nothing of FUSE. All calls may block the calling thread and may be made from several threads
/// at once. `TheDisks.md` specifies the mount.
public final class DiskTree: Sendable {
  /// A disk, and what is known of its partitions.
  final class Disk: Sendable {
    let number: DiskNumber
    let content: any WritableDisk
    /// Which bytes the partitions are, by number, as they were when the disk was last free. Replaced only while
    /// the tree's state is locked.
    let partitions = Mutex<[Int: Range<UInt64>]>([:])
    /// Written to since the partitions were read.
    let hasChanged = Atomic(true)
    /// Whether anybody reads by way of the kernel's cache who is no writer.
    let hasCachedReaders = Atomic(false)
    /// How often it was written to beside such readers; part of the time of its files, which tells the kernel to
    /// drop what it keeps of them.
    let changes = Atomic<Int64>(0)

    init(_ number: DiskNumber, _ content: any WritableDisk) {
      (self.number, self.content) = (number, content)
    }
  }

  /// Bytes of the memory that `init` takes.
  public static let memorySize = OpenTable.size

  let disks: [DiskNumber: Disk]
  private let began = Timestamp.now()
  let state: Mutex<State>
  /// The same table as in `state`, for what may be looked at without its lock.
  let table: OpenTable
  /// Whether there is any `inherited` file that nobody was seen to use.
  let isInheriting = Atomic(false)

  /// What is open, and whose cache may be out of date.
  struct State: Sendable {
    var table: OpenTable
    /// Files whose bytes may have changed around the kernel's cache since it cached any of them.
    var stale: Set<DiskFile>
    /// Open files of a predecessor's time: if its end fell between the kernel's word and its own, nobody has
    /// them open any more, and the kernel does not say so again. Without those that were used since.
    var inherited: Set<DiskHandle>

    /// Whether a file is read by way of the cache, and written to around that or through another file.
    func isContested(_ disk: DiskNumber, _ file: DiskFile, _ window: Range<UInt64>) -> Bool {
      let users = table.handles(of: disk, overlapping: window)
      return users.contains(where: \.writes)
        && users.contains { $0.readsCache && $0.file == file }
    }

    /// Files are written around what the kernel has cached of them.
    mutating func spoil(_ files: [DiskFile]) { stale.formUnion(files) }

    /// Whether nobody has a disk open.
    func isFree(_ disk: DiskNumber) -> Bool { !table.handles.contains { $0.file?.disk == disk } }
  }

  /// The tree of some disks.
  ///
  /// The memory is `memorySize` bytes, zeros at first, that outlive this process (or at least this tree): a
  /// successor is given the same ones and goes on from there.
  ///
  /// - Throws: EINVAL if the memory holds something else.
  public init(
    _ disks: [DiskNumber: any WritableDisk], memory: UnsafeMutableRawBufferPointer
  ) throws(TreeError) {
    guard let table = OpenTable(in: memory) else {
      throw TreeError(
        code: EINVAL, message: "What the predecessor left is not a table of open disks.")
    }
    self.disks = Dictionary(
      uniqueKeysWithValues: disks.map { ($0.key, Disk($0.key, $0.value)) })
    self.table = table
    state = Mutex(State(table: table, stale: [], inherited: Set(table.handles)))
    isInheriting.store(!table.handles.isEmpty, ordering: .releasing)
    for disk in self.disks.values {
      let found = Self.partitions(of: disk)
      // What is open is what it was, whatever its writer has made of the table since.
      let open = table.handles.filter { $0.file?.disk == disk.number && $0.file?.partition != 0 }
      let kept = open.compactMap { handle in
        handle.file.flatMap { file in table.window(of: handle).map { (file.partition, $0) } }
      }
      disk.partitions.withLock { $0 = found.merging(kept) { _, kept in kept } }
    }
    let all = files()
    // What the kernel has cached by a predecessor's time is not known.
    state.withLock { state in
      state.spoil(all)
      noteReaders(state)
    }
  }
}

// MARK: - Names

extension DiskTree {
  /// Finds a name in a directory.
  ///
  /// - Throws: ENOENT if there is no such name; ENOTDIR if `parent` is not the directory.
  public func lookup(_ name: String, in parent: InodeNumber) throws(TreeError) -> TreeEntry {
    guard parent == .root else {
      throw TreeError(code: ENOTDIR, message: "A disk is not a directory.")
    }
    guard let file = DiskFile(name), let disk = disks[file.disk] else { throw .missing(name) }
    if file.partition > 0 { refresh(disk) }
    return try entry(of: file)
  }

  /// The attributes of an inode.
  public func attributes(of inode: InodeNumber) throws(TreeError) -> TreeEntry {
    guard inode != .root else { return entry(.root, .directory, size: 0) }
    guard let file = DiskFile(inode) else { throw .forgotten }
    return try entry(of: file)
  }

  /// The names in the directory, `.` and `..` first.
  public func names() -> [(name: String, inode: InodeNumber, kind: TreeAttributes.Kind)] {
    for disk in disks.values { refresh(disk) }
    return [(".", .root, .directory), ("..", .root, .directory)]
      + files().map { ($0.name, $0.inode, .file) }
  }

  /// Every file there is, by disk and partition.
  func files() -> [DiskFile] {
    disks.values.sorted { $0.number < $1.number }.flatMap { disk in
      [DiskFile(disk: disk.number)]
        + disk.partitions.withLock { $0.keys.sorted() }.map {
          DiskFile(disk: disk.number, partition: $0)
        }
    }
  }

  private func entry(of file: DiskFile) throws(TreeError) -> TreeEntry {
    let (disk, window) = try place(of: file)
    // In this order: if there is no writer any more, all that he has changed is counted.
    let isContested = state.withLock { $0.isContested(file.disk, file, window) }
    var found = entry(
      file.inode, .file, size: window.upperBound - window.lowerBound,
      changes: disk.changes.load(ordering: .acquiring))
    found.attributesChange = isContested
    return found
  }

  /// The disk may be partitioned anew, so only its own file is for ever what it is.
  private func entry(
    _ inode: InodeNumber, _ kind: TreeAttributes.Kind, size: UInt64, changes: Int64 = 0
  ) -> TreeEntry {
    let lasts = kind == .directory || DiskFile(inode)?.partition == 0
    return TreeEntry(
      attributes: TreeAttributes(
        inode: inode, kind: kind, size: size, modified: began.rawValue + changes),
      nameLasts: lasts, attributesLast: lasts)
  }

  /// The disk that a file is of, and which of its bytes.
  @inline(__always)
  func place(of file: DiskFile) throws(TreeError) -> (Disk, Range<UInt64>) {
    guard let disk = disks[file.disk] else { throw .missing(file.name) }
    guard file.partition > 0 else { return (disk, 0..<disk.content.size) }
    guard let window = disk.partitions.withLock({ $0[file.partition] }) else {
      throw .missing(file.name)
    }
    return (disk, window)
  }

  /// Reads the partition table again if the disk was written to and nobody has it open: who has keeps the
  /// bytes he opened.
  func refresh(_ disk: Disk) {
    guard disk.hasChanged.load(ordering: .acquiring),
      state.withLock({ $0.isFree(disk.number) })
    else { return }
    disk.hasChanged.store(false, ordering: .releasing)
    let found = Self.partitions(of: disk)
    state.withLock { state in
      if state.isFree(disk.number) {
        disk.partitions.withLock { $0 = found }
      } else {
        disk.hasChanged.store(true, ordering: .releasing)
      }
    }
  }

  /// The partitions as the disk tells them now. One without a table that can be read has none.
  private static func partitions(of disk: Disk) -> [Int: Range<UInt64>] {
    let table = try? readPartitionTable(of: disk.content)
    let found = (table?.partitions ?? []).filter { partition in
      (1..<DiskFile.partitionLimit).contains(partition.number)
        && partition.offset.addingReportingOverflow(partition.size).overflow == false
        && partition.offset + partition.size <= disk.content.size
    }
    let windows = found.map { ($0.number, $0.offset..<$0.offset + $0.size) }
    return Dictionary(windows) { first, _ in first }
  }
}
