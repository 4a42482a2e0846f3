import Foundation
import Support
import Testing

/// Scripts/bench works from end to end, with sizes so tiny that its numbers mean nothing: they are
/// looked for, and never judged.
struct BenchTests {
  /// The top of the source tree.
  private static let root = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  @Test(
    "the benchmarks run, give every number, and leave nothing behind",
    .enabled(
      if: Available.root && Available.fuse && Available.programs("fio", "qemu-img", "restic")),
    .timeLimit(.minutes(30)))
  func quick() throws {
    let directory = try TemporaryDirectory("bench-test")
    let result = try Program.run(
      "Scripts/bench", "--quick", "--json",
      environment: [
        "TIDEMARK_BINARY": Product.tidemark,
        "TIDEMARK_BENCHMARKS": Product.path("Benchmarks"),
        "TIDEMARK_TEST_DIRECTORY": directory.path,
      ], in: Self.root.path, seconds: 500)
    try #require(result.succeeded, "\(result.report)")
    let lines = try result.output.split(separator: "\n").map {
      try #require(
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "no JSON: \($0)")
    }
    let measured = lines.filter {
      $0["type"] as? String == "number" && ($0["value"] as? Double ?? 0) > 0
    }
    let numbers = Set(measured.compactMap { $0["name"] as? String })
    for name in Self.expected { #expect(numbers.contains(name), "no number \(name)") }
    #expect(lines.count { $0["type"] as? String == "budget" } >= 25)
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
  }

  private static var expected: [String] {
    let disks = ["passed-through/3", "qemu/1", "qemu/3"]
    let vaults = ["zstd", "zlib", "none"].flatMap { ["tidemark-\($0)/1", "tidemark-\($0)/3"] }
    let reads = [
      "random-4k-depth-1", "random-4k-depth-8", "random-4k-in-data-depth-1",
      "random-4k-in-data-depth-8", "sequential-1m-direct", "sequential-1m-buffered", "open",
      "memory",
    ]
    let openings = [
      "open-mount", "open-mount-cold", "open-point", "open-point-worst", "open-memory",
    ]
    let replication =
      ["first/restic", "first/zstd", "first/tidemark-reflink", "first/tidemark-scan"]
      + ["cycle/reflink", "cycle/scan", "cycle-write-stall/reflink", "cycle-wire-ratio/reflink"]
      + ["delay-median/rest", "delay-99th/load", "service-memory/8-disks"]
    let branches =
      ["write-4k-depth-1", "write-4k-depth-8", "write-4k-synced", "read-4k-depth-1"]
      .flatMap { ["branch-\($0)/qemu", "branch-\($0)/tidemark"] }
      + ["branch-memory/tidemark", "failover-first-write/tidemark"]
    return replication + branches
      + reads.flatMap { read in (disks + vaults).map { "\(read)/\($0)" } }
      + ["qemu-img/3", "tidemark-zstd/3", "tidemark-zlib/3", "tidemark-none/3"].map {
        "export/\($0)"
      }
      + openings.flatMap { opening in [10, 50].map { "\(opening)/tidemark-zstd/\($0)" } }
  }
}
