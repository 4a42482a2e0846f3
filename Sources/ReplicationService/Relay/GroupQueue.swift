internal import Bytes
internal import FileIO
internal import Replication
internal import Synchronization
internal import Vault

/// The groups of one machine that a relay holds and the service has not stored yet, durable in files
/// (``GroupFile``) of a directory of the machine's own.
///
/// Any thread may ask for what is next, read it and drop what is stored. Durability: `append` writes an
/// entry, and `sync` makes all that was written durable with one fdatasync; a file is synced before the next
/// one is begun, and a new file's head, then its directory, before its first entry is written. After a crash
/// the files hold every entry that was synced and not dropped, and perhaps more. A file is removed once all of it is stored; an open one whose entries are
/// all stored is cut back to its head from time to time. What such a removal or cut leaves behind in a
/// crash does no harm: the service says how far its log is, and takes no group twice.
final class GroupQueue: Sendable {
  private struct State: Sendable {
    var session: CachedSession?
    var seed: UInt32 = 0
    var groups: [CachedGroup] = []
    /// Numbers of files that hold something.
    var files: [Int] = []
    var nextFile = 0
    var open: OpenFile?
    /// Whether somebody brings the groups to the service.
    var isLeased = false
    /// When the oldest group came that is not stored.
    var waitingSince: ContinuousClock.Instant?
  }

  /// The file that is appended to.
  private final class OpenFile: Sendable {
    let file: File
    let number: Int
    let start: UInt64

    init(_ file: consuming File, _ number: Int, start: UInt64) {
      self.file = file
      (self.number, self.start) = (number, start)
    }
  }

  let machine: Identifier
  private let directory: String
  private let system: FileSystem
  private let budget: CacheBudget
  private let state = Monitor(State())
  /// Held while files are made, written or removed: the thread of a session that is over may come late.
  private let writing = Mutex(())

  /// Bytes after which another file is begun.
  private static let fileSize: UInt64 = 8 << 20
  /// An open file with nothing to keep is cut back once it has so many bytes.
  private static let cutSize: UInt64 = 1 << 20

  /// Takes up what an earlier run has left in `directory`, which need not be there.
  ///
  /// - Throws: `.io`; what is damaged is passed over.
  init(
    _ machine: Identifier, in directory: String, _ budget: CacheBudget, on system: FileSystem
  ) throws(CacheError) {
    (self.machine, self.directory) = (machine, directory)
    (self.budget, self.system) = (budget, system)
    guard system.exists(directory) else { return }
    let names: [String]
    do throws(IOError) { names = try system.list(directory) } catch { throw CacheError(error) }
    var found = State()
    found.nextFile = (names.compactMap(Self.number).max() ?? -1) + 1
    for number in names.compactMap(Self.number).sorted() {
      guard let content = try Self.scan(path(number), number, on: system),
        content.session.machine == machine,
        found.session == nil || found.session == content.session,
        content.groups.first.map({ $0.last > found.groups.last?.last ?? .zero }) ?? true
      else { break }
      found.session = content.session
      found.groups += content.groups
      found.files.append(number)
    }
    found.seed = found.session.map { GroupFile.seed(of: GroupFile.encode($0)) } ?? 0
    if !found.groups.isEmpty { found.waitingSince = .now }
    budget.take(found.groups.reduce(0) { $0 + UInt64($1.length) })
    let taken = found
    state.withLock { $0 = taken }
    if taken.groups.isEmpty { try clear() }
  }

  /// What a file holds; nil if it is damaged.
  private static func scan(
    _ path: String, _ number: Int, on system: FileSystem
  ) throws(CacheError) -> (session: CachedSession, groups: [CachedGroup])? {
    do throws(CacheError) {
      return try GroupFile.scan(path, number: number, on: system)
    } catch {
      guard error.code == .damaged else { throw error }
      return nil
    }
  }

  private static func number(_ name: String) -> Int? {
    guard name.hasSuffix(".groups"), let number = Int32(name.dropLast(7)), number >= 0,
      Self.name(Int(number)) == name
    else { return nil }
    return Int(number)
  }

  private static func name(_ number: Int) -> String { "\(number).groups" }

  private func path(_ number: Int) -> String { "\(directory)/\(Self.name(number))" }

  // MARK: - What is there

