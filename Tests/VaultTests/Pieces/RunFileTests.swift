import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: a run in files answers as the sorted array it was made of. Method: random entries in runs of
/// one page up to several files, asked for random places.
struct RunFileTests {
  @Test(
    "a run answers as the array it was made of",
    arguments: [(1, 10), (101, 1000), (102, 1000), (103, 1000), (5000, 20_000), (12_000, 700)])
  func answersAsArray(count: Int, perFile: Int) throws {
    var random = SeededGenerator(for: "run of \(count)")
    let bench = try RunBench()
    let sorted = MemoryRun(RunBench.entries(count, &random)).entries
    let run = try bench.write(sorted, perFile: perFile)
    #expect(run.partitions.count == (count + perFile - 1) / perFile)
    #expect(run.set.entryCount == UInt64(count))
    for _ in 0..<1500 {
      let some = sorted[random.number(0..<count)]
      let key = random.once(in: 2) ? some.key : RunBench.entries(1, &random)[0].key
      let sequence = random.once(in: 4) ? UInt64.max : UInt64(random.number(0..<count + 2))
      let place = sorted.firstIndex { !$0.precedes(key, sequence) }
      let expected = place.map { sorted[$0] }
      #expect(try run.firstEntry(at: key, sequence) == expected)
      let newest = try run.newestEntry(of: key, sequence)
      #expect(newest == expected.flatMap { $0.key == key ? $0 : nil })
      try compareCollected(run, sorted, key, cut: sequence, &random)
    }
  }

  private func compareCollected(
    _ run: FileRun, _ sorted: [RunEntry], _ key: BlockKey, cut: UInt64,
    _ random: inout SeededGenerator
  ) throws {
    let wanted = UInt16(truncatingIfNeeded: random.next()) | 1
    let timeline = Timeline(cut: SequenceNumber(rawValue: cut), branchings: [])
    func query(_ scratch: ReadScratch) -> BlockQuery {
      BlockQuery(key: key, wanted: wanted, timeline: timeline, scratch: scratch)
    }
    let (ours, theirs) = (ReadScratch(), ReadScratch())
    var (first, second) = (query(ours), query(theirs))
    try run.collect(&first)
    MemoryRun(sorted).collect(&second)
    #expect(ours.taken.map(\.entry) == theirs.taken.map(\.entry))
    #expect(ours.taken.map(\.pages) == theirs.taken.map(\.pages))
    #expect(first.wanted == second.wanted)
  }

  @Test("one block written 10,000 times costs a read few pages, however old the page it wants")
  func hotBlock() throws {
    let bench = try RunBench()
    let hot = BlockKey(disk: 0, index: 7)
    // Page 9 was written once, long ago; the others ever since.
    var entries = [RunBench.entry(BlockKey(disk: 0, index: 3), 1)]
    entries.append(RunBench.entry(hot, 2, dataMask: 1 << 9))
    for number in UInt64(3)..<10_003 {
      entries.append(RunBench.entry(hot, number, dataMask: 1 << UInt16(number % 9)))
    }
    entries.append(RunBench.entry(BlockKey(disk: 0, index: 8), 10_003))
    let run = try bench.write(MemoryRun(entries).entries, perFile: 1_000_000)
    #expect(run.partitions[0].description.entryPages > 90)
    for cut in [UInt64.max, 10_000, 5000, 20] {
      // A new cache, so that every page costs a read.
      let cold = try FileRun(
        run.set, identity: bench.identity, files: bench.files,
        cache: PageCache(byteCount: 8 << 20))
      _ = bench.disk.takeReads()
      let scratch = ReadScratch()
      var query = BlockQuery(
        key: hot, wanted: 1 << 9,
        timeline: Timeline(cut: SequenceNumber(rawValue: cut), branchings: []), scratch: scratch)
      try cold.collect(&query)
      #expect(scratch.taken.map(\.entry.sequence) == [2])
      #expect(query.wanted == 0)
      #expect(bench.disk.takeReads() <= 5)
    }
  }

  @Test("a damaged fence or root page is made anew, and every answer stays the same")
  func damagedInnerPages() throws {
    var random = SeededGenerator(for: "inner pages")
    let bench = try RunBench()
    let sorted = MemoryRun(RunBench.entries(12_000, &random)).entries
    let run = try bench.write(sorted, perFile: 20_000)
    let description = run.partitions[0].description
    #expect(description.fencePages == 2)
    for page in description.entryPages...description.rootPage {
      let path = bench.files.path(description.file)
      let offset = Int(page) * Format.indexPageSize + random.number(0..<200)
      try bench.disk.disk.flipBit(3, of: offset, in: path)
      let damaged = try FileRun(
        run.set, identity: bench.identity, files: bench.files,
        cache: PageCache(byteCount: 8 << 20))
      #expect(try damaged.partitions[0].damagedPages().map(\.page) == [page])
      for _ in 0..<200 {
        let key = sorted[random.number(0..<sorted.count)].key
        let expected = sorted.first { !$0.precedes(key, .max) }
        #expect(try damaged.firstEntry(at: key, .max) == expected)
      }
      try bench.disk.disk.flipBit(3, of: offset, in: path)
    }
  }

  @Test("a damaged entry page fails the look-ups that need it and no others, and is named")
  func damagedEntryPage() throws {
    var random = SeededGenerator(for: "entry pages")
    let bench = try RunBench()
    let sorted = MemoryRun(RunBench.entries(3000, &random)).entries
    let run = try bench.write(sorted, perFile: 20_000)
    let page = 11
    try bench.disk.disk.flipBit(
      0, of: page * Format.indexPageSize + 1000, in: bench.files.path(run.set.id))
    let damaged = try FileRun(
      run.set, identity: bench.identity, files: bench.files, cache: PageCache(byteCount: 8 << 20))
    let hurt = try #require(try damaged.partitions[0].damagedPages().first)
    #expect(hurt.page == UInt32(page))
    let keys = try #require(hurt.keys)
    var failed = 0
    for entry in sorted {
      do {
        #expect(try damaged.newestEntry(of: entry.key, entry.sequence) == entry)
      } catch {
        #expect(error.code == .damaged)
        #expect(keys.contains(entry.key.rawValue))
        failed += 1
      }
    }
    #expect((Format.entriesPerPage...Format.entriesPerPage + 1).contains(failed))
  }

  @Test("several runs merge into their entries in order")
  func merging() throws {
    var random = SeededGenerator(for: "merging")
    let bench = try RunBench()
    let all = RunBench.entries(4000, &random)
    var files: [RunFile] = []
    for part in 0..<5 {
      let entries = all.filter { Int($0.sequence) * 5 / 4001 == part }
      let run = try bench.write(
        MemoryRun(entries).entries, perFile: 300, firstFile: UInt32(part * 10 + 1))
      files += run.partitions
    }
    var merged: [RunEntry] = []
    try RunMerger.merge(files) { merged.append($0) }
    #expect(merged == MemoryRun(all).entries)
  }
}
