internal import Bytes
internal import FileIO

/// Makes a branch's lost or damaged MANIFEST anew from a copy of its first transaction and from its segments.
///
/// Segments with an intact trailer enter it as sealed, up to the first behind which records are missing; the rest
/// enter it as opened, and the next start counts their records as after a crash. Runs that were merged are not
/// looked for. The old MANIFEST is kept as `MANIFEST.old`; a crash leaves the old one or the new one.
struct BranchRebuild {
  private let place: LogPlace
  private let description: BranchDescription
  private var entries: [ManifestEntry]
  private var formerLength: UInt64 = 0
  private var last: SequenceNumber
  private let flattened: SequenceNumber?
  private var isWhole = true

  /// Looks at all branches that no disk server has open, and makes anew what can't be read.
  static func run(in vault: Vault) throws(VaultError) -> [Rebuild.Outcome] {
    var outcomes: [Rebuild.Outcome] = []
    for id in try vault.branchIdentifiers() {
      do throws(VaultError) {
        let lock = try vault.lockBranch(vault.branchPath(id), id)
        defer { lock.release() }
        guard try isDamaged(id, in: vault) else { continue }
        var rebuild = try BranchRebuild(id, in: vault)
        outcomes.append(try rebuild.run())
      } catch {
        if error.code == .inUse { continue }
        guard error.code == .damaged else { throw error }
        outcomes.append(
          Rebuild.Outcome(
            machine: "branch \(id)", segments: 0, points: 0, warnings: [error.message]))
      }
    }
    return outcomes
  }

  private static func isDamaged(_ id: Identifier, in vault: Vault) throws(VaultError) -> Bool {
    do throws(VaultError) {
      let (description, manifest, place) = try vault.branchFiles(id)
      // Of a branch that was flattened, the files are all there is.
      if description.isFlat {
        _ = try place.openFlat(description.disks, .reading)
        try place.tellFlattened(manifest.state)
      }
      _ = try vault.look(at: manifest, description, place)
      try place.removeOrphans(manifest.state)
      return false
    } catch {
      guard error.code == .damaged else { throw error }
      return true
    }
  }

  private init(_ id: Identifier, in vault: Vault) throws(VaultError) {
    let directory = vault.branchPath(id)
    let path = directory + "/" + Manifest.firstName
    let identity = try vault.identity(ofManifest: path)
    let first = try Manifest.read(path, identity: identity, on: vault.system)
    guard let description = first.state.branch, description.id == id,
      description.machine == identity.machine
    else { throw VaultError(.damaged, "'\(path)' is not of branch \(id).") }
    self.description = description
    place = LogPlace(
      identity: identity, files: LogFiles(directory: directory, system: vault.system),
      cache: vault.cache, permissions: vault.permissions)
    entries = [.configuration(first.state.configuration), .branch(description)]
    last = description.start
    flattened = first.state.flattened
  }

  /// What is left of the log of a branch that was flattened does not count.
  private mutating func runFlat(_ last: SequenceNumber) throws(VaultError) -> Rebuild.Outcome {
    _ = try place.openFlat(description.disks, .reading)
    entries.append(.flattened(last))
    try write()
    return Rebuild.Outcome(
      machine: "branch '\(description.name)'", segments: 0, points: 0, warnings: [])
  }

  private mutating func run() throws(VaultError) -> Rebuild.Outcome {
    if let flattened { return try runFlat(flattened) }
    let names = try translated { () throws(IOError) in try place.system.list(place.directory) }
    let segments = names.compactMap(LogFileName.init).filter { $0.kind == .segment }
      .sorted { $0.number < $1.number }
    for name in segments { try add(name) }
    // What was copied to plain files may be of records that are gone.
    if place.wantsFlat { try place.replace(FlatteningCheckpoint(), of: description) }
    try write()
    return Rebuild.Outcome(
      machine: "branch '\(description.name)'", segments: segments.count, points: 0,
      warnings: isWhole ? [] : ["what was not flushed may be gone"])
  }

  private mutating func add(_ name: LogFileName) throws(VaultError) {
    let file = try place.files.open(name)
    let size = try translated { () throws(IOError) in try file.file.status().size }
    let header = try place.header(of: file)
    let trailer = try place.trailer(of: file, name, size)
    let start = UInt64(header?.length ?? 0)
    let replay = try SegmentReplay(
      file, segment: name.number, from: start, to: max(start, trailer?.recordsEnd ?? size),
      firstSequence: last.next, disks: description.disks.map(\.number), identity: place.identity,
      countsUnsynced: true)
    formerLength = max(formerLength, replay.lastSync?.manifestLength ?? 0)
    // A file that never got its header, or lost it and holds nothing.
    if header == nil, replay.recordCount == 0 { return }
    entries.append(
      .segmentOpened(
        number: name.number, headerLength: UInt32(start),
        firstSequence: header?.firstSequence ?? last.next))
    if let first = replay.firstNumber, first > last.next { isWhole = false }
    last = max(last, replay.lastSequence)
    guard isWhole, let trailer else {
      isWhole = false
      return
    }
    last = max(last, SequenceNumber(rawValue: trailer.lastSequence))
    entries.append(
      .segmentSealed(
        ManifestEntry.SealedSegment(
          number: name.number, recordsEnd: trailer.recordsEnd, lastSequence: last,
          lastTime: replay.lastTime, disks: description.disks)))
    if let set = RunSet([trailer.run]) { entries.append(.runAdded(set)) }
  }

  private func write() throws(VaultError) {
    let path = place.manifestPath
    if place.system.exists(path) {
      try translated { () throws(IOError) in
        let old = try place.system.readFile(path, limit: Format.manifestSizeLimit)
        try place.system.replaceFile(path + ".old", with: old, permissions: 0o600)
      }
    }
    try ManifestWriter.create(
      path, entries: entries + [.rebuilt(formerLength: formerLength)],
      generation: max(1, formerLength), identity: place.identity,
      permissions: place.permissions.file, on: place.system)
    try translated { () throws(IOError) in
      try place.permissions.apply(to: path, on: place.system)
    }
  }
}