  /// Whose groups they are; nil if there are none and none were begun.
  var session: CachedSession? { state.withLock { $0.session } }
  var isEmpty: Bool { state.withLock { $0.groups.isEmpty } }
  var pendingBytes: UInt64 { state.withLock { $0.groups.reduce(0) { $0 + UInt64($1.length) } } }
  var waitingSince: ContinuousClock.Instant? { state.withLock { $0.waitingSince } }

  /// The first group that ends above `number`.
  func next(after number: SequenceNumber) -> CachedGroup? {
    state.withLock { Self.next(after: number, $0) }
  }

  private static func next(after number: SequenceNumber, _ state: State) -> CachedGroup? {
    // Groups are few beside their bytes, and those that are sent are soon dropped.
    state.groups.first { $0.last > number }
  }

  /// Waits for the first group that ends above `number`; nil if none has come by then, or `isOver`.
  func waitForNext(
    after number: SequenceNumber, within duration: Duration, isOver: () -> Bool
  ) -> CachedGroup? {
    let found = state.wait(until: .now + duration) { state -> CachedGroup?? in
      if isOver() { return .some(nil) }
      return Self.next(after: number, state).map { .some($0) }
    }
    return found ?? nil
  }

  /// Wakes all who wait, so that they look again.
  func wake() { state.change { _ in } }

  /// Waits until the last group that came ends at or below what `isSent` is asked for.
  func waitUntilSent(
    within duration: Duration, _ isSent: (SequenceNumber) -> Bool, isOver: () -> Bool
  ) -> Bool {
    state.wait(until: .now + duration) { state -> Bool? in
      if isOver() { return false }
      guard let last = state.groups.last?.last else { return true }
      return isSent(last) ? true : nil
    } ?? false
  }

  /// The payload of a group's frame.
  func read(_ group: CachedGroup) throws(CacheError) -> [UInt8] {
    let seed = state.withLock { $0.seed }
    do throws(IOError) {
      let file = try File(path(group.file), .reading, on: system)
      if let (entry, payload) = try GroupFile.readEntry(
        file, at: group.offset, group.file, seed: seed), entry == group
      {
        return payload
      }
    } catch { throw CacheError(reading: error) }
    throw CacheError(
      .damaged, "The cache of machine \(machine) is damaged in '\(path(group.file))'.")
  }

  // MARK: - One user at a time

  /// Becomes the one that brings the groups to the service; false if that does not come about in time, or
  /// if `isOver`.
  func lease(within duration: Duration, isOver: () -> Bool = { false }) -> Bool {
    state.wait(until: .now + duration) { state -> Bool? in
      if isOver() { return false }
      guard !state.isLeased else { return nil }
      state.isLeased = true
      return true
    } ?? false
  }

  /// Lets the next one bring the groups.
  func endLease() { state.change { $0.isLeased = false } }

  // MARK: - Coming and going

  /// Begins a session; there must be no groups of another one.
  func begin(_ session: CachedSession) throws(CacheError) {
    try writing.withLock { _ throws(CacheError) in
      try forgetAll()
      state.change { state in
        state.session = session
        state.seed = GroupFile.seed(of: GroupFile.encode(session))
      }
    }
  }

  /// Takes a group of `session` for which there is room in the budget; durable after `sync`.
  ///
  /// - Throws: `.full` if the disk is; `.io`; `.over` if another session has begun. Nothing is taken then,
  ///   and no more of this session can be.
  func append(
    _ last: SequenceNumber, cost: Int, _ payload: [UInt8], of session: CachedSession
  ) throws(CacheError) {
    try writing.withLock { _ throws(CacheError) in
      let (current, seed) = state.withLock { ($0.session, $0.seed) }
      guard current == session else {
        throw CacheError(.over, "Another session of machine \(machine) has begun.")
      }
      do throws(IOError) {
        let open = try openFile(for: session)
        let offset = max(open.start, try open.file.status().size)
        let head = GroupFile.head(last, cost, payload, at: offset, seed: seed)
        try open.file.write(head + payload, at: offset)
        let group = CachedGroup(
          last: last, cost: cost, file: open.number, offset: offset, length: payload.count)
        state.change { state in
          if state.groups.isEmpty { state.waitingSince = .now }
          state.groups.append(group)
        }
      } catch {
        // What the file holds behind its last good entry is not known any more.
        state.change { $0.open = nil }
        throw CacheError(error)
      }
    }
  }

