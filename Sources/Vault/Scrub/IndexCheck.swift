internal import Bytes
internal import Codecs
internal import FileIO

/// Checking the index: its pages, and that it names the records that are there.
extension LogCheck {
  func check(_ set: RunSet) throws(VaultError) {
    for partition in set.partitions {
      let run: RunFile
      do throws(VaultError) {
        run = try RunFile(
          partition, identity: place.identity, files: place.files, cache: place.cache)
      } catch {
        guard error.code == .damaged else { throw error }
        add(
          Damage(
            file: partition.file.description, offset: partition.base,
            what: "the index can't be used: \(error.message)", hurts: readers.hurt(from: set.oldest)
          ))
        continue
      }
      for (page, keys) in try run.damagedPages() { addDamagedPage(run, page, keys, set) }
      try sum(run)
      report.indexPages += UInt64(partition.rootPage) + 1
      try advance(UInt64(partition.rootPage + 1) * UInt64(Format.indexPageSize))
    }
  }

  private func addDamagedPage(
    _ run: RunFile, _ page: UInt32, _ keys: ClosedRange<UInt64>?, _ set: RunSet
  ) {
    let offset = run.description.base + UInt64(page) * UInt64(Format.indexPageSize)
    guard let keys else {
      add(
        Damage(
          file: run.description.file.description, offset: offset,
          what: "an inner index page is damaged; it is made anew whenever it is needed"))
      return
    }
    for (disk, blocks) in Self.blocks(keys, run.description, disks) {
      let size = UInt64(Layout.blockSize)
      let end = readers.end(of: disk, from: set.oldest)
      guard blocks.lowerBound * size < end else { continue }
      add(
        Damage(
          file: run.description.file.description, offset: offset, what: "an index page is damaged",
          disk: disk, range: blocks.lowerBound * size..<min(blocks.upperBound * size, end),
          hurts: readers.hurt(from: set.oldest, on: disk)))
    }
  }

  /// The blocks of each disk that can't be looked up without the page that holds these keys.
  ///
  /// Zeroed stretches stand behind all blocks of their disk, and one of them can hide any of those.
  private static func blocks(
    _ keys: ClosedRange<UInt64>, _ run: RunDescription, _ disks: [DiskNumber]
  ) -> [(disk: DiskNumber, blocks: Range<UInt64>)] {
    disks.compactMap { disk in
      var found: Range<UInt64>?
      for level in 0..<64 where level == 0 || run.levels >> UInt64(level) & 1 != 0 {
        let last = ((UInt64(1) << 32) - 1) >> UInt64(max(0, level - 1))
        let all = BlockKey(disk: disk, level: level, index: 0).rawValue
        guard keys.lowerBound <= all + last, keys.upperBound >= all else { continue }
        let low = BlockKey(rawValue: max(keys.lowerBound, all)).blocks
        let high = BlockKey(rawValue: min(keys.upperBound, all + last)).blocks
        let start = min(found?.lowerBound ?? .max, low.lowerBound)
        found = start..<max(found?.upperBound ?? 0, high.upperBound)
      }
      return found.map { (disk, $0) }
    }
  }

  private func sum(_ run: RunFile) throws(VaultError) {
    for page in 0..<run.description.entryPages {
      let entries: [RunEntry]
      do throws(VaultError) {
        entries = try run.entries(ofPage: page)
      } catch {
        guard error.code == .damaged else { throw error }
        continue
      }
      for entry in entries where entry.flags & RunEntry.damaged == 0 {
        sums[entry.segment, default: (0, 0)].entries &+= entry.fingerprint
      }
    }
  }

  /// Where the sums of a segment differ, looks which entries lead to no intact record.
  func compareSums(_ state: ManifestState) throws(VaultError) {
    let sealed = state.segments.filter { $0.sealed != nil }.map(\.number)
    let suspects = Set(sealed.filter { sums[$0]?.records != sums[$0]?.entries })
    guard !suspects.isEmpty else { return }
    for set in state.runs {
      for partition in set.partitions {
        guard
          let run = try? RunFile(
            partition, identity: place.identity, files: place.files, cache: place.cache)
        else { continue }
        for page in 0..<partition.entryPages {
          for entry in (try? run.entries(ofPage: page)) ?? [] where suspects.contains(entry.segment)
          {
            try checkTarget(of: entry)
          }
        }
      }
    }
  }

  /// Checks the cells an entry leads to, the record's header left aside.
  private func checkTarget(of entry: RunEntry) throws(VaultError) {
    guard entry.key.level == 0, entry.dataMask != 0 else { return }
    let name = LogFileName(.segment, entry.segment)
    guard let file = try? place.files.open(name) else { return }
    var header = RecordHeader(
      type: .data, sequence: SequenceNumber(rawValue: entry.sequence),
      time: Timestamp(rawValue: 0), length: 0)
    (header.disk, header.block) = (UInt32(entry.key.disk), entry.key.index)
    (header.dataMask, header.cellLengths) = (entry.dataMask, entry.cellLengths)
    header.codec = .init(rawValue: entry.codec) ?? .none
    let cells = (0..<Layout.cellsPerBlock).reduce(0) { $0 + Int(entry.cellLengths[$1]) }
    let length = Format.recordHeaderSize + cells
    let record = try translated { () throws(IOError) in
      try file.file.read(at: UInt64(entry.offset), count: length)
    }
    guard record.count == length else { return addDamaged(entry, entry.dataMask, name) }
    let damaged = record.withUnsafeBytes {
      RecordCheck.damagedPages(
        of: header, in: $0, identity: place.identity, coder: coder, scratch: cell)
    }
    let isKnown = report.damages.contains {
      $0.file == name.description && $0.offset == UInt64(entry.offset) && $0.disk != nil
    }
    if damaged != 0, !isKnown { addDamaged(entry, damaged, name) }
  }
}
