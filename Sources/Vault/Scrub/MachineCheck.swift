internal import Bytes
internal import Codecs
internal import FileIO

/// Reads everything a vault holds of a machine and checks it: the MANIFEST, every record's header and
/// cells (each decompressed to its exact length), every index page, and that index and records agree.
///
/// Needs no lock; the machine may be written to meanwhile (what comes after the start is not checked).
/// Memory: a window of 4 MiB and 16 bytes a segment.
public final class MachineCheck {
  let machine: Machine
  let snapshot: MachineSnapshot
  let coder = CellCoder()
  let cell = UnsafeMutableRawBufferPointer.allocate(byteCount: Layout.cellSize, alignment: 64)
  var report: CheckReport
  /// Records against index entries, a sum a segment.
  var sums: [UInt32: (records: UInt64, entries: UInt64)] = [:]
  private let progress: (_ done: UInt64, _ total: UInt64) -> Void
  private let cancelled: () -> Bool
  private var total: UInt64 = 0

  /// Prepares the check of a machine.
  ///
  /// - Throws: `.damaged` if the MANIFEST can't be read, so that nothing else can be checked.
  public init(
    _ machine: Machine,
    progress: @escaping (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in },
    cancelled: @escaping () -> Bool = { false }
  ) throws(VaultError) {
    self.machine = machine
    (self.progress, self.cancelled) = (progress, cancelled)
    snapshot = try machine.snapshot()
    report = CheckReport(
      machine: snapshot.configuration.name, points: snapshot.points.count)
  }

  deinit { cell.deallocate() }

  /// Checks everything.
  ///
  /// - Throws: `.cancelled`, or the failure of a system call; damage is in the report instead.
  public func run() throws(VaultError) -> CheckReport {
    let manifest = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system)
    for offset in manifest.repaired {
      add(
        Damage(
          file: Manifest.fileName, offset: offset,
          what: "one bit of an entry is flipped; it is put right whenever it is read, and for good "
            + "by the next 'tidemark replicate'"))
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
    for run in manifest.state.runs { try check(run) }
    try compareSums(manifest.state)
    try checkForStrangers(manifest.state)
    report.newestDamage = try newestDamage()
    return report
  }

  /// Checks the index alone, as a writer reads it to merge runs.
  ///
  /// - Throws: as `run` does.
  public func runIndex() throws(VaultError) -> CheckReport {
    let manifest = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system)
    for run in manifest.state.runs { try check(run) }
    report.newestDamage = try newestDamage()
    return report
  }

  private func size(of name: LogFileName) -> UInt64 {
    (try? machine.system.status(machine.files.path(name)).size) ?? 0
  }

  func add(_ damage: Damage) { report.damages.append(damage) }

  /// Counts bytes as checked.
  func advance(_ bytes: UInt64) throws(VaultError) {
    report.bytes += bytes
    progress(report.bytes, max(total, report.bytes))
    if cancelled() { throw VaultError(.cancelled, "The check was stopped.") }
  }

  /// The points at which a record's pages are read, by halving: they follow each other.
  func points(
    reading pages: UInt16, of block: UInt64, on disk: DiskNumber, sequence: UInt64
  ) -> [String] {
    let points = snapshot.points.filter { $0.size(of: disk) != nil }
    let first = points.firstIndex { $0.sequence.rawValue >= sequence } ?? points.count
    var (low, high) = (first, points.count)
    while low < high {
      let middle = (low + high) / 2
      let reader = try? snapshot.disk(disk, at: points[middle])
      let holders = reader?.holders(of: block) ?? []
      let isRead = holders.contains { $0.entry.sequence == sequence && $0.pages & pages != 0 }
      if isRead { low = middle + 1 } else { high = middle }
    }
    return points[first..<low].map(\.id)
  }

  /// Every point at or after a number.
  func points(from sequence: UInt64) -> [String] {
    snapshot.points.filter { $0.sequence.rawValue >= sequence }.map(\.id)
  }

  /// Files in the machine's directory that hold committed records and are not in the MANIFEST.
  private func checkForStrangers(_ state: ManifestState) throws(VaultError) {
    let names = try translated { () throws(IOError) in
      try machine.system.list(machine.directory)
    }
    let segments = names.compactMap(LogFileName.init).filter { $0.kind == .segment }
    guard !state.files.isSuperset(of: segments) else { return }
    // A writer may have added segments since.
    let known = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system
    ).state.files
    for name in segments where !known.contains(name) {
      guard try machine.place().holdsCommit(name) else { continue }
      add(
        Damage(
          file: name.description, offset: 0,
          what: "the MANIFEST does not know this segment, and its points are missing; run "
            + "'tidemark vault rebuild'"))
    }
  }
}
