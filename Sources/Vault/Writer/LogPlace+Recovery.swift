internal import Bytes
internal import FileIO

/// Putting a log in order when a writer starts.
extension LogPlace {
  /// Removes files that the MANIFEST does not know: what a crash left while one was being made, and
  /// runs that were merged into others once no reader uses them any more.
  ///
  /// - Throws: `.damaged` if such a file holds committed records, for then the MANIFEST is what is
  ///   wrong.
  func removeOrphans(_ state: ManifestState) throws(VaultError) {
    guard state.flattened == nil else { return _ = try removeFlattenedLog(state) }
    let names = try translated { () throws(IOError) in try system.list(directory) }
    let known = state.files
    let orphans = names.compactMap(LogFileName.init).filter { !known.contains($0) }
    guard !orphans.isEmpty else { return }
    for name in orphans where name.kind == .segment {
      try checkIsEmpty(name, isBranch: state.branch != nil)
    }
    for name in orphans {
      let generations = state.retired[name] ?? 0..<0
      let isRead = try ReaderLease.isTaken(generations, directory: directory, on: system)
      let isSeen = try ReaderLease.isLookedAt(generations, directory: directory, on: system)
      guard !isRead, !isSeen else { continue }
      files.forget(name)
      try translated { () throws(IOError) in try system.remove(files.path(name)) }
    }
  }

  private func checkIsEmpty(_ name: LogFileName, isBranch: Bool) throws(VaultError) {
    guard try holdsCommit(name, isBranch: isBranch) else { return }
    throw VaultError(
      .damaged,
      "'\(files.path(name))' holds committed records, but the MANIFEST does not know it. "
        + "Run 'tidemark vault rebuild' to make the MANIFEST anew from the segments.")
  }

  /// The error of a segment whose records end before what was durable when the log was closed.
  static func cutShort(_ path: String, _ lost: Range<UInt64>) -> VaultError {
    VaultError(
      .damaged,
      "'\(path)' is cut short: its records end at byte \(lost.lowerBound), and those up to byte "
        + "\(lost.upperBound) had been stored. The newest recovery points are lost. Run 'tidemark vault "
        + "rebuild' to go on without them.")
  }

  /// The newest record with content of several sealed segments, the oldest first; the newest may hold none.
  func lastHint(of sealed: [ManifestEntry.SealedSegment]) -> RecordHint {
    for segment in sealed.suffix(8).reversed() {
      let hint = lastHint(of: segment)
      if hint.sequence > 0 { return hint }
    }
    return RecordHint()
  }

  /// What the last record of a sealed segment says of the newest record with content: nothing where
  /// nothing was, or where that record is lost, which only makes a copy that was broken off start anew.
  func lastHint(of sealed: ManifestEntry.SealedSegment) -> RecordHint {
    do throws(VaultError) { return try readLastHint(of: sealed) } catch { return RecordHint() }
  }

  private func readLastHint(
    of sealed: ManifestEntry.SealedSegment
  ) throws(VaultError) -> RecordHint {
    let file = try files.open(LogFileName(.segment, sealed.number))
    let step = UInt64(Format.recordAlignment)
    let longest = UInt64(Format.largestBlockRecord + 1)
    var offset = sealed.recordsEnd
    while offset >= step, sealed.recordsEnd - offset < longest {
      offset -= step
      let bytes = try translated { () throws(IOError) in
        try file.file.read(at: offset, count: Format.recordHeaderSize)
      }
      let header = bytes.withUnsafeBytes { RecordHeader($0, identity: identity) }
      guard let header, offset + UInt64(header.length) == sealed.recordsEnd else { continue }
      let hasContent = header.type == .data || header.type == .zero
      return hasContent ? RecordHint(header) : header.hint
    }
    return RecordHint()
  }

  /// Whether a segment that the MANIFEST does not know holds records that are nowhere else: a sync that
  /// says what it ends was moved commits nothing as long as the MANIFEST does not know its segment. In a branch
  /// each record counts.
  func holdsCommit(_ name: LogFileName, isBranch: Bool = false) throws(VaultError) -> Bool {
    let (file, size) = try translated { () throws(IOError) in
      let file = LogFile(try File(files.path(name), .reading, on: system))
      return (file, try file.file.status().size)
    }
    var scanner = RecordScanner(file, 0..<size, identity: identity)
    while let step = try scanner.next() {
      guard case .record(let header, let offset, _) = step else { continue }
      if isBranch { return true }
      guard header.type == .sync else { continue }
      let payload = try scanner.bytes(of: header, at: offset).flatMap {
        PayloadRecord.payload(of: header, in: $0, identity: identity)
      }
      // One that is torn ends nothing.
      guard let sync = payload.flatMap({ SyncPayload($0.bytes) }) else { continue }
      if sync.flags & SyncPayload.moved == 0 { return true }
    }
    return false
  }
}
