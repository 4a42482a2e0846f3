internal import Bytes
internal import Synchronization

extension DiskTree {
  /// Fills `buffer` from `offset` as far as the file reaches; gives how many bytes that were.
  public func read(
    _ handle: UInt64, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(TreeError) -> Int {
    let (disk, range) = try place(of: handle, offset, buffer.count)
    guard !range.isEmpty else { return 0 }
    let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<range.count])
    do { try disk.content.read(into: target, at: range.lowerBound) } catch {
      throw .wrapping(error)
    }
    return range.count
  }

  /// Writes as many of the bytes as the file reaches; gives how many that were. The disk has taken them
  /// when it returns.
  ///
  /// - Throws: ENOSPC behind the end, as a device does, or if the disk's budget is used up; EROFS while
  ///   frozen; EIO if the disk does not take them.
  public func write(
    _ handle: UInt64, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(TreeError) -> Int {
    let (disk, range) = try writable(handle, offset, bytes.count)
    guard !bytes.isEmpty else { return 0 }
    guard !range.isEmpty else { throw .behindEnd }
    defer { disk.noteChange() }
    do {
      try disk.content.write(
        UnsafeRawBufferPointer(rebasing: bytes[..<range.count]), at: range.lowerBound)
    } catch { throw .writing(error) }
    return range.count
  }

  /// Makes `count` bytes from `offset` zeros, as far as the file reaches.
  ///
  /// - Throws: as `write`; ENOSPC if it would have to grow, unless what lies behind the end is of no matter.
  public func zero(
    _ handle: UInt64, _ count: UInt64, at offset: UInt64, ignoringEnd: Bool = true
  ) throws(TreeError) {
    let (disk, range) = try writable(handle, offset, Int(clamping: count))
    let reached = range.upperBound - range.lowerBound
    guard ignoringEnd || reached == count else { throw .behindEnd }
    guard !range.isEmpty else { return }
    defer { disk.noteChange() }
    do { try disk.content.zero(range) } catch { throw .writing(error) }
  }

  /// Makes durable what was written to the disk of an open file.
  public func flush(_ handle: UInt64) throws(TreeError) {
    let (disk, _) = try place(of: handle, 0, 0)
    do { try disk.content.flush() } catch { throw .writing(error) }
  }

  /// The first byte of data, or of a hole, at or after `offset` (lseek(2), SEEK_DATA and SEEK_HOLE).
  ///
  /// - Throws: ENXIO beyond the end, or if no data follows.
  public func seek(
    _ handle: UInt64, _ target: TreeFile.Target, from offset: UInt64
  ) throws(TreeError) -> UInt64 {
    let (disk, range) = try place(of: handle, offset, .max)
    guard !range.isEmpty else { throw .nothingFollows(offset, target) }
    let found: UInt64?
    do {
      found =
        switch target {
        case .data: try disk.content.nextData(from: range.lowerBound)
        case .hole: try disk.content.nextHole(from: range.lowerBound)
        }
    } catch { throw .wrapping(error) }
    // A hole follows everything; data must come before the end.
    let limit = target == .hole ? range.upperBound : range.upperBound - 1
    guard let found, target == .hole || found <= limit else {
      throw .nothingFollows(offset, target)
    }
    return min(found, limit) - range.lowerBound + offset
  }

  /// How large the disks are together.
  public func statistics() -> TreeStatistics {
    TreeStatistics(
      bytes: disks.values.reduce(0) { $0 + $1.content.size }, inodes: files().count + 1)
  }

  /// The disk of an open file, and which of its bytes `count` bytes from `offset` of the file are.
  @inline(__always)
  private func place(
    of handle: UInt64, _ offset: UInt64, _ count: Int
  ) throws(TreeError) -> (Disk, Range<UInt64>) {
    let handle = DiskHandle(rawValue: handle)
    guard let window = table.window(of: handle), let file = handle.file,
      let disk = disks[file.disk], window.upperBound <= disk.content.size
    else { throw .notOpen }
    if isInheriting.load(ordering: .relaxed) { noteUse(handle) }
    let size = window.upperBound - window.lowerBound
    let start = min(offset, size)
    let end = start + min(UInt64(count), size - start)
    return (disk, window.lowerBound + start..<window.lowerBound + end)
  }

  /// Notes that a file of a predecessor's time is open for sure, whatever the kernel's tables of mounts tell.
  private func noteUse(_ handle: DiskHandle) {
    state.withLock { state in
      state.inherited.remove(handle)
      isInheriting.store(!state.inherited.isEmpty, ordering: .releasing)
    }
  }

  @inline(__always)
  private func writable(
    _ handle: UInt64, _ offset: UInt64, _ count: Int
  ) throws(TreeError) -> (Disk, Range<UInt64>) {
    guard DiskHandle(rawValue: handle).writes else {
      throw .notWritable
    }
    let (disk, range) = try place(of: handle, offset, count)
    guard !table.flags.contains(.frozen) else { throw .frozen }
    if !disk.hasChanged.load(ordering: .relaxed) {
      disk.hasChanged.store(true, ordering: .releasing)
    }
    return (disk, range)
  }
}

extension DiskTree.Disk {
  /// Notes that it was written to, or may have been, for those who keep what they have read of it. Behind the write:
  /// what is read in between may be new, but what is noted can't be old.
  @inline(__always)
  fileprivate func noteChange() {
    guard hasCachedReaders.load(ordering: .acquiring) else { return }
    changes.add(1, ordering: .acquiringAndReleasing)
  }
}
