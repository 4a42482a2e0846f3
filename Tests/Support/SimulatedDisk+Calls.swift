internal import Bytes
public import FileIO
internal import Glibc
internal import Synchronization

/// The calls of `FileSystemDouble` on files.
extension SimulatedDisk: FileSystemDouble {
  /// Opens a file; creating one is a change of names, durable once its directory is synced.
  public func open(_ path: String, _ mode: OpenMode) throws(IOError) -> Int32 {
    try state.withLock { (state) throws(IOError) in
      try state.checkPower("open", path)
      let node: SimulatedNode
      var mayWrite = true
      switch mode {
      case .creating(let permissions): node = try state.create(path, permissions, false)
      case .reading:
        if state.faults.failingOpens.count > 0, path.hasSuffix(state.faults.failingOpens.ending) {
          state.faults.failingOpens.count -= 1
          throw IOError("open", path, code: EMFILE)
        }
        node = try state.find(path, for: "open")
        mayWrite = false
      case .writing:
        node = try state.find(path, for: "open")
        guard !node.isDirectory else { throw IOError("open", path, code: EISDIR) }
      }
      defer { state.nextHandle += 1 }
      state.handles[state.nextHandle] = State.OpenFile(node: node, path: path, mayWrite: mayWrite)
      return state.nextHandle
    }
  }

  /// Ends the use of a handle and gives up its locks; unknown handles are left alone.
  public func close(_ handle: Int32) {
    state.withLock { state in
      guard let file = state.handles.removeValue(forKey: handle) else { return }
      if file.node.lockHolder == handle { file.node.lockHolder = nil }
      file.node.byteLocks.removeAll { $0.handle == handle }
    }
  }

  /// Reads what users see, synced or not; EIO where `failReads` says so.
  public func read(
    _ handle: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(IOError) -> Int {
    // The buffer stays with the caller, who waits: taking it across the lock is safe.
    nonisolated(unsafe) let buffer = buffer
    return try state.withLock { (state) throws(IOError) in
      let file = try state.file(handle, for: "read")
      guard !file.node.isDirectory else { throw IOError("read", file.path, code: EISDIR) }
      let start = Int(clamping: offset)
      let wanted = start..<start.addingReportingOverflow(buffer.count).partialValue
      for (inode, range) in state.faults.unreadable
      where inode == file.node.inode && range.overlaps(wanted) {
        throw IOError("read", file.path, code: EIO)
      }
      return file.node.cached.read(into: buffer, at: start)
    }
  }

  /// Writes; durable after `sync`. With too little room a part is written and the rest ENOSPC.
  public func write(
    _ handle: Int32, _ bytes: UnsafeRawBufferPointer, at offset: UInt64
  ) throws(IOError) {
    // As in `read`.
    nonisolated(unsafe) let bytes = bytes
    try state.withLock { (state) throws(IOError) in
      let file = try state.file(handle, for: "write")
      guard file.mayWrite else { throw IOError("write", file.path, code: EBADF) }
      guard !bytes.isEmpty else { return }
      let failing = state.faults.failingWrites
      if failing.count > 0, file.path.hasSuffix(failing.ending) {
        state.faults.failingWrites.count -= 1
        throw IOError("write", file.path, code: EIO)
      }
      let losesPower = try state.startChange("write", file.path)
      guard let start = Int(exactly: offset) else { throw IOError("write", file.path, code: EFBIG) }
      let fitting = state.fitting(bytes.count, at: start, in: file.node)
      let written = UnsafeRawBufferPointer(rebasing: bytes[..<fitting])
      state.change(file.node, .write(offset: start, bytes: [UInt8](written)))
      if losesPower { throw IOError("write", file.path, code: EIO) }
      if fitting < bytes.count { throw IOError("write", file.path, code: ENOSPC) }
    }
  }

  /// Sets the size; durable after `sync`.
  public func truncate(_ handle: Int32, to size: UInt64) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let file = try state.file(handle, for: "resize")
      guard file.mayWrite else { throw IOError("resize", file.path, code: EINVAL) }
      let losesPower = try state.startChange("resize", file.path)
      guard let end = Int(exactly: size) else { throw IOError("resize", file.path, code: EFBIG) }
      state.change(file.node, .resize(end))
      if losesPower { throw IOError("resize", file.path, code: EIO) }
    }
  }

  /// Makes what was done to the file durable, or fails and forgets it.
  public func sync(_ handle: Int32) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let file = try state.file(handle, for: "sync")
      try state.sync(file.node, file.path) { _ in file.node.settle() }
    }
  }

  /// Tells of an open file; times are counted in changes, not by a clock.
  public func status(_ handle: Int32) throws(IOError) -> FileStatus {
    try state.withLock { (state) throws(IOError) in
      try state.file(handle, for: "look at").node.status
    }
  }
}

/// The calls on names and directories.
extension SimulatedDisk {
  /// Tells of a path.
  public func status(_ path: String) throws(IOError) -> FileStatus {
    try state.withLock { (state) throws(IOError) in
      try state.checkPower("look at", path)
      return try state.find(path, for: "look at").status
    }
  }

  /// The names in a directory.
  public func list(_ path: String) throws(IOError) -> [String] {
    try state.withLock { (state) throws(IOError) in
      try state.checkPower("list", path)
      let node = try state.find(path, for: "list")
      guard node.isDirectory else { throw IOError("list", path, code: ENOTDIR) }
      return Array(node.names.keys)
    }
  }

  /// Makes a directory, durable once the directory above is synced.
  public func makeDirectory(_ path: String) throws(IOError) {
    try state.withLock { (state) throws(IOError) in _ = try state.create(path, 0o700, true) }
  }