  /// Makes durable what was appended.
  ///
  /// - Throws: `.full`, `.io`: what was appended since the last sync may be lost in a crash.
  func sync() throws(CacheError) {
    try writing.withLock { _ throws(CacheError) in
      do throws(IOError) { try state.withLock({ $0.open })?.file.sync() } catch {
        state.change { $0.open = nil }
        throw CacheError(error)
      }
    }
  }

  /// The file to append to.
  private func openFile(for session: CachedSession) throws(IOError) -> OpenFile {
    if let open = state.withLock({ $0.open }) {
      let size = try open.file.status().size
      if size < Self.fileSize {
        if size > Self.cutSize, isEmpty { try open.file.truncate(to: open.start) }
        return open
      }
      try open.file.sync()
    }
    try makeDirectory()
    let number = state.withLock { $0.nextFile }
    let head = GroupFile.encode(session)
    let file = try File(path(number), .creating(permissions: 0o600), on: system)
    state.change { state in
      state.nextFile = number + 1
      state.files.append(number)
    }
    try file.write(head, at: 0)
    try file.sync()
    try system.syncDirectory(directory)
    let open = OpenFile(file, number, start: UInt64(head.count))
    state.change { $0.open = open }
    return open
  }

  private func makeDirectory() throws(IOError) {
    guard !system.exists(directory) else { return }
    do throws(IOError) {
      try system.makeDirectory(directory, permissions: 0o700)
    } catch { guard error.isPresent else { throw error } }
    try system.syncDirectory(FileSystem.parent(of: directory))
  }

  /// Forgets the groups that the service has; files that hold nothing else are removed.
  func drop(through number: SequenceNumber) {
    let (freed, unused) = state.change { state in
      let stored = state.groups.prefix { $0.last <= number }
      let freed = stored.reduce(0) { $0 + UInt64($1.length) }
      if !stored.isEmpty {
        state.groups.removeFirst(stored.count)
        state.waitingSince = state.groups.isEmpty ? nil : .now
      }
      let kept = state.groups.first?.file ?? state.open?.number ?? .max
      let unused = state.files.filter { $0 < kept && $0 != state.open?.number }
      state.files.removeAll { unused.contains($0) }
      return (freed, unused)
    }
    budget.give(freed)
    for number in unused { try? system.remove(path(number)) }
  }

  /// Forgets everything; gives how many groups were left.
  @discardableResult
  func clear() throws(CacheError) -> Int {
    try writing.withLock { _ throws(CacheError) in try forgetAll() }
  }

  /// `clear`, by who holds `writing`.
  @discardableResult
  private func forgetAll() throws(CacheError) -> Int {
    let (freed, count) = state.change { state in
      let freed = state.groups.reduce(0) { $0 + UInt64($1.length) }
      defer { (state.groups, state.files, state.open, state.session) = ([], [], nil, nil) }
      state.waitingSince = nil
      return (freed, state.groups.count)
    }
    budget.give(freed)
    do throws(IOError) {
      guard system.exists(directory) else { return count }
      // Whatever lies there, also what could not be read.
      for name in try system.list(directory) where Self.number(name) != nil {
        try system.remove("\(directory)/\(name)")
      }
      try system.syncDirectory(directory)
      return count
    } catch { throw CacheError(error) }
  }
}

/// How many bytes of groups a relay may hold, over all machines.
final class CacheBudget: Sendable {
  /// Bytes in all.
  let limit: UInt64
  private let used = Monitor<UInt64>(0)

  init(limit: UInt64) { self.limit = limit }

  var usedBytes: UInt64 { used.withLock { $0 } }

  /// Whether less than a fifth is free, so that agents are to send no faster than the service stores.
  var isScarce: Bool { usedBytes > limit / 5 * 4 }

  /// Takes room whether it is there or not: for what was there before this process.
  func take(_ bytes: UInt64) { used.change { $0 += bytes } }

  func give(_ bytes: UInt64) { used.change { $0 -= min($0, bytes) } }

  /// Takes room for `bytes` once there is; false if that does not come about in time.
  func take(_ bytes: UInt64, within duration: Duration) -> Bool {
    used.wait(until: .now + duration) { used -> Bool? in
      guard used + bytes <= self.limit else { return nil }
      used += bytes
      return true
    } ?? false
  }
}
