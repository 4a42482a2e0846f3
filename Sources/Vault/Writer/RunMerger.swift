internal import Bytes
internal import FileIO

/// Merges sorted runs into one, so that a read has few runs to ask.
///
/// Runs are kept in tiers by their number of entries, each tier four times the one before; a run that
/// is followed in age by a larger one counts as of that one's tier. As soon as there are four of a
/// tier, they and what is younger become one. So there are never more than three runs a tier, and an
/// entry is copied some four times a tier at the most.
enum RunMerger {
  static let fanIn = 4

  /// Which runs to merge next, as a range of `runs`, the oldest first; nil if all is well.
  ///
  /// A run of the lowest tier has at most `lowestTier` entries.
  static func choice(_ runs: [RunSet], lowestTier: UInt64) -> Range<Int>? {
    var (count, limit) = (0, lowestTier)
    for index in runs.indices.reversed() {
      while runs[index].entryCount > limit {
        (count, limit) = (0, limit * UInt64(fanIn))
      }
      count += 1
      let endsTier = index == 0 || runs[index - 1].entryCount > limit
      if endsTier, count >= fanIn { return index..<runs.count }
    }
    return nil
  }

  /// One of the runs that are merged, read page by page.
  private struct Source {
    let run: RunFile
    var page: UInt32 = 0
    var entries: [RunEntry] = []
    var next = 0

    init(_ run: RunFile) throws(VaultError) {
      self.run = run
      entries = try run.entries(ofPage: 0)
    }

    var first: RunEntry? { next < entries.count ? entries[next] : nil }

    mutating func advance() throws(VaultError) {
      next += 1
      guard next == entries.count, page + 1 < run.description.entryPages else { return }
      page += 1
      next = 0
      entries = try run.entries(ofPage: page)
    }
  }

  /// Gives all entries of `runs` in order to `body`.
  static func merge(
    _ runs: [RunFile], _ body: (RunEntry) throws(VaultError) -> Void
  ) throws(VaultError) {
    var sources: [Source] = []
    for run in runs { sources.append(try Source(run)) }
    while let index = smallest(sources) {
      if let entry = sources[index].first { try body(entry) }
      try sources[index].advance()
      if sources[index].first == nil { sources.remove(at: index) }
    }
  }

  private static func smallest(_ sources: [Source]) -> Int? {
    var best: Int?
    for (index, source) in sources.enumerated() {
      guard let entry = source.first else { continue }
      guard let chosen = best, let other = sources[chosen].first else {
        best = index
        continue
      }
      if entry.precedes(other.key, other.sequence) { best = index }
    }
    return best
  }
}

extension MachineWriter {
  /// Merges runs until their number is logarithmic, or `entryBudget` entries were copied.
  ///
  /// Protocol of one merge: write the new run's files, fdatasync each, fsync the directory, then one
  /// MANIFEST transaction that adds the new run and retires the old ones; then remove their files once
  /// no reader uses them. A crash before the transaction leaves files that nobody knows, which the next
  /// writer removes. A damaged page ends the merging and leaves everything as it was: what can't be merged
  /// can still be read, but for the damaged part.
  ///
  /// - Returns: the damage that was met, as an error of reading; nil if there was none.
  @discardableResult
  public func mergeRuns(
    entryBudget: Int, cancelled: () -> Bool = { false }
  ) throws(VaultError) -> VaultError? {
    var left = entryBudget
    while !cancelled() {
      let runs = manifest.manifest.state.runs
      guard let choice = RunMerger.choice(runs, lowestTier: limits.lowestTier) else { return nil }
      let chosen = Array(runs[choice])
      let count = chosen.reduce(0) { $0 + Int($1.entryCount) }
      guard count <= left else { return nil }
      left -= count
      let merged: RunSet?
      do throws(VaultError) { merged = try merge(chosen, cancelled) } catch {
        switch error.code {
        case .damaged: return error
        case .cancelled: return nil
        default: throw error
        }
      }
      guard let merged else { return nil }
      try manifest.append([.runAdded(merged), .runsRetired(chosen.map(\.id))])
      for run in chosen { self.runs[run.id] = nil }
      try place.removeOrphans(manifest.manifest.state)
    }
    return nil
  }

  private func merge(
    _ sets: [RunSet], _ cancelled: () -> Bool
  ) throws(VaultError) -> RunSet? {
    var runs: [FileRun] = []
    for set in sets { runs.append(try run(set)) }
    return try RunMerger.merge(
      runs, at: place, manifest.manifest.state, perFile: limits.runEntries, cancelled)
  }
}

extension RunMerger {
  /// Writes one run of several, durable with its name when this returns; no MANIFEST knows it yet.
  static func merge(
    _ runs: [FileRun], at place: LogPlace, _ state: ManifestState, perFile: Int,
    _ cancelled: () -> Bool
  ) throws(VaultError) -> RunSet? {
    let numbers =
      (runs.map(\.set.oldest).min() ?? 0)...(runs.map(\.set.newest).max() ?? 0)
    let output = MergedRun(place, state, perFile: perFile, numbers: numbers)
    var counter = 0
    do throws(VaultError) {
      try merge(runs.flatMap(\.partitions)) { entry throws(VaultError) in
        counter += 1
        if counter % 8192 == 0, cancelled() { throw VaultError(.cancelled, "Merging was stopped.") }
        try output.add(entry)
      }
      return try output.finish()
    } catch {
      output.discard()
      throw error
    }
  }
}

/// The files of a run that is being merged, a new one every `LogLimits.runEntries`.
private final class MergedRun {
  private let place: LogPlace
  private let state: ManifestState
  private let perFile: Int
  private let numbers: ClosedRange<UInt64>
  private var current: Part?
  private var finished: [RunDescription] = []

  private final class Part {
    let name: LogFileName
    let file: File
    var output: RunWriter
    var count = 0

    init(_ name: LogFileName, _ file: consuming File, identity: LogIdentity) {
      self.name = name
      self.file = file
      output = RunWriter(name, base: 0, identity: identity)
    }
  }

  init(_ place: LogPlace, _ state: ManifestState, perFile: Int, numbers: ClosedRange<UInt64>) {
    (self.place, self.state, self.perFile, self.numbers) = (place, state, perFile, numbers)
  }

  func add(_ entry: RunEntry) throws(VaultError) {
    if let current, current.count == perFile { try finish(current) }
    let part: Part
    if let current { part = current } else { part = try start() }
    part.count += 1
    do throws(IOError) {
      try part.output.add(entry, to: part.file)
    } catch {
      throw VaultError(error)
    }
  }

  private func start() throws(VaultError) -> Part {
    let name = LogFileName(.run, try place.nextFileNumber(state))
    let part = Part(name, try place.create(name), identity: place.identity)
    current = part
    return part
  }

  private func finish(_ part: Part) throws(VaultError) {
    do throws(IOError) {
      let run = try part.output.finish(to: part.file, numbers: numbers) { RunTrailer(run: $0) }
      try part.file.sync()
      finished.append(run)
    } catch {
      throw VaultError(error)
    }
    current = nil
  }

  func finish() throws(VaultError) -> RunSet? {
    if let current { try finish(current) }
    try place.syncNames()
    return RunSet(finished)
  }

  /// Removes what was written; what can't be removed now, the next writer removes.
  func discard() {
    let names = finished.map(\.file) + [current?.name].compactMap { $0 }
    for name in names { try? place.system.remove(place.files.path(name)) }
  }
}
