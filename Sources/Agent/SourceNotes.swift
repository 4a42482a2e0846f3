internal import Bytes
internal import Capture
internal import FileIO
internal import FoundationEssentials
internal import Vault

/// What an agent durably knows of its disks' sources as of the newest recovery point, and of what it was
/// about when it was last heard of: `sources.json`. Replaced as a whole, so that after a crash the old
/// or the new one is there.
struct SourceNotes: Codable, Hashable, Sendable {
  /// The machine's identifier.
  var machine = ""
  /// A cycle was begun since the newest recovery point: digests may be missing because of it.
  var isCycling = false
  /// What was stored since the newest recovery point, and the clones made since, are of a
  /// resynchronisation: it goes on from these.
  var isResynchronising = false
  /// The disks, as of the newest recovery point.
  var sources: [SourceNote] = []

  /// What is noted of a disk.
  func source(of disk: DiskNumber) -> SourceNote? { sources.first { $0.disk == Int(disk) } }
}

/// What was seen of a disk's source right before the newest recovery point was cut.
///
/// A file is known by its number, the time it was made and its generation: a number alone is given to
/// another file soon. The number of its file system is not counted, since it changes from boot to boot.
/// A block device has nothing of all this.
struct SourceNote: Codable, Hashable, Sendable {
  /// Which disk.
  var disk: Int
  /// Where it was.
  var path: String
  /// Its file, and the times of that, where it was one.
  var file: SourceIdentity?

  /// What differs from what was noted, and can't have come about by writing to the disk.
  ///
  /// Times are compared only while the clock is not behind what was noted: a clock that was set back
  /// is no reason to doubt a disk. A file that was written over in place with an older content, its
  /// times new, looks as if it was written to; see `FormerPages`.
  func objection(to now: SourceNote, at time: Timestamp) -> (isOther: Bool, text: String)? {
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
  init?(of disk: DiskConfiguration, on system: FileSystem = .system) {
    guard let status = try? system.status(disk.path) else { return nil }
    self.init(
      disk: Int(disk.number), path: disk.path,
      file: status.kind == .file
        ? SourceIdentity(status, system.origin(of: disk.path)) : nil)
  }
}

/// What tells a file from any other, and how new it is. Times are nanoseconds since 1970.
struct SourceIdentity: Codable, Hashable, Sendable {
  var inode: UInt64
  /// When the file was made; nil where the file system does not know.
  var born: Int64?
  /// How often its number was given out; nil where the file system does not tell.
  var generation: UInt32?
  /// The last change of content.
  var modified: Int64
  /// The last change of content or attributes.
  var changed: Int64

  init(_ status: FileStatus, _ origin: FileOrigin) {
    (inode, born, generation) = (status.inode, origin.born?.rawValue, origin.generation)
    (modified, changed) = (status.modified.rawValue, status.changed.rawValue)
  }

  func isSameFile(as other: SourceIdentity) -> Bool {
    inode == other.inode && (born == nil || other.born == nil || born == other.born)
      && (generation == nil || other.generation == nil || generation == other.generation)
  }
}

extension AgentDirectory {
  private var notesPath: String { path + "/sources.json" }

  /// What is noted of the machine's disks; nothing if that is lost or of another machine, which alone
  /// is no reason to doubt: what tells changed blocks has a number of its own.
  func sourceNotes(of machine: Identifier) -> SourceNotes {
    guard let bytes = try? system.readFile(notesPath, limit: 1 << 20),
      let notes = try? JSONDecoder().decode(SourceNotes.self, from: Data(bytes)),
      notes.machine == machine.description
    else { return SourceNotes(machine: machine.description) }
    return notes
  }

  /// Replaces what is noted; durable when it returns.
  func save(_ notes: SourceNotes) throws(AgentError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let bytes: [UInt8]
    do { bytes = Array(try encoder.encode(notes)) } catch {
      throw AgentError(.state, "What is known of the disks can't be written: \(error).")
    }
    try inFile { () throws(IOError) in
      try system.replaceFile(notesPath, with: bytes, permissions: 0o600)
    }
  }
}
