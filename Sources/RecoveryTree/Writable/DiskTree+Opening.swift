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
  /// Files whose attributes the kernel has to ask for again, before it hears of the opening: what it keeps of
  /// them is out of date from the first write on.
  public let outdated: [InodeNumber]
}

extension DiskTree {
  /// Opens a file for reading or for writing too; `isDirect` if it is to go around the kernel's cache (O_DIRECT).
  ///
  /// One writer at a time: while a disk is open for writing, none of its partitions can be opened for
  /// writing, and the other way round, for each file has a cache of its own in the kernel, and two
  /// writers would undo each other's bytes. The same file may be opened for writing any number of times:
  /// its openers share one cache, and programs such as QEMU and losetup(8) open a disk several times over;
  /// those that want it for themselves lock it (fcntl(2)), which works as on any file.
  ///
  /// Readers are always let in. Beside a writer of any of their bytes they read around the cache, which would not
  /// notice what is written through another file, or around it. Else they use it, and if a writer comes later, the
  /// kernel is told to ask for the file's time before each read (FUSE_AUTO_INVAL_DATA), which changes with each
  /// write: then it drops what it keeps. Of one file's writers all use the cache or none, so that none of them
  /// finds in it what another has written around it: who comes does as those who are there, and goes around it
  /// beside readers who use it.
  /// The same `request`, the number of the kernel's, gets the same handle again after a hand-over.
  ///
  /// - Throws: EBUSY beside an overlapping writer, EROFS while the disks are frozen, ENFILE if too many
  ///   files are open.
  public func open(
    _ inode: InodeNumber, writes: Bool, isDirect: Bool = false, request: UInt64
  ) throws(TreeError) -> OpenedDisk {
    guard let file = DiskFile(inode) else {
      throw .isDirectory
    }
    return try state.withLock { (state) throws(TreeError) in
      let (overlapping, window) = (try files(overlapping: file), try place(of: file).1)
      if let known = state.table.handle(of: request), known.file == file {
        return OpenedDisk(
          handle: known.rawValue, keepsCache: false,
          bypassesCache: known.use.contains(.uncached),
          outdated: writes ? state.cachedReaders(of: file.disk, in: window) : [])
      }
      if writes, state.table.flags.contains(.frozen) { throw .frozen }
      let writers = state.table.handles.filter(\.writes)
      let other = writers.first { $0.file.map(overlapping.contains) == true }?.file
      if writes, let other { throw .overlapped(file, by: other) }
      let bypasses = state.bypasses(file, window, writes: writes, isDirect: isDirect)
      let outdated = writes ? state.cachedReaders(of: file.disk, in: window) : []
      var use: DiskHandle.Use = []
      if writes { use.insert(.writes) }
      if bypasses { use.insert(.uncached) }
      guard let handle = state.table.open(file, use, window, request: request) else {
        throw .tooManyOpen
      }
      if writes { state.spoil(bypasses ? overlapping + [file] : overlapping) }
      let isStale = !bypasses && state.stale.remove(file) != nil
      noteReaders(state)
      return OpenedDisk(
        handle: handle.rawValue, keepsCache: !isStale, bypassesCache: bypasses,
        outdated: outdated)
    }
  }

  /// Notes for each disk whether anybody reads it by way of the cache who is no writer. They come only while
  /// nobody writes, and so before any write that they have to see.
  func noteReaders(_ state: State) {
    let handles = state.table.handles
    for disk in disks.values {
      let isRead = handles.contains { $0.readsCache && $0.file?.disk == disk.number }
      disk.hasCachedReaders.store(isRead, ordering: .releasing)
    }
  }

  /// Gives up what `open` gave.
  public func close(_ handle: UInt64) {
    let handle = DiskHandle(rawValue: handle)
    state.withLock { state in
      state.table.close(handle)
      state.inherited.remove(handle)
      noteReaders(state)
    }
  }

  /// Gives up what `open` gave, and the kernel did not take: it has dropped nothing of its cache.
  public func withdraw(_ handle: UInt64) {
    if let file = DiskHandle(rawValue: handle).file { state.withLock { $0.spoil([file]) } }
    close(handle)
  }

  /// Gives up what a request opened that the kernel is now told has failed.
  public func withdraw(request: UInt64) {
    if let handle = state.withLock({ $0.table.handle(of: request) }) { withdraw(handle.rawValue) }
  }

  /// What may be open since a predecessor's time, and was not used since.
  public var inherited: [UInt64] { state.withLock { $0.inherited.map(\.rawValue) } }

  /// The other files that share bytes with one.
  private func files(overlapping file: DiskFile) throws(TreeError) -> [DiskFile] {
    let (disk, window) = try place(of: file)
    let partitions = disk.partitions.withLock { $0 }
    let others = partitions.filter { $0.key != file.partition && $0.value.overlaps(window) }
      .map { DiskFile(disk: disk.number, partition: $0.key) }
    return file.partition > 0 ? [DiskFile(disk: disk.number)] + others : others
  }
}

extension DiskTree.State {
  /// Whether who opens a file is to go around the cache.
  fileprivate func bypasses(
    _ file: DiskFile, _ window: Range<UInt64>, writes: Bool, isDirect: Bool
  ) -> Bool {
    let users = table.handles(of: file.disk, overlapping: window)
    guard writes else { return isDirect || users.contains(where: \.writes) }
    let own = users.filter { $0.file == file }
    if let first = own.first(where: \.writes) { return first.use.contains(.uncached) }
    return isDirect || own.contains(where: \.readsCache)
  }

  /// The files of those who read these bytes of a disk by way of the cache, and are no writers.
  fileprivate func cachedReaders(
    of disk: DiskNumber, in window: Range<UInt64>
  ) -> [InodeNumber] {
    let users = table.handles(of: disk, overlapping: window)
    return Set(users.filter(\.readsCache).compactMap(\.file)).map(\.inode)
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
  /// written before is durable when it returns; if it can't be made so, writes are refused no more than before.
  public func freeze() throws(TreeError) -> Bool {
    let (isFree, wasFrozen) = state.withLock { state in
      guard state.table.isEmpty else { return (false, false) }
      return (true, !state.table.flags.insert(.frozen).inserted)
    }
    guard isFree else { return false }
    do throws(TreeError) { try flush() } catch {
      if !wasFrozen { thaw() }
      throw error
    }
    return true
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
