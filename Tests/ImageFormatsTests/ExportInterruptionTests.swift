import Bytes
import FileIO
import Glibc
import ImageFormats
import Support
import Synchronization
import Testing

/// Exports that do not run to their end: cancelled, killed, out of room, out of power, of a source
/// that breaks or to a disk that fails. What a later run makes of them must be the right bytes.
struct ExportInterruptionTests {
  /// An export that can be resumed after every 2 MiB.
  private static func export(_ format: ExportFormat, _ identity: String = "p") -> DiskExport {
    var export = ExportTests.export(format, identity)
    export.checkpointInterval = 1
    export.waitsForCheckpoints = true
    return export
  }

  /// What a whole export writes.
  private func wanted(_ format: ExportFormat, _ disk: MemoryDisk) throws -> [UInt8] {
    let simulated = SimulatedDisk(seed: 1)
    var export = Self.export(format)
    export.system = simulated.fileSystem
    try export.run(disk, to: "/out")
    return try simulated.fileSystem.readFile("/out", limit: 64 << 20)
  }

  @Test("a cancelled export goes on where it stopped", arguments: ExportFormat.allCases)
  func cancel(format: ExportFormat) throws {
    let directory = try TemporaryDirectory("export")
    let path = directory.file("out")
    var random = SeededGenerator(for: "cancelled export")
    let disk = MemoryDisk.sample(size: (20 << 20) + 512, &random)
    disk.write(random.bytes(9 << 20), at: 4 << 20)
    var chunks = 0
    let error = #expect(throws: ImageError.self) {
      try Self.export(format).run(
        disk, to: path, progress: { _, _ in chunks += 1 }, isCancelled: { chunks > 3 })
    }
    #expect(error?.code == .cancelled)
    #expect(error?.message.contains("Run the same export again: it goes on at byte") == true)
    #expect(!FileSystem.system.exists(path))
    var first: UInt64?
    let summary = try Self.export(format).run(disk, to: path) { done, _ in first = first ?? done }
    #expect(summary.resumedAt > 0 && summary.resumedAt == first)
    #expect(try FileSystem.system.readFile(path, limit: 64 << 20) == wanted(format, disk))
    #expect(try FileSystem.system.list(directory.path) == ["out"])
  }

  @Test("what another export left behind is not gone on with")
  func otherIdentity() throws {
    let directory = try TemporaryDirectory("export")
    let path = directory.file("out")
    let disk = MemoryDisk([UInt8](repeating: 1, count: 6 << 20))
    let other = MemoryDisk([UInt8](repeating: 2, count: 6 << 20))
    var asked = 0
    func stop() -> Bool {
      asked += 1
      return asked > 2
    }
    #expect(throws: ImageError.self) {
      try Self.export(.fixedVHD).run(disk, to: path, isCancelled: stop)
    }
    let changes: [(inout DiskExport) -> Void] = [
      { $0.identity = "other" }, { $0.created = Timestamp(seconds: 1_000_000_000) },
      { $0.identifier = Identifier(high: 0, low: 0) }, { $0.format = .raw },
    ]
    for change in changes {
      var export = Self.export(.fixedVHD)
      change(&export)
      export.replacesExisting = true
      let summary = try export.run(other, to: path)
      #expect(summary.resumedAt == 0)
      try export.verify(other, at: path)
      asked = 0
      #expect(throws: ImageError.self) {
        try Self.export(.fixedVHD).run(disk, to: directory.file("out"), isCancelled: stop)
      }
    }
  }

  @Test("an export killed at any moment goes on, and its file appears only when it is whole")
  func kill() async throws {
    for round in 0..<Count.of("TIDEMARK_KILLS", normally: 6) {
      let directory = try TemporaryDirectory("export")
      let format = ExportFormat.allCases[round % 3]
      let directoryPath = directory.path
      for _ in 0..<1 + round % 4 {
        await #expect(processExitsWith: .signal(SIGKILL)) {
          [
            directoryPath = directoryPath as String, round = round as Int,
            name = format.rawValue as String
          ] in
          let format = try #require(ExportFormat(rawValue: name))
          var calls = 0
          try ExportInterruptionTests.export(format).run(
            ExportInterruptionTests.killedDisk(round), to: directoryPath + "/out",
            progress: { _, _ in
              calls += 1
              if calls == 3 { raise(SIGKILL) }
            })
        }
        #expect(!FileSystem.system.exists(directory.file("out")))
      }
      let disk = Self.killedDisk(round)
      let summary = try Self.export(format).run(disk, to: directory.file("out"))
      #expect(summary.resumedAt >= 4 << 20, "round \(round): \(summary)")
      try Self.export(format).verify(disk, at: directory.file("out"))
      #expect(try FileSystem.system.list(directory.path) == ["out"])
    }
  }

  /// The same disk in this process and in those that are killed.
  private static func killedDisk(_ round: Int) -> MemoryDisk {
    var random = SeededGenerator(seed: UInt64(round))
    let disk = MemoryDisk.sample(size: 24 << 20, &random)
    for chunk in 0..<12 { disk.write(random.bytes(5000), at: UInt64(chunk) << 21) }
    return disk
  }

  @Test("a source that can't be read is named, and the export goes on once it can")
  func brokenSource() throws {
    let directory = try TemporaryDirectory("export")
    let path = directory.file("out")
    let bytes = [UInt8](repeating: 4, count: 8 << 20)
    let broken = MemoryDisk(size: 8 << 20, broken: 5 << 20..<(5 << 20) + 1)
    broken.write(bytes, at: 0)
    let error = #expect(throws: ImageError.self) { try Self.export(.raw).run(broken, to: path) }
    #expect(error?.code == .source && error?.cause is MemoryDisk.Broken)
    #expect(
      error?.message == "Cannot read the disk to be exported: Block 7 of disk 0 is damaged. "
        + "Run the same export again: it goes on at byte 4194304 of 8388608.")
    #expect(try Self.export(.raw).run(MemoryDisk(bytes), to: path).resumedAt == 4 << 20)
    #expect(try FileSystem.system.readFile(path, limit: 64 << 20) == bytes)
  }

  @Test("without room the export stops in plain words, and goes on when there is some")
  func full() throws {
    var random = SeededGenerator(for: "full disk")
    for format in ExportFormat.allCases {
      let disk = MemoryDisk(random.bytes(8 << 20))
      let simulated = SimulatedDisk(seed: random.next())
      simulated.setCapacity((5 << 20) + UInt64(random.number(0..<(1 << 20))))
      var export = Self.export(format)
      export.system = simulated.fileSystem
      let error = #expect(throws: ImageError.self) { try export.run(disk, to: "/out") }
      #expect(error?.code == .full, "\(error?.message ?? "")")
      #expect(error?.message.hasPrefix("No room is left for '/out': free some") == true)
      #expect(!simulated.fileSystem.exists("/out"))
      simulated.setCapacity(nil)
      #expect(try export.run(disk, to: "/out").resumedAt == 4 << 20)
      #expect(
        try simulated.fileSystem.readFile("/out", limit: 64 << 20) == wanted(format, disk))
    }
  }

  @Test("power lost at any call leaves a file that is whole, or none, and an export that goes on")
  func powerLoss() throws {
    var random = SeededGenerator(for: "power loss in exports")
    for round in 0..<Count.of("TIDEMARK_POWER_CUTS", normally: 60) {
      let format = ExportFormat.allCases[round % 3]
      let disk = MemoryDisk.sample(size: (9 << 20) - 512, &random)
      let bytes = try wanted(format, disk)
      let simulated = SimulatedDisk(seed: random.next())
      var export = Self.export(format)
      export.system = simulated.fileSystem
      var isDone = false
      repeat {
        simulated.cutPower(after: random.number(0..<60))
        do {
          try export.run(disk, to: "/out")
          isDone = true
        } catch {
          guard simulated.isOff else { throw error }
        }
        // What was reported done, or has its name, survives.
        simulated.crash()
      } while !isDone && !simulated.fileSystem.exists("/out")
      #expect(
        try simulated.fileSystem.readFile("/out", limit: 64 << 20) == bytes, "round \(round)")
    }
  }

  @Test("after a failed sync nothing is believed that was not durable before")
  func failedSync() throws {
    var random = SeededGenerator(for: "failing syncs in exports")
    for round in 0..<Count.of("TIDEMARK_FAILED_SYNCS", normally: 30) {
      let format = ExportFormat.allCases[round % 3]
      let disk = MemoryDisk.sample(size: (9 << 20) - 512, &random)
      let simulated = SimulatedDisk(seed: random.next())
      var export = Self.export(format)
      export.system = simulated.fileSystem
      simulated.failSyncs(after: random.number(0..<8))
      do {
        try export.run(disk, to: "/out")
      } catch {
        #expect(error.code == .io)
        simulated.dropCaches()
        if !simulated.fileSystem.exists("/out") { try export.run(disk, to: "/out") }
      }
      #expect(
        try simulated.fileSystem.readFile("/out", limit: 64 << 20) == wanted(format, disk),
        "round \(round)")
    }
  }

  @Test("a journal that is damaged, or belongs to another file, is not believed")
  func journals() throws {
    let directory = try TemporaryDirectory("export")
    let path = directory.file("out")
    let partial = directory.file(".out.tidemark-partial")
    let journal = directory.file(".out.tidemark-journal")
    let disk = MemoryDisk([UInt8](repeating: 1, count: 8 << 20))
    for format in ExportFormat.allCases {
      let spoils: [() throws -> Void] = [
        {
          let file = try File(journal, .writing)
          let byte = try file.read(at: 30, count: 1)
          try file.write([byte[0] ^ 1], at: 30)
        },
        { try File(journal, .writing).truncate(to: 20) },
        { try FileSystem.system.remove(journal) },
        { try FileSystem.system.remove(partial) },
        { try File(partial, .writing).truncate(to: 1 << 20) },
        { try File(journal, .writing).write([UInt8](repeating: 0, count: 100_000), at: 0) },
      ]
      for (number, spoil) in spoils.enumerated() {
        var asked = 0
        #expect(throws: ImageError.self) {
          try Self.export(format).run(
            disk, to: path,
            isCancelled: {
              asked += 1
              return asked > 3
            })
        }
        try spoil()
        var export = Self.export(format)
        export.replacesExisting = true
        #expect(try export.run(disk, to: path).resumedAt == 0, "\(format), spoilt way \(number)")
        try export.verify(disk, at: path)
        try FileSystem.system.remove(path)
      }
    }
  }
}
