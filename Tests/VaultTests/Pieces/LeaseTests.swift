import Bytes
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: one process writes, and no file goes while anyone reads it. Method: two processes' views of a
/// vault in a real directory, with the locks of the real file system.
struct LeaseTests {
  private func bench(_ directory: TemporaryDirectory) throws -> Workbench {
    let bench = try Workbench(on: .system, at: directory.file("vault"))
    bench.limits = LogLimits(segmentRecords: 4)
    return bench
  }

  /// Makes `count` segments with a point each, merging as it goes.
  private func fill(_ bench: Workbench, _ count: Int) throws -> [ModelPoint] {
    let writer = try bench.writer()
    var models: [ModelPoint] = []
    for round in 0..<count {
      for block in 0..<3 { try bench.write(writer, block: (round + block * 7) % 64) }
      models.append(try bench.mark(writer))
      try writer.mergeRuns(entryBudget: .max)
    }
    try writer.close()
    return models
  }

  @Test("a second writer is refused while the first has the lock, and let in after it")
  func lock() throws {
    let directory = try TemporaryDirectory("lock")
    let bench = try bench(directory)
    let other = try Vault(opening: bench.path)
    #expect { try other.lock() } throws: { ($0 as? VaultError)?.code == .locked }
    bench.lock = nil
    let lock = try other.lock()
    #expect { try bench.vault.lock() } throws: { ($0 as? VaultError)?.code == .locked }
    withExtendedLifetime(lock) {}
  }

  @Test("the files a reader goes by stay until it ends, and go with the next merge")
  func leases() throws {
    let directory = try TemporaryDirectory("leases")
    let bench = try bench(directory)
    var models = try fill(bench, 4)
    let before = try bench.files(.run)
    #expect(before.count == 1)
    // The reader has looked, but opened nothing yet.
    let machine = try bench.reader()
    var snapshot: MachineSnapshot? = try machine.snapshot()
    models += try fill(bench, 3)
    #expect(try bench.files(.run).contains(before[0]))
    #expect(try bench.files(.run).count == 2)
    for model in models.prefix(4) {
      let reader = try #require(snapshot).disk(0, at: model.point)
      #expect(try Workbench.reads(reader, 0, model.disks))
    }
    // Its next look is at the newest files; a disk opened before still holds the old ones.
    var held: DiskReader? = try #require(snapshot).disk(0, at: models[0].point)
    snapshot = nil
    _ = try machine.snapshot()
    models += try fill(bench, 1)
    #expect(try bench.files(.run).contains(before[0]))
    #expect(try Workbench.reads(try #require(held), 0, models[0].disks))
    held = nil
    _ = try bench.writer()
    #expect(try !bench.files(.run).contains(before[0]))
    for model in models { #expect(try bench.reads(model, by: machine)) }
  }

  @Test("a machine is not removed while anyone reads it, in this process or another")
  func removal() throws {
    let directory = try TemporaryDirectory("removal")
    let bench = try bench(directory)
    let models = try fill(bench, 2)
    let lock = try #require(bench.lock)
    func isInUse(_ error: any Error) -> Bool { (error as? VaultError)?.code == .inUse }
    var reader: DiskReader? = try bench.reader().snapshot().disk(0, at: models[0].point)
    #expect { try bench.vault.removeMachine(named: "web01", lock: lock) } throws: { isInUse($0) }
    reader = try bench.vault.machine(named: "web01").snapshot().disk(0, at: models[0].point)
    #expect { try bench.vault.removeMachine(named: "web01", lock: lock) } throws: { isInUse($0) }
    #expect(try Workbench.reads(try #require(reader), 0, models[0].disks))
    reader = nil
    try bench.vault.removeMachine(named: "web01", lock: lock)
    #expect(try bench.vault.machines().isEmpty)
    #expect(try FileSystem.system.list(bench.path + "/machines") == [])
  }
}
