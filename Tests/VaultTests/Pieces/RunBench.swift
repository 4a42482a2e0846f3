import Bytes
import FileIO
import Support

@testable import Vault

/// Runs on a simulated disk, written and read as the vault does it.
struct RunBench {
  let identity = LogIdentity(
    vault: Identifier(high: 1, low: 2), machine: Identifier(high: 3, low: 4))
  let disk = CountingDisk(SimulatedDisk(seed: 5))
  let files: LogFiles
  let cache = PageCache(byteCount: 8 << 20)

  var system: FileSystem { FileSystem(double: disk) }

  init() throws {
    files = LogFiles(directory: "/log", system: FileSystem(double: disk))
    try system.makeDirectory("/log")
  }

  static func entry(
    _ key: BlockKey, _ sequence: UInt64, dataMask: UInt16 = .max, zeroMask: UInt16 = 0
  ) -> RunEntry {
    RunEntry(
      key: key, sequence: sequence, segment: 1, offset: UInt32(truncatingIfNeeded: sequence) * 64,
      dataMask: dataMask, zeroMask: zeroMask, cellLengths: CellLengths(), codec: 0, flags: 0,
      keyID: 0)
  }

  /// Random entries of some disks, blocks and stretches; numbers are used once.
  static func entries(_ count: Int, _ random: inout SeededGenerator) -> [RunEntry] {
    (0..<count).map { place in
      let disk = DiskNumber([0, 1, 300][random.number(0..<3)])
      let level = random.once(in: 6) ? random.number(1..<6) : 0
      let index = UInt64(random.once(in: 3) ? random.number(0..<4) : random.number(0..<200))
      return entry(
        BlockKey(disk: disk, level: level, index: index), UInt64(place) + 1,
        dataMask: UInt16(truncatingIfNeeded: random.next()))
    }
  }

  /// Writes sorted entries as a run of files of at most `perFile` entries.
  func write(_ sorted: [RunEntry], perFile: Int, firstFile: UInt32 = 1) throws -> FileRun {
    let numbers = sorted.map(\.sequence)
    let span = (numbers.min() ?? 0)...(numbers.max() ?? 0)
    var parts: [RunDescription] = []
    for start in stride(from: 0, to: sorted.count, by: perFile) {
      let name = LogFileName(.run, firstFile + UInt32(parts.count))
      let file = try File(files.path(name), .creating(permissions: 0o600), on: system)
      var writer = RunWriter(name, base: 0, identity: identity)
      for entry in sorted[start..<min(start + perFile, sorted.count)] {
        try writer.add(entry, to: file)
      }
      parts.append(try writer.finish(to: file, numbers: span) { RunTrailer(run: $0) })
    }
    guard let set = RunSet(parts) else { throw ModelFailure("no entries") }
    return try FileRun(set, identity: identity, files: files, cache: cache)
  }
}
