import Bytes
import Dispatch
import FileIO
import Support
import Synchronization
import Testing

@testable import Vault

/// Goal: readers of any process go on beside the writer and never see anything but what a point holds.
/// Method: threads that open the vault anew, refresh and read, while one writes, seals and merges in a
/// real directory.
struct ConcurrencyTests {
  /// What the points hold that were made so far.
  private final class Known: Sendable {
    private let models = Mutex<[SequenceNumber: ModelDisks]>([:])
    private let problems = Mutex<[String]>([])
    private let ended = Mutex(false)

    func add(_ model: ModelPoint) { models.withLock { $0[model.point.sequence] = model.disks } }
    func disks(_ point: RecoveryPoint) -> ModelDisks? { models.withLock { $0[point.sequence] } }
    func report(_ problem: String) { problems.withLock { $0.append(problem) } }
    func end() { ended.withLock { $0 = true } }
    var isEnded: Bool { ended.withLock { $0 } }
    var found: [String] { problems.withLock { $0 } }
  }

  @Test("readers beside a writer that seals and merges see every point whole")
  func readersBesideWriter() throws {
    let directory = try TemporaryDirectory("concurrency")
    let bench = try Workbench(on: .system, at: directory.file("vault"), disks: 2, blocks: 24)
    bench.limits = LogLimits(
      segmentRecords: 12, commitSize: 1 << 18, runEntries: 40, lowestTier: 30)
    let known = Known()
    // The bench stays with the thread that writes.
    nonisolated(unsafe) let shared = bench
    let (path, seed) = (bench.path, SeededGenerator(for: "concurrency").seed)
    DispatchQueue.concurrentPerform(iterations: 4) { worker in
      do {
        if worker == 0 {
          defer { known.end() }
          try Self.write(shared, known, SeededGenerator(seed: seed))
        } else {
          try Self.read(path, known, SeededGenerator(seed: seed &+ UInt64(worker)))
        }
      } catch {
        known.report("\(worker): \(error)")
      }
    }
    #expect(known.found == [])
    #expect(try MachineCheck(try bench.reader()).run().isIntact)
  }

  private static func write(
    _ bench: Workbench, _ known: Known, _ random: SeededGenerator
  ) throws {
    var random = random
    for round in 0..<60 {
      let writer = try bench.writer()
      for _ in 0..<random.number(1..<10) {
        try bench.write(
          writer, disk: random.number(0..<2), block: random.number(0..<24),
          pages: UInt16(truncatingIfNeeded: random.next()) | 1)
      }
      if round % 3 == 0 { try bench.zero(writer, first: UInt64(random.number(0..<20)), count: 3) }
      known.add(try bench.mark(writer))
      try writer.mergeRuns(entryBudget: .max)
      if random.once(in: 2) { try writer.close() }
    }
  }

  private static func read(_ path: String, _ known: Known, _ random: SeededGenerator) throws {
    var random = random
    var machine = try Vault(opening: path).machine(named: "web01")
    var newest = SequenceNumber.zero
    var held: [(DiskReader, Int, ModelDisks)] = []
    while !known.isEnded {
      if random.once(in: 5) { machine = try Vault(opening: path).machine(named: "web01") }
      let snapshot = try machine.snapshot()
      guard let last = snapshot.points.last else { continue }
      if last.sequence < newest { known.report("point \(newest) is gone") }
      newest = last.sequence
      let point = snapshot.points[random.number(0..<snapshot.points.count)]
      // One that was made a moment ago may not be in the model yet.
      guard let disks = known.disks(point) else { continue }
      let index = random.number(0..<2)
      let reader = try snapshot.disk(UInt16(index), at: point)
      if try !Workbench.reads(reader, index, disks) { known.report("\(point.id) reads wrong") }
      if random.once(in: 4) { held.append((reader, index, disks)) }
      if held.count > 5 { held.removeFirst() }
      if let (reader, index, disks) = held.first, try !Workbench.reads(reader, index, disks) {
        known.report("a disk that was kept open reads wrong")
      }
    }
  }
}
