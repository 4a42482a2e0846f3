internal import Bytes
internal import FileIO
internal import Replication
internal import Synchronization
internal import Vault

/// What pages of a disk held before they were changed, as far back as there is room: by that is noticed
/// that a disk was put back to an older content, whatever was done to its file and whatever its times say.
///
/// A page that is changed to just what it once held has returned. Guests do that to a page here and there,
/// but not to half of all they write; a snapshot that is put back does it to nearly all. So a cycle in
/// which at least half of the changed pages, and no fewer than ``least``, have returned is taken for one
/// over a disk that was put back. Pages that were or become zeros do not count. What went out of the file's bounds
/// before the disk was put back can't be noticed; nor can content from before this agent's first cycle.
///
/// Layout of the file: 16 bytes of salt, a checksum and a count, then 16 bytes a page: its number and half
/// of its digest, the oldest first. A file that is not whole is forgotten: that costs this notice, nothing
/// else.
final class FormerPages: Sendable {
  /// Fewer pages than this prove nothing.
  static let least = 8
  /// Pages that are kept: 256 MiB of changes.
  private static let capacity = 1 << 16
  private static let headerSize = 24

  private struct Entry: Hashable, Sendable {
    let page: UInt64
    let digest: UInt64
  }

  private struct State: Sendable {
    var old: [Entry] = []
    var known: Set<Entry> = []
    /// What this cycle has changed.
    var new: [Entry] = []
    var changed = 0
    var returned = 0
  }

  let disk: DiskNumber
  let salt: [UInt8]
  private let path: String
  private let system: FileSystem
  private let state: Mutex<State>
  /// The digest of a page of zeros.
  private let zeros: ContentDigest

  /// Reads what is known; `salt` is that of the digests, or nil for one that the file brings along.
  init(_ path: String, disk: DiskNumber, salt: [UInt8]?, on system: FileSystem) {
    (self.path, self.disk, self.system) = (path, disk, system)
    let found = Self.read(path, system)
    var state = State()
    if let found, salt == nil || found.salt == salt {
      self.salt = found.salt
      (state.old, state.known) = (found.entries, Set(found.entries))
    } else {
      var generator = SystemRandomNumberGenerator()
      self.salt =
        salt ?? (0..<ContentDigest.saltSize).map { _ in .random(in: 0...255, using: &generator) }
    }
    zeros = [UInt8](repeating: 0, count: Layout.pageSize).withUnsafeBytes { [salt = self.salt] in
      ContentDigest(of: $0, salt: salt)
    }
    self.state = Mutex(state)
  }

  /// Notes that a page is changed, and from what, if that is known.
  func note(page: UInt64, from former: ContentDigest?, to present: ContentDigest) {
    guard let former, former != zeros else { return }
    state.withLock { state in
      if state.new.count < Self.capacity {
        state.new.append(Entry(page: page, digest: former.high))
      }
      guard present != zeros else { return }
      state.changed += 1
      if state.known.contains(Entry(page: page, digest: present.high)) { state.returned += 1 }
    }
  }

  /// How many pages have returned, of how many; nil unless that tells of a disk that was put back.
  var evidence: (returned: Int, changed: Int)? {
    state.withLock { state in
      state.returned >= Self.least && state.returned * 2 >= state.changed
        ? (state.returned, state.changed) : nil
    }
  }

  /// Keeps what the cycle has changed, now that it has made its recovery point.
  func settle() throws(AgentError) {
    let entries = state.withLock { state -> [Entry]? in
      guard !state.new.isEmpty else { return nil }
      let entries = Array((state.old + state.new).suffix(Self.capacity))
      state = State(old: entries, known: Set(entries))
      return entries
    }
    guard let entries else { return }
    var content = ByteWriter(capacity: entries.count * 16)
    for entry in entries {
      content.integer(entry.page)
      content.integer(entry.digest)
    }
    var writer = ByteWriter(capacity: content.bytes.count + Self.headerSize)
    writer.append(contentsOf: salt)
    writer.integer(content.bytes.withUnsafeBytes { Checksum.of($0) })
    writer.integer(UInt32(entries.count))
    writer.append(contentsOf: content.bytes)
    try inFile { () throws(IOError) in
      try system.replaceFile(path, with: writer.bytes, permissions: 0o600)
    }
  }

  private static func read(
    _ path: String, _ system: FileSystem
  ) -> (salt: [UInt8], entries: [Entry])? {
    guard let bytes = try? system.readFile(path, limit: headerSize + capacity * 16) else {
      return nil
    }
    return bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      guard let salt = try? reader.bytes(ContentDigest.saltSize),
        let checksum = try? reader.integer(UInt32.self),
        let count = try? reader.integer(UInt32.self), Int(count) <= capacity,
        bytes.count == headerSize + Int(count) * 16,
        Checksum.of(UnsafeRawBufferPointer(rebasing: bytes[headerSize...])) == checksum
      else { return nil }
      var entries: [Entry] = []
      for _ in 0..<count {
        guard let page = try? reader.integer(UInt64.self),
          let digest = try? reader.integer(UInt64.self)
        else { return nil }
        entries.append(Entry(page: page, digest: digest))
      }
      return (Array(salt), entries)
    }
  }
}
