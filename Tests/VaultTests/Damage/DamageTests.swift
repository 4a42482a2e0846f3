import Bytes
import Codecs
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: whatever happens to the bytes of a vault at rest, a read gives what was written or fails, and
/// verify says so. Method: one damage at a time, everything read and checked, and the damage undone.
/// `TIDEMARK_FLIPS` says how many bits are flipped, `TIDEMARK_SEED` which.
struct DamageTests {
  @Test("the sample holds every kind of file and record that damage can hit")
  func sampleIsRich() throws {
    let sample = try SampleVault(codec: .zstd)
    let machine = try sample.machine()
    let manifest = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system
    ).state
    let runs = manifest.runs
    #expect(sample.points.count == 36)
    #expect(manifest.segments.count > 6)
    #expect(manifest.points.count < sample.points.count, "some points are in the open segment")
    #expect(runs.contains { $0.partitions.count > 1 })
    #expect(runs.contains { $0.partitions.contains { $0.fencePages > 0 && $0.entryPages > 2 } })
    #expect(runs.contains { $0.id.kind == .segment })
    #expect(manifest.segments.count { $0.sealed != nil } > runs.count + 2, "runs were merged")
    var judge = DamageJudge(sample: sample, random: SeededGenerator(seed: 1))
    let effect = try judge.judge(points: 36, namesAll: true)
    #expect(effect.damages.isEmpty)
    #expect(effect.unreadable == 0)
  }

  @Test("a flipped bit changes no answer, or verify names what it hurts and reads of that fail")
  func flips() throws {
    var random = SeededGenerator(for: "flipped bits")
    let flips = Count.of("TIDEMARK_FLIPS", normally: 200)
    for codec in Codec.allCases {
      let sample = try SampleVault(codec: codec)
      let files = try sample.files()
      let records = try sample.recordEnds()
      var (found, hurting) = (0, 0)
      let count = (flips + 2) / 3
      for _ in 0..<count {
        let file = files[random.number(0..<files.count)]
        let offset = random.number(0..<(try sample.content(of: file).count))
        let bit = random.number(0..<8)
        let path = sample.directory + "/" + file
        try sample.disk.flipBit(bit, of: offset, in: path)
        var judge = DamageJudge(sample: sample, random: random.branch())
        do {
          let effect = try judge.judge(points: 6, namesAll: true)
          let isRecord = offset < (records[file] ?? 0)
          #expect(
            !isRecord || effect.mostAtOnePoint <= Layout.pagesPerCell,
            "byte \(offset) of \(file) hurts more than one cell")
          if effect.isFound { found += 1 }
          if effect.unreadable > 0 { hurting += 1 }
        } catch {
          Issue.record("\(codec), bit \(bit) of byte \(offset) of \(file): \(error)")
        }
        try sample.disk.flipBit(bit, of: offset, in: path)
      }
      print("\(codec): \(found) of \(count) flipped bits were found, \(hurting) hurt reads")
    }
  }

  @Test("a file cut short is an error or found, and never gives wrong bytes")
  func truncations() throws {
    var random = SeededGenerator(for: "truncations")
    let sample = try SampleVault(codec: .zstd)
    for file in try sample.files() {
      let whole = try sample.content(of: file)
      var lengths = [0, whole.count - 1, whole.count - 64, whole.count - 4096, whole.count / 2]
      for _ in 0..<3 { lengths.append(random.number(0..<whole.count)) }
      for length in lengths where (0..<whole.count).contains(length) {
        try sample.replace(file, with: Array(whole[..<length]))
        try expectFound("\(file) cut to \(length) of \(whole.count) bytes", sample, &random)
      }
      try sample.replace(file, with: whole)
    }
  }

  @Test("4 KiB of zeros where there was data are an error or found, and never give wrong bytes")
  func zeroedStretches() throws {
    var random = SeededGenerator(for: "zeroed stretches")
    let sample = try SampleVault(codec: .zlib)
    let files = try sample.files()
    for _ in 0..<Count.of("TIDEMARK_FLIPS", normally: 200) / 2 {
      let file = files[random.number(0..<files.count)]
      let whole = try sample.content(of: file)
      var bytes = whole
      var start = random.number(0..<whole.count)
      if random.once(in: 2) { start = start / 4096 * 4096 }
      let range = start..<min(start + 4096, whole.count)
      bytes.replaceSubrange(range, with: repeatElement(0, count: range.count))
      guard bytes != whole else { continue }
      try sample.replace(file, with: bytes)
      try expectFound("\(range) of \(file) zeroed", sample, &random)
      try sample.replace(file, with: whole)
    }
  }

  @Test("a file that is gone is an error or found, and never gives wrong bytes")
  func removals() throws {
    var random = SeededGenerator(for: "removals")
    let sample = try SampleVault(codec: .none)
    for file in try sample.files() {
      let whole = try sample.content(of: file)
      try sample.disk.fileSystem.remove(sample.directory + "/" + file)
      try expectFound("\(file) removed", sample, &random)
      try sample.replace(file, with: whole)
    }
  }

  /// Whatever answer has changed, it has not changed unnoticed.
  private func expectFound(
    _ what: String, _ sample: SampleVault, _ random: inout SeededGenerator
  ) throws {
    var judge = DamageJudge(sample: sample, random: random.branch())
    do {
      let effect = try judge.judge(points: 4, namesAll: false)
      if effect.missing > 0 || effect.unreadable > 0 {
        #expect(
          effect.isFound,
          "\(what): \(effect.missing) points missing, \(effect.unreadable) pages unreadable")
      }
    } catch {
      Issue.record("\(what): \(error)")
    }
  }
}
