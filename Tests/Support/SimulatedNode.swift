internal import Bytes
internal import FileIO

/// A file or directory of a simulated disk: what its users see, and what the disk has.
///
/// Guarded by the disk's mutex; it never leaves it.
final class SimulatedNode {
  let inode: UInt64
  let isDirectory: Bool
  var permissions: UInt32
  var owner: UInt32 = 0
  var group: UInt32 = 0
  var modified = Timestamp(rawValue: 0)

  /// A file's bytes as its users see them.
  var cached = SparseBytes()
  /// A file's bytes that no power loss takes away.
  var durable = SparseBytes()
  /// What was done to a file since it was last synced, oldest first.
  var pending: [PendingChange] = []
  /// A failed sync dropped changes: `cached` shows bytes that are neither durable nor pending.
  var hasLostChanges = false

  /// A directory's names as its users see them.
  var names: [String: SimulatedNode] = [:]
  /// A directory's names that no power loss takes away.
  var durableNames: [String: SimulatedNode] = [:]

  /// The handle that holds the file's exclusive lock.
  var lockHolder: Int32?
  /// Shared locks of single bytes, by handle.
  var byteLocks: [(handle: Int32, offset: UInt64)] = []

  init(inode: UInt64, isDirectory: Bool, permissions: UInt32) {
    (self.inode, self.isDirectory, self.permissions) = (inode, isDirectory, permissions)
  }

  var status: FileStatus {
    FileStatus(
      kind: isDirectory ? .directory : .file, size: UInt64(cached.size),
      allocated: UInt64(cached.allocated), device: 1, inode: inode, modified: modified,
      changed: modified, permissions: permissions, group: group)
  }

  /// Makes everything pending durable.
  func settle() {
    if hasLostChanges {
      for change in pending { change.apply(to: &durable) }
    } else {
      durable = cached
    }
    pending = []
  }
}

/// One change of a file's bytes that was not synced yet.
struct PendingChange {
  enum Kind {
    case write(offset: Int, bytes: [UInt8])
    case resize(Int)
  }

  /// Its place among all changes of the disk.
  let order: Int
  let kind: Kind

  func apply(to content: inout SparseBytes) {
    switch kind {
    case .write(let offset, let bytes): content.write(bytes[...], at: offset)
    case .resize(let size): content.resize(to: size)
    }
  }

  /// Applies the sectors of the change that `survives` picks; a resize is one sector.
  func apply(to content: inout SparseBytes, where survives: () -> Bool) {
    guard case .write(let offset, let bytes) = kind else {
      if survives() { apply(to: &content) }
      return
    }
    var start = 0
    while start < bytes.count {
      let sectorEnd = ((offset + start) / SimulatedDisk.sectorSize + 1) * SimulatedDisk.sectorSize
      let end = min(bytes.count, sectorEnd - offset)
      if survives() { content.write(bytes[start..<end], at: offset + start) }
      start = end
    }
  }
}

/// One change of names whose directory was not synced yet. Each is atomic.
struct NameChange {
  enum Kind {
    case link(SimulatedNode, in: SimulatedNode, as: String)
    case unlink(SimulatedNode, in: SimulatedNode, as: String)
    case move(SimulatedNode, from: SimulatedNode, String, to: SimulatedNode, String)
  }

  let order: Int
  let kind: Kind

  var node: SimulatedNode {
    switch kind {
    case .link(let node, _, _), .unlink(let node, _, _), .move(let node, _, _, _, _): node
    }
  }

  /// The directory whose sync makes the change durable; for a move the one of the new name.
  var directory: SimulatedNode {
    switch kind {
    case .link(_, let directory, _), .unlink(_, let directory, _): directory
    case .move(_, _, _, let target, _): target
    }
  }

  /// Does to the durable names what this change did to the visible ones. Changes before it may
  /// have been lost, so each step only undoes the names of the node it is about.
  func applyToDurable() {
    switch kind {
    case .link(let node, let directory, let name):
      directory.durableNames[name] = node
    case .unlink(let node, let directory, let name):
      if directory.durableNames[name] === node { directory.durableNames[name] = nil }
    case .move(let node, let source, let old, let target, let new):
      if source.durableNames[old] === node { source.durableNames[old] = nil }
      target.durableNames[new] = node
    }
  }
}
