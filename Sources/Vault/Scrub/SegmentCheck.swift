internal import Bytes
internal import FileIO

/// Checking the records of a segment.
extension LogCheck {
  /// Checks one segment; `holdsRun` says whether readers use the run behind its records.
  func check(_ segment: ManifestState.Segment, holdsRun: Bool) throws(VaultError) {
    let name = LogFileName(.segment, segment.number)
    let file: LogFile
    do throws(VaultError) {
      file = try place.files.open(name)
    } catch {
      guard error.cause?.isMissing == true else { throw error }
      return add(missing(name, segment))
    }
    let size = try translated { () throws(IOError) in try file.file.status().size }
    try checkHeader(file, name)
    sums[segment.number, default: (0, 0)].records &+= 0
    var end = segment.sealed?.recordsEnd ?? size
    if segment.sealed == nil {
      let replay = try replay(segment, size)
      report(replay, name)
      if let lost = replay.lost { add(lostEnd(name, lost)) }
      end = min(end, replay.end)
    }
    if size < end { add(truncated(name, size, segment)) }
    let start = UInt64(segment.headerLength)
    try walk(file, name, start..<max(start, min(end, size)), isOpen: segment.sealed == nil)
    // What follows the records of a segment that was closed as a crash or a failed sync left it was
    // never acknowledged, and is no trailer.
    if holdsRun { try checkTrailer(file, name, size) }
  }

  private func lostEnd(_ name: LogFileName, _ lost: Range<UInt64>) -> Damage {
    Damage(
      file: name.description, offset: lost.lowerBound,
      what: "the log is cut short: \(lost.count) bytes of records are gone, and what came last "
        + "with them")
  }

  private func missing(_ name: LogFileName, _ segment: ManifestState.Segment) -> Damage {
    Damage(
      file: name.description, offset: 0, what: "the file is missing",
      hurts: readers.hurt(from: segment.firstSequence.rawValue))
  }

  private func truncated(
    _ name: LogFileName, _ size: UInt64, _ segment: ManifestState.Segment
  ) -> Damage {
    Damage(
      file: name.description, offset: size,
      what: "the file is cut short: it has \(size) bytes, and its records take "
        + "\(segment.sealed?.recordsEnd ?? 0)",
      hurts: readers.hurt(from: segment.firstSequence.rawValue))
  }

  private func checkHeader(_ file: LogFile, _ name: LogFileName) throws(VaultError) {
    let bytes = try translated { () throws(IOError) in try file.file.read(at: 0, count: 1 << 16) }
    let found = SegmentHeader.decode(bytes)
    guard found?.identity != place.identity || found?.header.number != name.number else { return }
    add(
      Damage(
        file: name.description, offset: 0,
        what: "the segment's header is damaged; only 'tidemark vault rebuild' needs it"))
  }

  /// What a replay of the open segment found.
  private func report(_ replay: SegmentReplay, _ name: LogFileName) {
    for damage in replay.damages where !damage.repaired {
      let disk = damage.hint.map { DiskNumber(truncatingIfNeeded: $0.disk) }
      let range = damage.hint.map { hint in
        UInt64(hint.block) * UInt64(Layout.blockSize)..<(UInt64(hint.block) + UInt64(hint.count))
          * UInt64(Layout.blockSize)
      }
      let lost = replay.entries.filter {
        $0.flags & RunEntry.damaged != 0 && damage.range.contains(UInt64($0.offset))
      }
      let first = lost.map(\.sequence).min()
      add(
        Damage(
          file: name.description, offset: damage.range.lowerBound,
          what: lost.isEmpty
            ? "a mark or sync record is lost" : "records are lost, their headers are damaged",
          disk: lost.isEmpty ? nil : disk, range: lost.isEmpty ? nil : range,
          hurts: first.map { readers.hurt(from: $0) } ?? Hurt()))
    }
  }

