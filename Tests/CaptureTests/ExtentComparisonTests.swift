import Bytes
import FileIO
import Support
import Testing

@testable import Capture

/// Goal: two extent lists give exactly the stretches that may differ. Method: lists made by hand, and
/// random page maps, split into extents at random, against a comparison page by page.
@Suite struct ExtentComparisonTests {
  static let page: UInt64 = 4096

  static func extent(_ page: UInt64, at place: UInt64, pages: UInt64, flags: UInt32 = 0)
    -> FileExtent
  {
    FileExtent(
      logical: page * Self.page, physical: place * Self.page, length: pages * Self.page,
      flags: flags)
  }

  static func changes(
    _ newer: [FileExtent], _ older: [FileExtent], size: UInt64
  ) -> [Range<UInt64>] {
    var (new, old) = (newer.makeIterator(), older.makeIterator())
    var comparison = ExtentComparison<Never>(newer: { new.next() }, older: { old.next() })
    return comparison.changedRanges(size: size)
  }

  @Test("equal places, however they are split into extents, are no change")
  func splitsDoNotMatter() {
    let whole = [Self.extent(0, at: 100, pages: 8)]
    let split = [Self.extent(0, at: 100, pages: 3), Self.extent(3, at: 103, pages: 5)]
    #expect(Self.changes(whole, split, size: 8 * Self.page) == [])
    #expect(Self.changes(split, whole, size: 8 * Self.page) == [])
  }

  @Test("a page that moved, a hole that was filled and data that became a hole are found")
  func changesAreFound() {
    let old = [Self.extent(0, at: 100, pages: 4), Self.extent(8, at: 200, pages: 2)]
    let new = [
      Self.extent(0, at: 100, pages: 2), Self.extent(2, at: 500, pages: 1),
      Self.extent(3, at: 103, pages: 1), Self.extent(5, at: 300, pages: 1),
    ]
    let found = Self.changes(new, old, size: 10 * Self.page)
    #expect(
      found == [
        2 * Self.page..<3 * Self.page, 5 * Self.page..<6 * Self.page,
        8 * Self.page..<10 * Self.page,
      ])
  }

  @Test(
    "an extent whose place says nothing of its bytes is always compared",
    arguments: [0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x800] as [UInt32])
  func flaggedExtents(flags: UInt32) {
    let old = [Self.extent(0, at: 100, pages: 2), Self.extent(2, at: 102, pages: 2, flags: flags)]
    #expect(Self.changes(old, old, size: 4 * Self.page) == [2 * Self.page..<4 * Self.page])
  }

  @Test("shared, merged and last extents are compared by their places")
  func harmlessFlags() {
    let new = [Self.extent(0, at: 100, pages: 2, flags: 0x2000 | 0x1000 | 0x1)]
    #expect(Self.changes(new, [Self.extent(0, at: 100, pages: 2)], size: 2 * Self.page) == [])
  }

  @Test("what lies behind the disk's end is left out, and pages are whole")
  func endsAndPages() {
    let new = [FileExtent(logical: 5000, physical: 9000, length: 100_000, flags: 0)]
    #expect(Self.changes(new, [], size: 20_000) == [4096..<20_000])
  }

  @Test("random page maps give what a comparison page by page gives")
  func randomMaps() {
    var random = SeededGenerator(for: "extents")
    for _ in 0..<300 {
      let pages = random.number(1..<60)
      let old = (0..<pages).map { _ in random.number(0..<4) == 0 ? nil : random.number(0..<8) }
      var new = old
      for _ in 0..<random.number(0..<10) {
        new[random.number(0..<pages)] = random.once(in: 3) ? nil : random.number(0..<8)
      }
      let expected = (0..<pages).filter { old[$0] != new[$0] || new[$0] == 7 }
      let found = Self.changes(
        Self.extents(new, &random), Self.extents(old, &random),
        size: UInt64(pages) * Self.page)
      let foundPages = found.flatMap { $0.lowerBound / Self.page..<$0.upperBound / Self.page }
      #expect(foundPages == expected.map(UInt64.init))
      #expect(zip(found, found.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
    }
  }

  /// Extents of pages with these places; place 7 is one that can't be compared. A place p of page n
  /// lies at p * 1000 + n, so that neighbours of one place are contiguous.
  static func extents(_ map: [Int?], _ random: inout SeededGenerator) -> [FileExtent] {
    var extents: [FileExtent] = []
    for (page, place) in map.enumerated() {
      guard let place else { continue }
      let new = extent(
        UInt64(page), at: UInt64(place * 1000 + page), pages: 1, flags: place == 7 ? 0x8 : 0)
      if let last = extents.last, last.end == new.logical, last.flags == new.flags,
        last.physical + last.length == new.physical, !random.once(in: 3)
      {
        extents[extents.count - 1].length += Self.page
      } else {
        extents.append(new)
      }
    }
    return extents
  }
}

/// Goal: masks of pages are walked as runs.
@Suite struct PageRunsTests {
  @Test("the runs of a mask are its bits, in order and apart")
  func runsAreTheBits() {
    for mask in UInt16.min...UInt16.max {
      var seen: UInt16 = 0
      var end = -1
      for run in PageRuns(mask) {
        guard run.lowerBound > end, !run.isEmpty else {
          Issue.record("runs of \(mask) touch")
          return
        }
        for page in run { seen |= 1 << UInt16(page) }
        end = run.upperBound
      }
      guard seen == mask else {
        Issue.record("the runs of \(mask) are \(seen)")
        return
      }
    }
  }
}

/// Goal: a clone's name tells all it must, and nothing else passes for one.
@Suite struct CloneNameTests {
  @Test("a clone's name is read back")
  func roundTrip() {
    let name = CloneName(
      machine: .random(), disk: 12, cycle: 0xAB, after: 0, number: SequenceNumber(rawValue: 0x1F))
    #expect(CloneName(fileName: name.fileName) == name)
    #expect(
      name.fileName.hasSuffix("_disk12_00000000000000ab_after_0000000000000000_at_000000000000001f")
    )
  }

  @Test("names of other files are no clones")
  func otherNames() {
    let good = CloneName(machine: .random(), disk: 0, cycle: 1, after: 2, number: .zero).fileName
    let older = good.split(separator: "_").prefix(5).joined(separator: "_")
    for bad in ["", "disk0", older, good + ".new", good.uppercased(), good + "0", "_" + good] {
      #expect(CloneName(fileName: bad) == nil)
    }
    #expect(CloneName(fileName: good.replacing("disk0", with: "disk00")) == nil)
  }
}
