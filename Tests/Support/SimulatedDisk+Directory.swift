internal import Bytes
internal import FileIO
internal import Glibc

/// A simulated disk filled from a real directory, and put back into one.
extension SimulatedDisk {
  /// Adds everything in a real directory, durable, with its permissions.
  public func load(from directory: String) throws {
    for name in try FileSystem.system.list(directory).sorted() {
      try copyIn(directory + "/" + name, to: "/" + name)
    }
    syncAll()
  }

  private func copyIn(_ source: String, to target: String) throws {
    let status = try FileSystem.system.status(source)
    if status.kind == .directory {
      try makeDirectory(target)
      for name in try FileSystem.system.list(source).sorted() {
        try copyIn(source + "/" + name, to: target + "/" + name)
      }
    } else {
      let from = try File(source, .reading)
      let to = try File(target, .creating(permissions: 0o600), on: fileSystem)
      try Self.copy(from, to: to)
      try to.sync()
    }
    var facts = stat()
    guard stat(source, &facts) == 0 else { throw IOError("look at", source, code: errno) }
    try setPermissions(target, status.permissions)
    try setOwner(target, owner: facts.st_uid, group: facts.st_gid)
  }

  /// Replaces everything in a real directory by what users of the disk see, and syncs it.
  public func store(to directory: String) throws {
    for name in try FileSystem.system.list(directory) {
      let path = directory + "/" + name
      if unlink(path) != 0 { removeTree(path) }
    }
    for (path, isDirectory) in tree {
      let target = directory + path
      if isDirectory {
        try FileSystem.system.makeDirectory(target)
      } else {
        let from = try File(path, .reading, on: fileSystem)
        try Self.copy(from, to: try File(target, .creating(permissions: 0o600)))
      }
      let status = try fileSystem.status(path)
      guard chmod(target, status.permissions) == 0,
        lchown(target, try owner(path), status.group) == 0
      else { throw IOError("give attributes to", target, code: errno) }
    }
  }

  /// Copies all bytes, leaving out zeros.
  private static func copy(_ source: borrowing File, to target: borrowing File) throws {
    let size = try source.status().size
    try target.truncate(to: size)
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var offset: UInt64 = 0
    while offset < size {
      let count = try buffer.withUnsafeMutableBytes { try source.read(into: $0, at: offset) }
      guard count > 0 else { return }
      try buffer.withUnsafeBytes { bytes in
        let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
        if !part.isZero { try target.write(part, at: offset) }
      }
      offset += UInt64(count)
    }
  }
}
