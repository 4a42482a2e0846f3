public import FileIO
internal import Glibc
internal import Synchronization

/// What the vault's own files do not need, but a file system served to other programs does.
extension SimulatedDisk {
  /// Sets the permission bits of a path; durable at once.
  public func setPermissions(_ path: String, _ permissions: UInt32) throws(IOError) {
    try change("change the permissions of", path) { $0.permissions = permissions & 0o7777 }
  }

  /// Sets owner and group of a path, durable at once; nil leaves one as it is.
  public func setOwner(_ path: String, owner: UInt32?, group: UInt32?) throws(IOError) {
    try change("change the owner of", path) { node in
      node.owner = owner ?? node.owner
      node.group = group ?? node.group
    }
  }

  /// The user who owns a path.
  public func owner(_ path: String) throws(IOError) -> UInt32 {
    try state.withLock { (state) throws(IOError) in try state.find(path, for: "look at").owner }
  }

  private func change(
    _ operation: String, _ path: String, _ change: (SimulatedNode) -> Void
  ) throws(IOError) {
    try state.withLock { (state) throws(IOError) in
      try state.checkPower(operation, path)
      change(try state.find(path, for: operation))
    }
  }

  /// Makes everything durable, as a clean shutdown does.
  public func syncAll() {
    state.withLock { state in
      for change in state.pendingNames { change.applyToDurable() }
      state.pendingNames = []
      for node in state.allNodes { node.settle() }
    }
  }
}
