internal import Bytes
internal import FileIO

/// Writes a run from entries that come in order. Nothing is durable until the caller syncs the file.
///
/// Memory: one buffer of 64 pages and one fence a page.
struct RunWriter: ~Copyable {
  private let identity: LogIdentity
  private let file: LogFileName
  private let base: UInt64
  private let seed: UInt32
  private var pending: [RunEntry] = []
  private var fences: [Fence] = []
  private var page: UInt32 = 0
  private var levels: UInt64 = 0
  private var entryCount: UInt64 = 0
  private var firstKey: BlockKey?
  private var lastKey = BlockKey(rawValue: 0)
  private let buffer = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 64 * Format.indexPageSize, alignment: 16)
  private var buffered = 0

  init(_ file: LogFileName, base: UInt64, identity: LogIdentity) {
    (self.file, self.base, self.identity) = (file, base, identity)
    var checksum = Checksum(seed: identity.seed)
    checksum.add(UInt64(file.number) | UInt64(file.kind.rawValue) << 32)
    seed = checksum.value
    pending.reserveCapacity(Format.entriesPerPage)
  }

  deinit { buffer.deallocate() }

  /// Adds the next entry in the order.
  mutating func add(_ entry: RunEntry, to file: borrowing File) throws(IOError) {
    if firstKey == nil { firstKey = entry.key }
    lastKey = entry.key
    levels |= entry.key.level == 0 ? 0 : 1 << UInt64(entry.key.level)
    entryCount += 1
    pending.append(entry)
    if pending.count == Format.entriesPerPage { try finishEntryPage(file) }
  }

  /// Writes what is left, the fences, the root and the trailer that `trailer` makes.
  ///
  /// A part of a larger run says it spans the `numbers` of the whole.
  mutating func finish(
    to file: borrowing File, numbers: ClosedRange<UInt64>? = nil,
    trailer: (RunDescription) -> RunTrailer
  ) throws(IOError) -> RunDescription {
    if !pending.isEmpty { try finishEntryPage(file) }
    let entryPages = page
    let roots = try writeFences(file)
    try emit(roots[...], .root, file)
    let run = RunDescription(
      file: self.file, base: base, entryPages: entryPages, fencePages: page - 1 - entryPages,
      entryCount: entryCount, levels: levels,
      oldest: numbers?.lowerBound ?? fences.map(\.oldest).min() ?? 0,
      newest: numbers?.upperBound ?? fences.map(\.newest).max() ?? 0,
      firstKey: firstKey ?? BlockKey(rawValue: 0),
      lastKey: lastKey)
    try flush(file)
    let end = base + UInt64(page) * UInt64(Format.indexPageSize)
    try file.write(trailer(run).encode(identity: identity), at: end)
    return run
  }

  private mutating func finishEntryPage(_ file: borrowing File) throws(IOError) {
    fences.append(Fence(page: page, of: pending))
    try emit(pending[...], .entries, file)
    pending.removeAll(keepingCapacity: true)
  }

  private mutating func writeFences(_ file: borrowing File) throws(IOError) -> [Fence] {
    var roots: [Fence] = []
    for start in stride(from: 0, to: fences.count, by: Format.entriesPerPage) {
      let part = fences[start..<min(start + Format.entriesPerPage, fences.count)]
      roots.append(Fence(page: page, of: part))
      try emit(part, .fences, file)
    }
    return roots
  }

  private mutating func emit<Item>(
    _ items: ArraySlice<Item>, _ kind: IndexPage.Kind, _ file: borrowing File
  ) throws(IOError) {
    let room = UnsafeMutableRawBufferPointer(
      rebasing: buffer[buffered..<buffered + Format.indexPageSize])
    IndexPage.build(items, kind: kind, index: page, seed: seed, into: room)
    buffered += Format.indexPageSize
    page += 1
    if buffered == buffer.count { try flush(file) }
  }

  private mutating func flush(_ file: borrowing File) throws(IOError) {
    guard buffered > 0 else { return }
    let start = base + UInt64(page) * UInt64(Format.indexPageSize) - UInt64(buffered)
    try file.write(UnsafeRawBufferPointer(rebasing: buffer[..<buffered]), at: start)
    buffered = 0
  }
}
