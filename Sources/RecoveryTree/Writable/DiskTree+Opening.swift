internal import Bytes
internal import ImageFormats
internal import Synchronization

/// A file that was opened.
public struct OpenedDisk: Hashable, Sendable {
  /// What further calls name it by; whoever takes over the tree's memory knows it too.
  public let handle: UInt64
  /// Whether what the kernel has cached of the file still holds.
  public let keepsCache: Bool
  /// Whether the kernel must not cache the file, because it is written through another file too.
  public let bypassesCache: Bool
}

extension DiskTree {
  /// Opens a file for reading or for writing too.
  ///
  /// One writer at a time: while a disk is open for writing, none of its partitions can be opened for
  /// writing, and the other way round, for each file has a cache of its own in the kernel, and two
  /// writers would undo each other's bytes. The same file may be opened for writing any number of times:
  /// its openers share one cache, and programs such as QEMU and losetup(8) open a disk several times over;
  /// those that want it for themselves lock it (fcntl(2)), which works as on any file. Readers are always
  /// let in; beside a writer of another file they read around the cache.
  /// The same `request`, the number of the kernel's, gets the same handle again after a hand-over.
  ///
  /// - Throws: EBUSY beside an overlapping writer, EROFS while the disks are frozen, ENFILE if too many
  ///   files are open.
  public func open(
    _ inode: InodeNumber, writes: Bool, request: UInt64
  ) throws(TreeError) -> OpenedDisk {
    guard let file = DiskFile(inode) else {
      throw .isDirectory
    }
    let overlapping = try files(overlapping: file)
    return try state.withLock { (state) throws(TreeError) in
      if let known = state.table.handle(of: request), known.file == file {
        return OpenedDisk(handle: known.rawValue, keepsCache: false, bypassesCache: false)
      }
      if writes, state.table.flags.contains(.frozen) { throw .frozen }
      let writers = state.table.handles.filter {
        $0.writes && $0.file.map(overlapping.contains) == true
      }
      if writes, let other = writers.first?.file { throw .overlapped(file, by: other) }
      guard let handle = state.table.open(file, writes: writes, request: request) else {
        throw .tooManyOpen
      }
      if writes { state.spoil(overlapping) }
      let isStale = state.stale.contains(file)
      if writers.isEmpty { state.stale.remove(file) }
      return OpenedDisk(
        handle: handle.rawValue, keepsCache: !isStale, bypassesCache: !writers.isEmpty)
    }
  }

  /// Gives up what `open` gave.
  public func close(_ handle: UInt64) {
    state.withLock { $0.table.close(DiskHandle(rawValue: handle)) }
  }

  /// The other files that share bytes with one.
  private func files(overlapping file: DiskFile) throws(TreeError) -> [DiskFile] {
    let (disk, window) = try place(of: file)
    guard file.partition > 0 else {
      return disk.partitions.withLock { Array($0.keys) }.map {
        DiskFile(disk: disk.number, partition: $0)
      }
    }
    let others = disk.partitions.withLock { partitions in
      partitions.values.filter {
        $0.number != file.partition && $0.offset < window.upperBound
          && $0.offset + $0.size > window.lowerBound
      }.map { DiskFile(disk: disk.number, partition: $0.number) }
    }
    return [DiskFile(disk: disk.number)] + others
  }
}

// MARK: - Freezing

/// How many have a file open.
public struct DiskUse: Hashable, Sendable {
  /// The file's name.
  public let name: String
  /// Those who can only read it.
  public let readers: Int
  /// Those who can write to it too.
  public let writers: Int
}

extension DiskTree {
  /// Every file, and how many have it open.
  public func uses() -> [DiskUse] {
    let handles = state.withLock { $0.table.handles }
    return files().map { file in
      let own = handles.filter { $0.file == file }
      return DiskUse(
        name: file.name, readers: own.count { !$0.writes }, writers: own.count { $0.writes })
    }
  }

  /// Whether anybody has a file open.
  public var isInUse: Bool { state.withLock { !$0.table.isEmpty } }

  /// Whether writes are refused.
  public var isFrozen: Bool { state.withLock { $0.table.flags.contains(.frozen) } }

  /// Refuses writes from now on, unless anybody has a file open; gives whether it does. All that was
  /// written before is durable when it returns.
  public func freeze() throws(TreeError) -> Bool {
    let isFree = state.withLock { state in
      guard state.table.isEmpty else { return false }
      state.table.flags.insert(.frozen)
      return true
    }
    if isFree { try flush() }
    return isFree
  }

  /// Lets the disks be written to again.
  public func thaw() { state.withLock { _ = $0.table.flags.remove(.frozen) } }

  /// Makes all that was written durable.
  public func flush() throws(TreeError) {
    for disk in disks.values {
      do { try disk.content.flush() } catch { throw .writing(error) }
    }
  }
}
