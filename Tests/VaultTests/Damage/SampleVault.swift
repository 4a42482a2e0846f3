import Bytes
import Codecs
import FileIO
import Support

@testable import Vault

/// A vault to be damaged: a few dozen points, sealed segments, one closed after a failed sync, merged
/// runs in several files, runs not merged yet, and an open segment that its writer closed.
final class SampleVault {
  static let path = "/vault"
  static let name = "web01"
  static let numbers: [DiskNumber] = [0, 7]
  static let sizes: [UInt64] = [1_500_672, 655_360]

  let disk = SimulatedDisk(seed: 11)
  let directory: String
  private(set) var points: [ModelPoint] = []
  private var state: ModelDisks
  private var random = SeededGenerator(seed: 12)
  private var nextPage: UInt32 = 1

  init(codec: Codec) throws {
    let pages = Self.sizes.map { Int($0 + 65535) / 65536 * Layout.pagesPerBlock }
    state = ModelDisks(pages: pages.map { [UInt32](repeating: 0, count: $0) })
    let vault = try Vault.create(at: Self.path, name: "test", codec: codec, on: disk.fileSystem)
    let lock = try vault.lock()
    let machine = try vault.addMachine(
      MachineConfiguration(
        name: Self.name, operatingSystem: .linux,
        disks: Self.numbers.map {
          DiskConfiguration(number: $0, path: "/d\($0)", capture: .scan, format: .raw)
        }), lock: lock)
    directory = machine.directory
    let limits = LogLimits(
      segmentSize: 1 << 20, segmentRecords: 200, segmentEntries: 400, commitSize: 1 << 19,
      runEntries: 350, lowestTier: 500)
    for round in 0..<36 {
      let clock = Timestamp(seconds: 1_795_170_000 + Int64(round) * 600)
      let writer = try MachineWriter(
        machine: machine, in: vault, lock: lock, clock: { clock }, limits: limits)
      try cycle(round, writer, clock)
      if round == 28 { try writer.mergeRuns(entryBudget: .max) }
      try writer.close()
    }
  }

  private func cycle(_ round: Int, _ writer: MachineWriter, _ time: Timestamp) throws {
    for _ in 0..<random.number(20..<50) {
      let index = random.once(in: 3) ? 1 : 0
      let block = random.number(0..<state.pages[index].count / Layout.pagesPerBlock)
      try write(writer, index, block, UInt16(truncatingIfNeeded: random.next()) | 1)
    }
    for _ in 0..<random.number(0..<3) {
      let first = UInt64(random.number(0..<8))
      let count = UInt64(random.number(1..<9))
      let index = random.number(0..<2)
      try writer.zero(disk: Self.numbers[index], firstBlock: first, count: count)
      state.zero(index, firstBlock: first, count: count)
    }
    if round == 20 {
      try writer.commit()
      // The next one is that of the mark, behind the three that open a segment.
      disk.failSyncs(1, after: writer.segment == nil ? 3 : 0)
    }
    let disks = zip(Self.numbers, Self.sizes).map { PointDisk(number: $0, size: $1) }
    let point = try writer.mark(
      NewPoint(
        label: round % 5 == 0 ? "round \(round)" : nil, cycle: UInt64(round), disks: disks,
        time: time))
    points.append(ModelPoint(point: point, disks: state))
  }

  private func write(
    _ writer: MachineWriter, _ index: Int, _ block: Int, _ pages: UInt16
  ) throws {
    var content = [UInt8](repeating: 0xEE, count: Layout.blockSize)
    for page in 0..<Layout.pagesPerBlock where pages & 1 << UInt16(page) != 0 {
      let number = random.once(in: 8) ? 0 : nextPage
      nextPage += 1
      state.pages[index][block * Layout.pagesPerBlock + page] = number
      content.withUnsafeMutableBytes { buffer in
        let start = page * Layout.pageSize
        PageContent.fill(
          number, UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + Layout.pageSize]))
      }
    }
    try content.withUnsafeBytes {
      try writer.write(disk: Self.numbers[index], block: UInt64(block), bytes: $0, pages: pages)
    }
  }

  /// The machine as a process sees it that has just started.
  func machine() throws -> Machine {
    try Vault(opening: Self.path, on: disk.fileSystem).machines()[0]
  }

  /// Where the records of each segment end.
  func recordEnds() throws -> [String: Int] {
    let machine = try machine()
    let manifest = try Manifest.read(
      machine.manifestPath, identity: machine.identity, on: machine.system)
    var ends: [String: Int] = [:]
    for segment in manifest.state.segments {
      ends["\(segment.number).seg"] = Int(segment.sealed?.recordsEnd ?? segment.vouched)
    }
    return ends
  }

  /// The MANIFEST, segments and run files.
  func files() throws -> [String] {
    try disk.fileSystem.list(directory).filter { $0 == "MANIFEST" || LogFileName($0) != nil }
      .sorted()
  }

  func content(of file: String) throws -> [UInt8] {
    try disk.fileSystem.readFile(directory + "/" + file, limit: 1 << 30)
  }

  /// Gives a file other bytes.
  func replace(_ file: String, with bytes: [UInt8]) throws {
    let path = directory + "/" + file
    if !disk.fileSystem.exists(path) {
      _ = try File(path, .creating(permissions: 0o600), on: disk.fileSystem)
    }
    let opened = try File(path, .writing, on: disk.fileSystem)
    try opened.write(bytes, at: 0)
    try opened.truncate(to: UInt64(bytes.count))
  }
}
