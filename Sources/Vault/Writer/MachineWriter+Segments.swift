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
    try checkRoom()
    let number = try nextFileNumber()
    let header = SegmentHeader(
      number: number, firstSequence: firstPendingSequence, created: .now(),
      configuration: configuration)
    let bytes = header.encode(identity: machine.identity)
    let file = try create(LogFileName(.segment, number))
    try translated { () throws(IOError) in
      try file.write(bytes, at: 0)
      try file.sync()
      try machine.system.syncDirectory(machine.directory)
    }
    try manifest.append([
      .segmentOpened(
        number: number, headerLength: UInt32(bytes.count), firstSequence: header.firstSequence)
    ])
    let opened = OpenSegment(
      number: number, headerLength: UInt32(bytes.count), file: LogFile(file), replay: nil)
    segment = opened
    return opened
  }

  /// The first number that is in no sealed segment.
  private var firstPendingSequence: SequenceNumber {
    (state.segments.last { $0.sealed != nil }?.sealed?.lastSequence ?? .zero).next
  }

  /// Stops while there is still the room that consolidating a full vault will need.
  private func checkRoom() throws(VaultError) {
    let space = try translated { () throws(IOError) in
      try machine.system.space(at: machine.directory)
    }
    let reserve = 2 * min(1 << 30, space.total / 64)
    guard space.free > reserve else {
      throw VaultError(
        .full,
        "The vault '\(vault.path)' is full: \(space.free) bytes are free, and "
          + "\(reserve) are kept in reserve. Make room on its file system, then run this again; "
          + "nothing that was stored is lost.")
    }
  }

  func nextFileNumber() throws(VaultError) -> UInt32 {
    let names = try translated { () throws(IOError) in
      try machine.system.list(machine.directory)
    }
    let highest = names.compactMap { LogFileName($0)?.number }.max() ?? 0
    return max(state.nextFile, highest + 1)
  }

  func create(_ name: LogFileName) throws(VaultError) -> File {
    do throws(IOError) {
      let path = machine.files.path(name)
      let permissions = vault.permissions
      let file = try File(path, .creating(permissions: permissions.file), on: machine.system)
      try permissions.apply(to: path, on: machine.system)
      return file
    } catch {
      throw VaultError(error)
    }
  }

  /// Seals a segment whose records are all durable.
  ///
  /// Protocol: append the run and its trailer, fdatasync, then one MANIFEST transaction. A crash
  /// before that leaves a tail behind the records, which is cut off like any other.
  func seal(_ segment: OpenSegment) throws(VaultError) {
    guard !segment.entries.isEmpty else { return try finish(segment, run: nil) }
    let page = UInt64(Format.indexPageSize)
    let base = (segment.end + page - 1) / page * page
    var run: RunDescription?
    do throws(IOError) {
      let name = LogFileName(.segment, segment.number)
      run = try segment.append { file throws(IOError) in
        try writeRun(segment.entries, name, base: base, to: file, of: segment)
      }
    } catch {
      guard error.operation == "sync" else { throw VaultError(error) }
    }
    if let run { try finish(segment, run: run) } else { try closeAsItIs(segment) }
  }

  private func writeRun(
    _ entries: [RunEntry], _ name: LogFileName, base: UInt64, to file: borrowing File,
    of segment: OpenSegment
  ) throws(IOError) -> RunDescription {
    var writer = RunWriter(name, base: base, identity: machine.identity)
    for entry in MemoryRun(entries).entries { try writer.add(entry, to: file) }
    let (end, last) = (segment.durable, lastSequence.rawValue)
    let first = firstPendingSequence.rawValue
    return try writer.finish(to: file) { run in
      RunTrailer(run: run, recordsEnd: end, firstSequence: first, lastSequence: last)
    }
  }

  /// Enters a segment as sealed where it is durable, with its points and its run.
  private func finish(_ segment: OpenSegment, run: RunDescription?) throws(VaultError) {
    let points = segment.durablePoints
    let numbers = segment.durableEntries.map(\.sequence) + points.map(\.sequence.rawValue)
    let last = numbers.max() ?? firstPendingSequence.rawValue - 1
    let sealed = ManifestEntry.SealedSegment(
      number: segment.number, recordsEnd: segment.durable,
      lastSequence: SequenceNumber(rawValue: last), lastTime: lastTime, disks: sizes)
    var entries: [ManifestEntry] = [.segmentSealed(sealed)]
    if let run, let set = RunSet([run]) { entries.append(.runAdded(set)) }
    entries += points.map(ManifestEntry.point)
    try manifest.append(entries)
    self.segment = nil
    isClosed = true
  }

  /// Closes a segment at what is durable of it, without writing to it again; its run goes to a file of
  /// its own.
  func closeAsItIs(_ segment: OpenSegment) throws(VaultError) {
    let entries = segment.durableEntries
    guard !entries.isEmpty else { return try finish(segment, run: nil) }
    let name = LogFileName(.run, try nextFileNumber())
    let file = try create(name)
    let run = try translated { () throws(IOError) in
      let run = try writeRun(entries, name, base: 0, to: file, of: segment)
      try file.sync()
      try machine.system.syncDirectory(machine.directory)
      return run
    }
    try finish(segment, run: run)
  }

  /// After a failed fdatasync: closes the segment at what was durable before, and writes the records in
  /// question to a new one.
  func moveUnacknowledged(from segment: OpenSegment, flags: UInt32) throws(VaultError) {
    let records = segment.unacknowledged
    try closeAsItIs(segment)
    try addAgain(records, flags: flags)
  }

  /// Adds encoded records, the syncs among them left out, to a new segment and commits them.
  func addAgain(_ records: [UInt8], flags: UInt32) throws(VaultError) {
    let segment = try openSegment()
    var offset = 0
    records.withUnsafeBytes { bytes in
      while offset < bytes.count {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard let header = RecordHeader(rest, identity: machine.identity) else { break }
        let record = UnsafeRawBufferPointer(rebasing: rest[..<Int(header.length)])
        offset += record.count
        guard header.type != .sync else { continue }
        let payload =
          header.type == .mark
          ? PayloadRecord.payload(of: header, in: record, identity: machine.identity) : nil
        let point = payload.flatMap {
          RecoveryPoint(sequence: header.sequence, time: header.time, payload: $0.bytes)
        }
        segment.add(header, record, point: point)
      }
    }
    addSync(flags: flags, to: segment)
    try translated { () throws(IOError) in try segment.sync() }
  }
}
