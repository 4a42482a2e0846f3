internal import Bytes
internal import Codecs
internal import FileIO

/// Reads everything that lies in a log, a machine's or a branch's, and checks it: every record's header and cells
/// (each decompressed to its exact length), every index page, and that index and records agree.
///
/// Needs no lock; the log may be written to meanwhile (what comes after the start is not checked).
/// Memory: a window of 4 MiB and 16 bytes a segment.
final class LogCheck {
  let place: LogPlace
  /// The numbers of its disks.
  let disks: [DiskNumber]
  let readers: LogReaders
  let coder = CellCoder()
  let cell = UnsafeMutableRawBufferPointer.allocate(byteCount: Layout.cellSize, alignment: 64)
  var report: CheckReport
  /// Records against index entries, a sum a segment.
  var sums: [UInt32: (records: UInt64, entries: UInt64)] = [:]
  /// What counts of a segment of that size to which records are still added.
  let replay: (ManifestState.Segment, UInt64) throws(VaultError) -> SegmentReplay
  private let progress: (_ done: UInt64, _ total: UInt64) -> Void
  private let cancelled: () -> Bool
  private var total: UInt64 = 0

  init(
    _ report: CheckReport, at place: LogPlace, disks: [DiskNumber], readers: LogReaders,
    progress: @escaping (_ done: UInt64, _ total: UInt64) -> Void,
    cancelled: @escaping () -> Bool,
    replay: @escaping (ManifestState.Segment, UInt64) throws(VaultError) -> SegmentReplay
  ) {
    (self.report, self.place, self.disks, self.readers) = (report, place, disks, readers)
    (self.progress, self.cancelled, self.replay) = (progress, cancelled, replay)
  }

  deinit { cell.deallocate() }

  /// Checks everything that a MANIFEST names; `mending` says when a flipped bit of it is put right for good.
  func run(_ manifest: Manifest, mending: String) throws(VaultError) {
    for offset in manifest.repaired {
      add(
        Damage(
          file: Manifest.fileName, offset: offset,
          what:
            "one bit of an entry is flipped; it is put right whenever it is read, and for good by "
            + mending))
    }
    total = manifest.length
    for segment in manifest.state.segments {
      total += size(of: LogFileName(.segment, segment.number))
    }
    for run in manifest.state.runs {
      for part in run.partitions where part.file.kind == .run { total += size(of: part.file) }
    }
    try advance(manifest.length)
    let runFiles = Set(manifest.state.runs.flatMap { $0.partitions.map(\.file) })
    for segment in manifest.state.segments {
      let holdsRun = runFiles.contains(LogFileName(.segment, segment.number))
      try check(segment, holdsRun: holdsRun)
    }
    try runIndex(manifest)
    try compareSums(manifest.state)
    try checkForStrangers(manifest.state)
  }

  /// Checks the index alone.
  func runIndex(_ manifest: Manifest) throws(VaultError) {
    for run in manifest.state.runs { try check(run) }
  }

  /// Checks the index, and of the segments that hold anything before a number the newest ones: two at least, as
  /// the first may hold little more than what came later, or one if it `isOver`.
  func runNewest(
    _ manifest: Manifest, before cut: SequenceNumber, bytes limit: UInt64, _ isOver: () -> Bool
  ) throws(VaultError) {
    var state = manifest.state
    let runFiles = Set(state.runs.flatMap { $0.partitions.map(\.file) })
    var newest: [ManifestState.Segment] = []
    for segment in state.segments.reversed() where segment.firstSequence <= cut {
      let isWanted = newest.count < 2 || report.bytes < limit
      guard report.records == 0 || isWanted && !isOver() else { break }
      try check(segment, holdsRun: runFiles.contains(LogFileName(.segment, segment.number)))
      newest.append(segment)
    }
    try runIndex(manifest)
    // The records of the others were not read.
    state.segments = newest
    try compareSums(state)
  }

  private func size(of name: LogFileName) -> UInt64 {
    (try? place.system.status(place.files.path(name)).size) ?? 0
  }

  func add(_ damage: Damage) { report.damages.append(damage) }

  /// Counts bytes as checked.
  func advance(_ bytes: UInt64) throws(VaultError) {
    report.bytes += bytes
    progress(report.bytes, max(total, report.bytes))
    if cancelled() { throw VaultError(.cancelled, "The check was stopped.") }
  }

  /// Files in the log's directory that hold committed records and are not in the MANIFEST.
  private func checkForStrangers(_ state: ManifestState) throws(VaultError) {
    // What is left of the log of a branch that is plain files counts no more.
    guard state.flattened == nil else { return }
    let names = try translated { () throws(IOError) in try place.system.list(place.directory) }
    let segments = names.compactMap(LogFileName.init).filter { $0.kind == .segment }
    guard !state.files.isSuperset(of: segments) else { return }
    let isBranch = state.branch != nil
    // A writer may have added segments since, and does so before they hold a record.
    for name in segments where !state.files.contains(name) {
      guard try place.holdsCommit(name, isBranch: isBranch) else { continue }
      let known = try Manifest.read(
        place.manifestPath, identity: place.identity, on: place.system
      ).state.files
      guard !known.contains(name) else { continue }
      add(
        Damage(
          file: name.description, offset: 0,
          what: "the MANIFEST does not know this segment, and "
            + (isBranch ? "what was written there is" : "its points are")
            + " missing; run 'tidemark vault rebuild'"))
    }
  }
}
