internal import Bytes
internal import FileIO

/// Opening, sealing and abandoning segments.
extension MachineWriter {
  private var state: ManifestState { manifest.manifest.state }

  /// The segment that records are added to, made if there is none.
  ///
  /// Protocol of making one: create the file, write the header, fdatasync, fsync the directory, then
  /// one MANIFEST transaction. A crash before that leaves a file without a record, which the next
  /// writer removes.
  func openSegment() throws(VaultError) -> OpenSegment {
    if let segment { return segment }
    try place.checkRoom()
    let (opened, entry) = try makeSegment(firstSequence: firstPendingSequence)
    try makeDurable(opened)
    try manifest.append([entry])
    segment = opened
    return opened
  }

  /// Makes the file of a segment, with its header and nothing else; not durable.
  private func makeSegment(
    firstSequence: SequenceNumber
  ) throws(VaultError) -> (OpenSegment, ManifestEntry) {
    let number = try nextFileNumber()
    var header = SegmentHeader(
      number: number, firstSequence: firstSequence, created: .now(),
      configuration: configuration)
    header.epoch = epoch
    header.incarnation = branchings.last { $0.kind == .incarnation }?.number ?? 0
    let (file, entry) = try place.makeSegment(header)
    return (OpenSegment(header, file: file), entry)
  }

  private func makeDurable(_ segment: OpenSegment) throws(VaultError) {
    try translated { () throws(IOError) in
      try segment.sync()
      try machine.system.syncDirectory(machine.directory)
    }
  }

  /// The first number that is in no sealed segment.
  private var firstPendingSequence: SequenceNumber {
    (state.segments.last { $0.sealed != nil }?.sealed?.lastSequence ?? .zero).next
  }

  func nextFileNumber() throws(VaultError) -> UInt32 { try place.nextFileNumber(state) }

  /// Seals a segment whose records are all durable.
  ///
  /// Protocol: append the run and its trailer, fdatasync, then one MANIFEST transaction. A crash
  /// before that leaves a tail behind the records, which is cut off like any other.
  func seal(_ segment: OpenSegment) throws(VaultError) {
    guard !segment.entries.isEmpty else {
      return try closeAsItIs(segment, moving: [], flags: 0)
    }
    let page = UInt64(Format.indexPageSize)
    let base = (segment.end + page - 1) / page * page
    var run: RunDescription?
    do throws(IOError) {
      let name = LogFileName(.segment, segment.number)
      run = try segment.append { file throws(IOError) in
        try writeRun(
          segment.entries, name, base: base, to: file, of: segment, lastSequence: lastSequence)
      }
    } catch {
      guard error.operation == "sync" else { throw VaultError(error) }
    }
    guard let run else { return try closeAsItIs(segment, moving: [], flags: 0) }
    try manifest.append(sealing(segment, run, lastSequence: lastSequence))
    self.segment = nil
    isClosed = true
  }

  private func writeRun(
    _ entries: [RunEntry], _ name: LogFileName, base: UInt64, to file: borrowing File,
    of segment: OpenSegment, lastSequence: SequenceNumber
  ) throws(IOError) -> RunDescription {
    let (end, last) = (segment.durable, lastSequence.rawValue)
    let first = firstPendingSequence.rawValue
    return try place.write(MemoryRun(entries).entries, to: file, as: name, base: base) { run in
      RunTrailer(run: run, recordsEnd: end, firstSequence: first, lastSequence: last)
    }
  }

  /// What enters a segment as sealed where it is durable, with its points and its run.
  private func sealing(
    _ segment: OpenSegment, _ run: RunDescription?, lastSequence: SequenceNumber
  ) -> [ManifestEntry] {
    let sealed = ManifestEntry.SealedSegment(
      number: segment.number, recordsEnd: segment.durable, lastSequence: lastSequence,
      lastTime: lastTime, disks: sizes)
    var entries: [ManifestEntry] = [.segmentSealed(sealed)]
    if let run, let set = RunSet([run]) { entries.append(.runAdded(set)) }
    return entries + segment.durablePoints.map(ManifestEntry.point)
  }

  /// Closes a segment at what is durable of it, without writing to it again, and adds the encoded
  /// `records`, the syncs among them left out, to a new one.
  ///
  /// Protocol: the closed segment's run goes to a file of its own; the new segment gets the records and
  /// a sync that says they were moved; both are made durable with their names; then one MANIFEST
  /// transaction puts the new segment behind the closed one. A crash before that leaves two files that
  /// the next writer removes, and the old segment as it was: a record is never in neither. The room for
  /// this may be taken from the reserve. `end` is the newest number of the closed segment where that is
  /// not the newest of all and nothing is moved.
  func closeAsItIs(
    _ segment: OpenSegment, moving records: [UInt8], flags: UInt32, last end: SequenceNumber? = nil
  ) throws(VaultError) {
    let moved = Self.split(records, machine.identity).filter { $0.header.type != .sync }
    let last = moved.first.map { SequenceNumber(rawValue: $0.header.sequence.rawValue - 1) }
    let newest = last ?? end ?? lastSequence
    let run = try writeOwnRun(of: segment, lastSequence: newest)
    var entries = sealing(segment, run, lastSequence: newest)
    guard let last else {
      try manifest.append(entries)
      self.segment = nil
      isClosed = true
      return
    }
    let (opened, entry) = try makeSegment(firstSequence: last.next)
    for record in moved { add(Array(records[record.range]), to: opened) }
    addSync(
      flags: flags & (SyncPayload.endsAtCut | SyncPayload.commits) | SyncPayload.moved, to: opened)
    try makeDurable(opened)
    entries.append(entry)
    try manifest.append(entries)
    self.segment = opened
  }

  /// The run of what is durable of a segment, in a file of its own; nil if that is nothing.
  private func writeOwnRun(
    of segment: OpenSegment, lastSequence: SequenceNumber
  ) throws(VaultError) -> RunDescription? {
    let entries = segment.durableEntries
    guard !entries.isEmpty else { return nil }
    let name = LogFileName(.run, try nextFileNumber())
    let file = try place.create(name)
    return try translated { () throws(IOError) in
      let run = try writeRun(
        entries, name, base: 0, to: file, of: segment, lastSequence: lastSequence)
      try file.sync()
      try machine.system.syncDirectory(machine.directory)
      return run
    }
  }

  /// Encoded records that follow each other, taken apart.
  private static func split(
    _ records: [UInt8], _ identity: LogIdentity
  ) -> [(header: RecordHeader, range: Range<Int>)] {
    var found: [(header: RecordHeader, range: Range<Int>)] = []
    records.withUnsafeBytes { bytes in
      var offset = 0
      while offset < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard let header = RecordHeader(rest, identity: identity) else { return }
        found.append((header, offset..<offset + Int(header.length)))
        offset += Int(header.length)
      }
    }
    return found
  }
}
