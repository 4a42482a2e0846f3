import Bytes
import Codecs
import FileIO
import Support
import Testing

@testable import Vault

/// Goal: the writer keeps its promises one by one where the model test only meets them by chance.
struct WriterTests {
  let disk = SimulatedDisk(seed: 9)

  private func bench(codec: Codec = .zstd) throws -> Workbench {
    try Workbench(on: disk.fileSystem, codec: codec, disks: 2)
  }

  @Test("a failed fdatasync moves the records to a new segment, and the point is durable")
  func failedSync() throws {
    let bench = try bench()
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    let first = try bench.mark(writer)
    try bench.write(writer, block: 2)
    try bench.zero(writer, disk: 1, first: 3, count: 9)
    disk.failSyncs()
    let second = try bench.mark(writer)
    #expect(try bench.files(.segment).count == 2)
    disk.crash(.everything)
    bench.lock = nil
    #expect(try bench.reader().snapshot().points == [first.point, second.point])
    #expect(try bench.reads(first))
    #expect(try bench.reads(second))
    let next = try bench.writer()
    #expect(next.points == [first.point, second.point])
    #expect(try MachineCheck(try bench.reader()).run().isIntact)
  }

  @Test("after a failed fdatasync nothing is written to that segment again")
  func failedSegmentIsLeftAlone() throws {
    let bench = try bench()
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    try bench.mark(writer)
    disk.failSyncs()
    try bench.write(writer, block: 2)
    try bench.mark(writer)
    let path = bench.machine.files.path(try #require(try bench.files(.segment).first))
    let bytes = try bench.system.readFile(path, limit: 1 << 30)
    for block in 3..<6 {
      try bench.write(writer, block: block)
      try bench.mark(writer)
    }
    try writer.close()
    #expect(try bench.system.readFile(path, limit: 1 << 30) == bytes)
  }

  @Test("a writer that could not write refuses to go on, and the next one has all that was durable")
  func brokenWriter() throws {
    let bench = try bench()
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    let first = try bench.mark(writer)
    try bench.write(writer, block: 2)
    disk.failSyncs(2)
    #expect(throws: VaultError.self) { try bench.mark(writer) }
    #expect(throws: VaultError.self) { try bench.mark(writer) }
    #expect(throws: VaultError.self) { try writer.close() }
    disk.crash(.everything)
    bench.lock = nil
    let next = try bench.writer()
    #expect(next.points == [first.point])
  }

  @Test("a vault that is full says so as often as it is asked, and loses nothing")
  func fullDisk() throws {
    let bench = try bench()
    let writer = try bench.writer()
    disk.setCapacity(1 << 40)
    let used = (1 << 40) - (try disk.fileSystem.space(at: "/").free)
    disk.setCapacity(used + 1000)
    for round in 0..<200 {
      do {
        try bench.write(writer, block: round % 60)
      } catch let error as VaultError {
        #expect(error.code == .full)
        #expect(round >= 63)
      }
    }
    #expect { try bench.mark(writer) } throws: { ($0 as? VaultError)?.code == .full }
    disk.setCapacity(nil)
    // What was refused was not taken; what was accepted is all there.
    #expect(writer.lastSequence.rawValue >= 63)
    _ = try bench.mark(writer)
    #expect(try bench.reader().snapshot().points.count == 1)
  }

  @Test("records are committed by themselves once there are enough of them")
  func groupCommit() throws {
    let bench = try bench(codec: .none)
    bench.limits = LogLimits(commitSize: 1 << 20)
    let writer = try bench.writer()
    for block in 0..<64 { try bench.write(writer, block: block) }
    disk.crash(.everything)
    bench.lock = nil
    let next = try bench.writer()
    #expect(next.points.isEmpty)
    #expect(next.lastSequence.rawValue >= 16)
    let reader = try next.head(0, size: bench.size)
    #expect(try Workbench.reads(reader, 0, bench.disks))
  }

  @Test("a log that was closed is gone on with in its segment")
  func reopening() throws {
    let bench = try bench()
    var models: [ModelPoint] = []
    for round in 0..<6 {
      let writer = try bench.writer()
      #expect(writer.points == models.map(\.point))
      #expect(writer.lastSize(of: 1) == (round == 0 ? nil : bench.size))
      #expect(writer.cycle == (round == 0 ? nil : 1))
      try bench.write(writer, block: round)
      models.append(try bench.mark(writer))
      try writer.close()
      try writer.close()
    }
    #expect(try bench.files(.segment).count == 1)
    for model in models { #expect(try bench.reads(model)) }
  }

  @Test("opening, committing and closing without anything new adds nothing to the log")
  func idle() throws {
    let bench = try bench()
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    try bench.mark(writer)
    try writer.close()
    let path = bench.machine.files.path(try #require(try bench.files(.segment).first))
    let size = try bench.system.status(path).size
    for _ in 0..<3 {
      let writer = try bench.writer()
      try writer.commit()
      try writer.close()
    }
    #expect(try bench.system.status(path).size == size)
  }

  @Test("reading a vault changes nothing in it")
  func readersWriteNothing() throws {
    let bench = try bench()
    let writer = try bench.writer()
    try bench.write(writer, block: 1)
    let model = try bench.mark(writer)
    let changes = disk.changes
    #expect(try bench.reads(model))
    _ = try MachineCheck(try bench.reader()).run()
    #expect(disk.changes == changes)
  }

  @Test("times never go back, and two points of one second have different ids")
  func times() throws {
    let bench = try bench()
    let writer = try bench.writer()
    var points: [RecoveryPoint] = []
    for step: Int64 in [0, 400_000_000, -5_000_000_000, 0, 9_000_000_000, -1, 1, 2_000_000_000] {
      bench.clock.step(step)
      try bench.write(writer, block: 1)
      points.append(try bench.mark(writer).point)
      points.append(try bench.mark(writer, kind: .application).point)
    }
    #expect(points.map(\.time) == points.map(\.time).sorted())
    #expect(Set(points.map(\.id)).count == points.count)
    #expect(points.map(\.sequence.rawValue) == points.map(\.sequence.rawValue).sorted())
  }

  @Test("what can't be stored is refused, and the writer goes on")
  func refusals() throws {
    let bench = try bench()
    let writer = try bench.writer()
    let block = [UInt8](repeating: 1, count: Layout.blockSize)
    func refused(_ body: () throws -> Void) {
      #expect(throws: VaultError.self) { try body() }
    }
    block.withUnsafeBytes { bytes in
      let short = UnsafeRawBufferPointer(rebasing: bytes[..<4096])
      refused { try writer.write(disk: 0, block: 1 << 32, bytes: bytes, pages: 1) }
      refused { try writer.write(disk: 0, block: 0, bytes: short, pages: 1) }
    }
    refused { try writer.zero(disk: 0, firstBlock: 1 << 32, count: 1) }
    refused { try writer.zero(disk: 0, firstBlock: 1, count: 1 << 32) }
    refused { try bench.mark(writer, label: "latest") }
    let model = try bench.mark(writer, label: "fine")
    #expect(model.point.sequence.rawValue == 1)
    try bench.write(writer, block: 0)
    #expect(try bench.reads(try bench.mark(writer)))
  }

  @Test(
    "pages come back whatever codec stores them, and zeros take no room", arguments: Codec.allCases)
  func codecs(codec: Codec) throws {
    let bench = try bench(codec: codec)
    let writer = try bench.writer()
    for block in 0..<64 { try bench.write(writer, block: block, pages: UInt16(block * 977 | 1)) }
    let model = try bench.mark(writer)
    let stored = writer.storedBytes
    let zeros = [UInt8](repeating: 0, count: Layout.blockSize)
    try zeros.withUnsafeBytes { bytes in
      for block in 0..<8 {
        try writer.write(disk: 0, block: UInt64(block), bytes: bytes, pages: .max)
      }
    }
    bench.disks.zero(0, firstBlock: 0, count: 8)
    let emptied = try bench.mark(writer)
    #expect(writer.storedBytes - stored < 8 * 128 + 1024)
    try writer.close()
    #expect(try bench.reads(model))
    #expect(try bench.reads(emptied))
    let reader = try bench.reader().snapshot().disk(0, at: emptied.point)
    #expect(try reader.nextData(from: 0) == 8 * 65536)
    #expect(try MachineCheck(try bench.reader()).run().isIntact)
  }

  @Test("files of nobody are removed, but never one that holds committed records")
  func orphans() throws {
    let bench = try bench()
    bench.limits = LogLimits(segmentRecords: 4)
    var writer = try bench.writer()
    for block in 0..<20 {
      try bench.write(writer, block: block)
      if block % 4 == 3 { try bench.mark(writer) }
    }
    try writer.close()
    let known = try bench.files(.segment)
    for name in ["90.seg", "91.run"] {
      _ = try File(
        bench.machine.directory + "/" + name, .creating(permissions: 0o600), on: bench.system)
    }
    writer = try bench.writer()
    #expect(try bench.files(.segment) == known)
    #expect(try bench.files(.run) == [])

    let old = bench.machine.files.path(known[1])
    let bytes = try bench.system.readFile(old, limit: 1 << 30)
    try File(
      bench.machine.directory + "/95.seg", .creating(permissions: 0o600), on: bench.system
    ).write(bytes, at: 0)
    _ = try File(
      bench.machine.directory + "/91.run", .creating(permissions: 0o600), on: bench.system)
    #expect { try bench.writer() } throws: { ($0 as? VaultError)?.code == .damaged }
    #expect(try bench.files(.segment).count == known.count + 1)
    #expect(try bench.files(.run).count == 1, "nothing is removed while it is not clear what is")
    #expect(try MachineCheck(try bench.reader()).run().damages.map(\.file) == ["95.seg"])
  }
}
