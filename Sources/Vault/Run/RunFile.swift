internal import Bytes
internal import FileIO
internal import Synchronization

/// A sorted run in a file, read page by page through a cache, each page verified when loaded.
///
/// A fence or root page that is damaged is made anew in memory from the pages it describes; a damaged
/// entry page is an error for whoever needs its keys and for nobody else.
final class RunFile: Sendable {
  private static let nextID = Atomic<UInt32>(1)

  let description: RunDescription
  private let id: UInt32
  private let seed: UInt32
  private let files: LogFiles
  private let cache: PageCache
  private let root: [Fence]

  /// Opens a run; reads its root page.
  init(
    _ description: RunDescription, identity: LogIdentity, files: LogFiles, cache: PageCache
  ) throws(VaultError) {
    self.description = description
    (self.files, self.cache) = (files, cache)
    seed = description.seed(identity)
    id = Self.nextID.wrappingAdd(1, ordering: .relaxed).oldValue
    root = try Self.loadRoot(description, seed, files)
  }

  private static func loadRoot(
    _ run: RunDescription, _ seed: UInt32, _ files: LogFiles
  ) throws(VaultError) -> [Fence] {
    if let root = try read(
      run, run.rootPage, .root, seed, files,
      { page in
        Array(IndexPage.items(page, as: Fence.self))
      })
    {
      return root
    }
    var fences: [Fence] = []
    for page in run.entryPages..<run.rootPage {
      let children = try read(run, page, .fences, seed, files) { bytes in
        Array(IndexPage.items(bytes, as: Fence.self))
      }
      guard let children else { throw damage(run, page, files) }
      fences.append(Fence(page: page, of: children))
    }
    return fences
  }

  /// Reads and verifies a page past the cache; nil if it is damaged.
  private static func read<Result>(
    _ run: RunDescription, _ page: UInt32, _ kind: IndexPage.Kind, _ seed: UInt32,
    _ files: LogFiles, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(VaultError) -> Result? {
    let file = try files.open(run.file)
    let offset = run.base + UInt64(page) * UInt64(Format.indexPageSize)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Format.indexPageSize, alignment: 16)
    defer { buffer.deallocate() }
    let count = try translated { () throws(IOError) in try file.file.read(into: buffer, at: offset)
    }
    guard count == buffer.count else { return nil }
    let bytes = UnsafeRawBufferPointer(buffer)
    guard IndexPage.isIntact(bytes, kind: kind, index: page, seed: seed) else { return nil }
    return body(bytes)
  }

  private static func damage(
    _ run: RunDescription, _ page: UInt32, _ files: LogFiles
  ) -> VaultError {
    VaultError(
      .damaged,
      "Index page \(page) of '\(files.path(run.file))' is damaged. "
        + "Run 'tidemark verify' to see which points and ranges it hurts.")
  }

