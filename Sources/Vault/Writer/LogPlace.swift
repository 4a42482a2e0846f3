internal import Bytes
internal import FileIO

/// Where a log lies, and what whoever writes to it does with its files: a machine's, or a branch's.
struct LogPlace: Sendable {
  let identity: LogIdentity
  let files: LogFiles
  let cache: PageCache
  let permissions: Permissions

  var directory: String { files.directory }
  var system: FileSystem { files.system }
  var manifestPath: String { directory + "/" + Manifest.fileName }

  /// Makes a file of the log, empty; neither it nor its name is durable.
  func create(_ name: LogFileName) throws(VaultError) -> File {
    do throws(IOError) {
      let path = files.path(name)
      let file = try File(path, .creating(permissions: permissions.file), on: system)
      try permissions.apply(to: path, on: system)
      return file
    } catch {
      throw VaultError(error)
    }
  }

  /// A number that no file of the log has, nor ever had.
  func nextFileNumber(_ state: ManifestState) throws(VaultError) -> UInt32 {
    let names = try translated { () throws(IOError) in try system.list(directory) }
    let highest = names.compactMap { LogFileName($0)?.number }.max() ?? 0
    return max(state.nextFile, highest + 1)
  }

  /// Makes the names of the log's files durable.
  func syncNames() throws(VaultError) {
    try translated { () throws(IOError) in try system.syncDirectory(directory) }
  }

  /// Stops while there is still the room that consolidating a full vault will need.
  func checkRoom() throws(VaultError) {
    let space = try translated { () throws(IOError) in try system.space(at: directory) }
    let reserve = Vault.reserve(of: space.total)
    guard space.free > reserve else {
      throw VaultError(
        .full,
        "The vault of '\(directory)' is full: \(space.free) bytes are free, and "
          + "\(reserve) are kept in reserve. Make room on its file system, then run this again; "
          + "nothing that was stored is lost.")
    }
  }

  /// Makes the file of a segment, with its header and nothing else; not durable.
  func makeSegment(
    _ header: SegmentHeader
  ) throws(VaultError) -> (file: LogFile, entry: ManifestEntry) {
    let bytes = header.encode(identity: identity)
    let file = try create(LogFileName(.segment, header.number))
    try translated { () throws(IOError) in try file.write(bytes, at: 0) }
    let entry = ManifestEntry.segmentOpened(
      number: header.number, headerLength: UInt32(bytes.count),
      firstSequence: header.firstSequence)
    return (LogFile(file), entry)
  }

  /// What an open segment holds.
  ///
  /// With `countsUnsynced` also what no sync ends; see `SegmentReplay`.
  func replay(
    _ segment: ManifestState.Segment, size: UInt64, disks: [DiskNumber],
    countsUnsynced: Bool = false
  ) throws(VaultError) -> SegmentReplay {
    let name = LogFileName(.segment, segment.number)
    return try SegmentReplay(
      try files.open(name), segment: segment.number, from: UInt64(segment.headerLength),
      to: max(size, UInt64(segment.headerLength)), vouched: segment.vouched,
      firstSequence: segment.firstSequence, disks: disks, identity: identity,
      countsUnsynced: countsUnsynced)
  }

  /// A MANIFEST shorter than a sync says it was has lost entries.
  func vouch(for manifest: Manifest, _ replay: SegmentReplay?) throws(VaultError) {
    guard let sync = replay?.lastSync, manifest.length < sync.manifestLength,
      manifest.state.formerLength < sync.manifestLength
    else { return }
    throw VaultError(
      .damaged,
      "'\(manifestPath)' is shorter than the log says it was (\(manifest.length) of "
        + "\(sync.manifestLength) bytes). Run 'tidemark vault rebuild' to make it anew.")
  }

  func open(_ set: RunSet) throws(VaultError) -> FileRun {
    try FileRun(set, identity: identity, files: files, cache: cache)
  }

  /// Writes a run whose entries are in order, and its trailer; not durable.
  func write(
    _ entries: [RunEntry], to file: borrowing File, as name: LogFileName, base: UInt64,
    trailer: (RunDescription) -> RunTrailer
  ) throws(IOError) -> RunDescription {
    var writer = RunWriter(name, base: base, identity: identity)
    for entry in entries { try writer.add(entry, to: file) }
    return try writer.finish(to: file, trailer: trailer)
  }
}
