import Bytes
import Catalog
import FileIO
import Support
import Testing

@testable import Operations
@testable import Vault

/// Goal: damage that the service meets in a log's index has the machine resynchronised where that helps, and
/// only there. Method: two sealed segments of one block, and bits flipped in the index of each.
@Suite struct DamageTests {
  /// A service with a machine whose only block was written anew by the second of two points, and the places
  /// of the indexes of both.
  private static func prepare() throws -> (HealthTests.Bench, indexes: [(file: String, at: UInt64)])
  {
    let bench = try HealthTests.Bench("web01")
    try bench.enable("web01")
    var changes = MachineChanges()
    changes.resyncWindow = ResynchronisationWindow("manual")
    _ = try bench.service.change("web01", changes)
    let machine = try bench.service.vault.machine(named: "web01")
    for round in 1...2 as ClosedRange<UInt8> {
      let writer = try MachineWriter(
        machine: machine, in: bench.service.vault, lock: bench.service.writable.lock)
      let bytes = [UInt8](repeating: round, count: Layout.blockSize)
      try bytes.withUnsafeBytes { try writer.write(disk: 0, block: 0, bytes: $0, pages: .max) }
      _ = try writer.mark(
        NewPoint(
          kind: .crash, consistency: .machine, sourceWatched: true, label: nil,
          cycle: UInt64(round), disks: [PointDisk(number: 0, size: UInt64(Layout.blockSize))],
          time: .now()))
      try writer.seal(try #require(writer.segment))
      try writer.close()
    }
    let manifest = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system)
    let indexes = manifest.state.runs.flatMap(\.partitions).map {
      (machine.files.path($0.file), $0.base)
    }
    try #require(indexes.count == 2)
    return (bench, indexes)
  }

  private static func flip(_ index: (file: String, at: UInt64)) throws {
    let file = try File(index.file, .writing)
    let bytes = try file.read(at: index.at + 64, count: 8)
    try file.write(bytes.map { ~$0 }, at: index.at + 64)
  }

  @Test("damage of the newest state requires resynchronisation, damage of older points an event")
  func index() throws {
    let (bench, indexes) = try Self.prepare()
    let (service, machine) = (bench.service, try bench.service.agent(named: "web01").machine)
    try Self.flip(indexes[0])
    service.agentHost.damaged(machine, "The index is damaged.")
    let isTold = try Program.poll(seconds: 10) {
      try service.events(after: 0, limit: 10).contains { $0.code == "vault-damaged" }
    }
    #expect(isTold)
    #expect(try service.resynchronisation(of: "web01").record == nil)
    // The same words again are looked into no more.
    let count = try service.events(after: 0, limit: 100).count
    service.agentHost.damaged(machine, "The index is damaged.")
    try Self.flip(indexes[1])
    service.agentHost.damaged(machine, "Another page of the index is damaged.")
    let isRequired = try Program.poll(seconds: 10) {
      try service.resynchronisation(of: "web01").record != nil
    }
    #expect(isRequired && bench.codes() == ["resynchronisation-required"])
    #expect(try service.events(after: 0, limit: 100).count == count + 1)
    let error = service.health.current.first
    #expect(error?.message.contains("disk 0 at the newest recovery point") == true)
  }
}