  private func walk(
    _ file: LogFile, _ name: LogFileName, _ range: Range<UInt64>, isOpen: Bool
  ) throws(VaultError) {
    guard !range.isEmpty else { return }
    var scanner = RecordScanner(file, range, identity: place.identity)
    while let step = try scanner.next() {
      switch step {
      case .gap(let gap):
        // What a gap in a sealed segment hurts, the comparison with the index tells.
        try advance(UInt64(gap.count))
        if !isOpen {
          add(
            Damage(
              file: name.description, offset: gap.lowerBound,
              what:
                "\(gap.count) bytes are no record; reads go by the index and are hurt only where "
                + "another line says so"))
        }
      case .record(let header, let offset, let repaired):
        report.records += 1
        if repaired { addRepaired(name, offset) }
        try checkBody(header, at: offset, name, &scanner)
        try advance(UInt64(header.length))
      }
    }
  }

  private func addRepaired(_ name: LogFileName, _ offset: UInt64) {
    add(
      Damage(
        file: name.description, offset: offset,
        what: "one bit of a record's header or payload is flipped; it is put right when it is read")
    )
  }

  private func checkBody(
    _ header: RecordHeader, at offset: UInt64, _ name: LogFileName, _ scanner: inout RecordScanner
  ) throws(VaultError) {
    guard let record = try scanner.bytes(of: header, at: offset) else { return }
    var entries: [RunEntry] = []
    RunEntry.entries(of: header, segment: name.number, offset: offset, into: &entries)
    for entry in entries { sums[name.number, default: (0, 0)].records &+= entry.fingerprint }
    if header.type == .mark || header.type == .sync {
      let payload = PayloadRecord.payload(of: header, in: record, identity: place.identity)
      if payload?.repaired == true { addRepaired(name, offset) }
      if payload == nil {
        add(
          Damage(
            file: name.description, offset: offset,
            what: "the payload of a mark or sync record is damaged; the MANIFEST has it too"))
      }
      return
    }
    let damaged = RecordCheck.damagedPages(
      of: header, in: record, identity: place.identity, coder: coder, scratch: cell)
    if damaged != 0, let entry = entries.first { addDamaged(entry, damaged, name) }
  }

  /// Names the pages of a record that can't be read any more.
  func addDamaged(_ entry: RunEntry, _ pages: UInt16, _ name: LogFileName) {
    let first = UInt64(pages.trailingZeroBitCount * Layout.pageSize)
    let end = UInt64((16 - pages.leadingZeroBitCount) * Layout.pageSize)
    let start = entry.key.index * UInt64(Layout.blockSize)
    add(
      Damage(
        file: name.description, offset: UInt64(entry.offset),
        what: "cells of a record are damaged", disk: entry.key.disk,
        range: start + first..<start + end,
        hurts: readers.hurt(
          reading: pages, of: entry.key.index, on: entry.key.disk, sequence: entry.sequence)))
  }

  /// The end of the run behind the records, by which rebuild would find it.
  private func checkTrailer(
    _ file: LogFile, _ name: LogFileName, _ size: UInt64
  ) throws(VaultError) {
    guard size >= UInt64(RunTrailer.size) else { return }
    let bytes = try translated { () throws(IOError) in
      try file.file.read(at: size - UInt64(RunTrailer.size), count: RunTrailer.size)
    }
    guard RunTrailer(bytes, identity: place.identity) == nil else { return }
    add(
      Damage(
        file: name.description, offset: size - UInt64(RunTrailer.size),
        what: "the trailer is damaged; only 'tidemark vault rebuild' would use it"))
  }
}

extension RunEntry {
  /// A number that two sets of equal entries have equal sums of.
  var fingerprint: UInt64 {
    var value = key.rawValue &* 0x9E37_79B9_7F4A_7C15
    value ^= sequence &* 0xC2B2_AE3D_27D4_EB4F
    value ^= (UInt64(offset) << 32 | UInt64(dataMask) << 16 | UInt64(zeroMask)) &* 0x1656_67B1
    for cell in 0..<Layout.cellsPerBlock {
      value = (value ^ UInt64(cellLengths[cell])) &* 0x100_0000_01B3
    }
    return value ^ value >> 29
  }
}