  /// Looks at a page through the cache.
  private func withPage<Result>(
    _ page: UInt32, _ kind: IndexPage.Kind, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(VaultError) -> Result {
    if let result = cache.find(run: id, page: page, body) { return result }
    let result = try Self.read(description, page, kind, seed, files) { bytes in
      cache.insert(run: id, page: page, bytes)
      return body(bytes)
    }
    if let result { return result }
    guard kind == .fences else { throw Self.damage(description, page, files) }
    return try withRemadeFences(page, body)
  }

  /// Makes a damaged fence page from the entry pages behind it.
  private func withRemadeFences<Result>(
    _ page: UInt32, _ body: (UnsafeRawBufferPointer) -> Result
  ) throws(VaultError) -> Result {
    let perPage = UInt32(Format.entriesPerPage)
    let first = (page - description.entryPages) * perPage
    var fences: [Fence] = []
    for child in first..<min(first + perPage, description.entryPages) {
      fences.append(
        try withPage(child, .entries) { bytes in
          Fence(page: child, of: IndexPage.items(bytes, as: RunEntry.self))
        })
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Format.indexPageSize, alignment: 16)
    defer { buffer.deallocate() }
    IndexPage.build(fences[...], kind: .fences, index: page, seed: seed, into: buffer)
    cache.insert(run: id, page: page, UnsafeRawBufferPointer(buffer))
    return body(UnsafeRawBufferPointer(buffer))
  }

  /// The fence of an entry page.
  private func fence(of page: UInt32) throws(VaultError) -> Fence {
    let perPage = UInt32(Format.entriesPerPage)
    return try withPage(description.entryPages + page / perPage, .fences) { bytes in
      IndexPage.items(bytes, as: Fence.self)[Int(page % perPage)]
    }
  }

  /// The entry page in which the first entry at or behind a place lies, or the one before it.
  @inline(__always)
  private func entryPage(for key: BlockKey, _ sequence: UInt64) throws(VaultError) -> UInt32 {
    let fencePage = root.withUnsafeBufferPointer { $0[$0.child(for: key, sequence)].page }
    return try withPage(fencePage, .fences) { bytes in
      let fences = IndexPage.items(bytes, as: Fence.self)
      return fences[fences.child(for: key, sequence)].page
    }
  }

  /// The first entry at or behind a place in the order; nil behind the last.
  func firstEntry(at key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    guard key.rawValue <= description.lastKey.rawValue else { return nil }
    var page = try entryPage(for: key, sequence)
    while page < description.entryPages {
      let found = try withPage(page, .entries) { bytes -> RunEntry? in
        let entries = IndexPage.items(bytes, as: RunEntry.self)
        let place = entries.place(of: key, sequence)
        return place < entries.count ? entries[place] : nil
      }
      if let found { return found }
      page += 1
    }
    return nil
  }

  /// The newest entry of a key that is not newer than `sequence`; nil if there is none.
  func newestEntry(of key: BlockKey, _ sequence: UInt64) throws(VaultError) -> RunEntry? {
    guard description.firstKey.rawValue <= key.rawValue,
      key.rawValue <= description.lastKey.rawValue
    else { return nil }
    var page = try entryPage(for: key, sequence)
    while true {
      let found = try withPage(page, .entries) { bytes -> RunEntry? in
        let entries = IndexPage.items(bytes, as: RunEntry.self)
        let place = entries.place(of: key, sequence)
        return place < entries.count ? entries[place] : nil
      }
      if let found { return found.key == key ? found : nil }
      page += 1
      // Asking the fence first keeps a neighbour that is damaged, or not cached, out of this.
      guard page < description.entryPages, try fence(of: page).key == key else { return nil }
    }
  }

  /// Shows `query` the entries of its block from its cut backwards until it is satisfied.
  ///
  /// Pages full of this block's entries that hold none of the wanted pages are passed over by their
  /// fence.
  func collect(_ query: inout BlockQuery) throws(VaultError) {
    let key = query.key
    guard key.rawValue >= description.firstKey.rawValue,
      key.rawValue <= description.lastKey.rawValue
    else { return }
    var page = try entryPage(for: key, query.cut)
    while page < description.entryPages {
      let done = try withPage(page, .entries) { bytes -> Bool in
        let entries = IndexPage.items(bytes, as: RunEntry.self)
        var place = entries.place(of: key, query.cut)
        while place < entries.count {
          guard entries[place].key == key, query.take(entries[place]) else { return true }
          place += 1
        }
        return false
      }
      if done { return }
      guard let next = try pageToContinue(behind: page, query) else { return }
      page = next
    }
  }

  private func pageToContinue(
    behind page: UInt32, _ query: BlockQuery
  ) throws(VaultError) -> UInt32? {
    var page = page + 1
    while page < description.entryPages {
      let fence = try fence(of: page)
      guard !query.key.precedes(fence.key) else { return nil }
      let mayHelp = fence.mask & query.wanted != 0
      let holdsOnlyTheBlock =
        page + 1 < description.entryPages
        ? try self.fence(of: page + 1).key == query.key : false
      if mayHelp || !holdsOnlyTheBlock { return page }
      page += 1
    }
    return nil
  }

  /// All entries in order, page by page, past the cache; for merging and verifying.
  ///
  /// - Throws: `.damaged` for a page that is damaged.
  func entries(ofPage page: UInt32) throws(VaultError) -> [RunEntry] {
    let entries = try Self.read(description, page, .entries, seed, files) { bytes in
      Array(IndexPage.items(bytes, as: RunEntry.self))
    }
    guard let entries else { throw Self.damage(description, page, files) }
    return entries
  }

  /// The pages of the run that are damaged, each with the keys that are hurt.
  func damagedPages() throws(VaultError) -> [(page: UInt32, keys: ClosedRange<UInt64>?)] {
    var damaged: [(UInt32, ClosedRange<UInt64>?)] = []
    for page in 0...description.rootPage {
      let kind: IndexPage.Kind =
        page < description.entryPages
        ? .entries : page < description.rootPage ? .fences : .root
      let intact = try Self.read(description, page, kind, seed, files) { _ in true } ?? false
      guard !intact else { continue }
      damaged.append((page, kind == .entries ? try keys(ofPage: page) : nil))
    }
    return damaged
  }

  private func keys(ofPage page: UInt32) throws(VaultError) -> ClosedRange<UInt64> {
    func bound(_ page: UInt32) -> UInt64? {
      do throws(VaultError) { return try fence(of: page).key.rawValue } catch { return nil }
    }
    let first = bound(page) ?? description.firstKey.rawValue
    let next = page + 1 < description.entryPages ? bound(page + 1) : nil
    return first...max(first, next ?? description.lastKey.rawValue)
  }
}

extension BlockKey {
  @inline(__always)
  fileprivate func precedes(_ other: BlockKey) -> Bool { rawValue < other.rawValue }
}
