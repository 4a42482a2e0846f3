public import Bytes
public import FileIO
public import Vault

/// What was seen of a disk's source right before the newest recovery point was cut.
///
/// A file is known by its number, the time it was made and its generation: a number alone is given to
/// another file soon. The number of its file system is not counted, since it changes from boot to boot.
/// A block device has nothing of all this.
public struct SourceNote: Codable, Hashable, Sendable {
  /// Which disk.
  public var disk: Int
  /// Where it was.
  public var path: String
  /// Its file, and the times of that, where it was one.
  public var file: SourceIdentity?

  /// What differs from what was noted, and can't have come about by writing to the disk.
  ///
  /// Times are compared only while the clock is not behind what was noted: a clock that was set back
  /// is no reason to doubt a disk. A file that was written over in place with an older content, its
  /// times new, looks as if it was written to; see `FormerPages` of the agent.
  public func objection(to now: SourceNote, at time: Timestamp) -> (isOther: Bool, text: String)? {
    let name = "Disk \(disk), '\(now.path)',"
    if path != now.path { return (true, "\(name) was '\(path)' at the last recovery point.") }
    guard let before = file, let after = now.file else {
      return file == nil && now.file == nil
        ? nil : (true, "\(name) is of another kind than at the last recovery point.")
    }
    guard before.isSameFile(as: after) else {
      return (true, "\(name) is another file than at the last recovery point.")
    }
    let newest = max(before.modified, before.changed)
    guard time.rawValue >= newest else { return nil }
    if after.modified < before.modified {
      return (
        false, "\(name) was written to last before the last recovery point: it was put back."
      )
    }
    if after.changed < before.changed {
      return (false, "\(name) was changed last before the last recovery point: it was put back.")
    }
    return nil
  }
}

extension SourceNote {
  /// Looks at a disk's source; nil if it is not there.
  public init?(of disk: DiskConfiguration, on system: FileSystem = .system) {
    guard let status = try? system.status(disk.path) else { return nil }
    self.init(
      disk: Int(disk.number), path: disk.path,
      file: status.kind == .file
        ? SourceIdentity(status, system.origin(of: disk.path)) : nil)
  }
}

/// What tells a file from any other, and how new it is. Times are nanoseconds since 1970.
public struct SourceIdentity: Codable, Hashable, Sendable {
  /// Its number.
  public var inode: UInt64
  /// When the file was made; nil where the file system does not know.
  public var born: Int64?
  /// How often its number was given out; nil where the file system does not tell.
  public var generation: UInt32?
  /// The last change of content.
  public var modified: Int64
  /// The last change of content or attributes.
  public var changed: Int64

  init(_ status: FileStatus, _ origin: FileOrigin) {
    (inode, born, generation) = (status.inode, origin.born?.rawValue, origin.generation)
    (modified, changed) = (status.modified.rawValue, status.changed.rawValue)
  }

  func isSameFile(as other: SourceIdentity) -> Bool {
    inode == other.inode && (born == nil || other.born == nil || born == other.born)
      && (generation == nil || other.generation == nil || generation == other.generation)
  }
}