  /// Renames a file or directory, durable once the directory of the new name is synced.
  public func rename(_ old: String, to new: String) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.find(old, for: "rename")
      let source = try state.place(old, for: "rename")
      let target = try state.place(new, for: "rename")
      let replaced = target.directory.names[target.name]
      if replaced === node { return }
      if let replaced {
        guard replaced.isDirectory == node.isDirectory else {
          throw IOError("rename", old, code: node.isDirectory ? ENOTDIR : EISDIR)
        }
        guard replaced.names.isEmpty else { throw IOError("rename", old, code: ENOTEMPTY) }
      }
      let losesPower = try state.startChange("rename", old)
      source.directory.names[source.name] = nil
      target.directory.names[target.name] = node
      state.note(
        .move(node, from: source.directory, source.name, to: target.directory, target.name))
      if losesPower { throw IOError("rename", old, code: EIO) }
    }
  }

  /// Removes a file or an empty directory, durable once its directory is synced.
  public func remove(_ path: String) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.find(path, for: "remove")
      let (directory, name) = try state.place(path, for: "remove")
      guard node.names.isEmpty else { throw IOError("remove", path, code: ENOTEMPTY) }
      let losesPower = try state.startChange("remove", path)
      directory.names[name] = nil
      state.note(.unlink(node, in: directory, as: name))
      if losesPower { throw IOError("remove", path, code: EIO) }
    }
  }

  /// Makes the names in a directory durable, or fails and forgets some.
  public func syncDirectory(_ path: String) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      try state.checkPower("sync the directory", path)
      let node = try state.find(path, for: "sync the directory")
      guard node.isDirectory else { throw IOError("sync the directory", path, code: ENOTDIR) }
      try state.sync(node, path) { $0.settleNames(of: node) }
    }
  }

  /// The room left; 1 TiB in all if no capacity is set.
  public func space() throws(IOError) -> (free: UInt64, total: UInt64) {
    state.withLock { state in
      let total = state.faults.capacity ?? 1 << 40
      return (min(UInt64(state.room), total), total)
    }
  }
}

/// The locks of `File`, which a handle holds until it is closed.
extension SimulatedDisk {
  /// Takes the lock of a file for this handle.
  public func lockExclusively(_ handle: Int32) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let file = try state.file(handle, for: "lock")
      guard file.node.lockHolder ?? handle == handle else {
        throw IOError("lock", file.path, code: EAGAIN)
      }
      file.node.lockHolder = handle
    }
  }

  /// Takes a shared lock on one byte for this handle.
  public func lockSharedByte(_ handle: Int32, _ offset: UInt64) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.file(handle, for: "lock a byte of").node
      node.byteLocks.append((handle, offset))
    }
  }

  /// Gives up the lock of one byte.
  public func unlockByte(_ handle: Int32, _ offset: UInt64) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      let node = try state.file(handle, for: "unlock a byte of").node
      node.byteLocks.removeAll { $0 == (handle, offset) }
    }
  }

  /// The lowest byte another handle has locked.
  public func lowestLockedByte(
    _ handle: Int32, in range: Range<UInt64>
  ) throws(IOError) -> UInt64? {
    try state.withLock { (state) throws(IOError) in
      try state.file(handle, for: "look for locks on").node.byteLocks
        .filter { $0.handle != handle && range.contains($0.offset) }.map(\.offset).min()
    }
  }
}

extension SimulatedDisk.State {
  fileprivate mutating func create(
    _ path: String, _ permissions: UInt32, _ isDirectory: Bool
  ) throws(IOError) -> SimulatedNode {
    let operation = isDirectory ? "make the directory" : "create"
    let (directory, name) = try place(path, for: operation)
    guard directory.names[name] == nil else { throw IOError(operation, path, code: EEXIST) }
    guard room > 0 else { throw IOError(operation, path, code: ENOSPC) }
    let losesPower = try startChange(operation, path)
    let node = makeNode(isDirectory: isDirectory, permissions: permissions)
    directory.names[name] = node
    note(.link(node, in: directory, as: name))
    if losesPower { throw IOError(operation, path, code: EIO) }
    return node
  }

  fileprivate mutating func note(_ kind: NameChange.Kind) {
    pendingNames.append(NameChange(order: order, kind: kind))
  }

  fileprivate mutating func change(_ node: SimulatedNode, _ kind: PendingChange.Kind) {
    let change = PendingChange(order: order, kind: kind)
    change.apply(to: &node.cached)
    node.pending.append(change)
    node.modified = Timestamp(rawValue: now)
  }

  /// How many of `count` bytes there is room for.
  fileprivate func fitting(_ count: Int, at offset: Int, in node: SimulatedNode) -> Int {
    guard faults.capacity != nil else { return count }
    let room = room
    guard node.cached.growth(writing: count, at: offset) > room else { return count }
    // What lies in the chunks there is room for, up to the first that does not fit.
    var fitting = 0
    while fitting < count {
      let next = min(count, fitting + SimulatedDisk.sectorSize)
      guard node.cached.growth(writing: next, at: offset) <= room else { break }
      fitting = next
    }
    return fitting
  }

  fileprivate mutating func sync(
    _ node: SimulatedNode, _ path: String, _ settle: (inout Self) -> Void
  ) throws(IOError) {
    let operation = node.isDirectory ? "sync the directory" : "sync"
    if try startChange(operation, path) { throw IOError(operation, path, code: EIO) }
    if faults.syncsBeforeFailing > 0 {
      faults.syncsBeforeFailing -= 1
    } else if faults.failingSyncs > 0 {
      faults.failingSyncs -= 1
      failSync(of: node)
      throw IOError(operation, path, code: EIO)
    }
    settle(&self)
  }
}
