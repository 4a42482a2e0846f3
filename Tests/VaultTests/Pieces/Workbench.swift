import Bytes
import Codecs
import FileIO
import Support

@testable import Vault

/// A vault with one machine of one or more disks, and what they hold.
final class Workbench {
  let system: FileSystem
  let path: String
  let vault: Vault
  let machine: Machine
  var lock: VaultLock?
  let clock = ModelClock()
  var limits = LogLimits()
  var disks: ModelDisks
  let size: UInt64
  private var nextPage: UInt32 = 1

  /// Makes the vault; each disk has `blocks` blocks.
  init(
    on system: FileSystem, at path: String = "/vault", codec: Codec = .zstd, disks: Int = 1,
    blocks: Int = 64
  ) throws {
    (self.system, self.path) = (system, path)
    vault = try Vault.create(at: path, name: "test", codec: codec, on: system)
    let lock = try vault.lock()
    self.lock = lock
    machine = try vault.addMachine(
      MachineConfiguration(
        name: "web01", operatingSystem: .linux,
        disks: (0..<disks).map {
          DiskConfiguration(number: UInt16($0), path: "/d\($0)", capture: .scan, format: .raw)
        }), lock: lock)
    let pages = [UInt32](repeating: 0, count: blocks * Layout.pagesPerBlock)
    self.disks = ModelDisks(pages: [[UInt32]](repeating: pages, count: disks))
    size = UInt64(blocks * Layout.blockSize)
  }

  /// The machine as a process sees it that has just started.
  func reader() throws -> Machine {
    try Vault(opening: path, on: system).machine(named: "web01")
  }

  func writer() throws -> MachineWriter {
    let (lock, clock) = (try lock ?? vault.lock(), clock)
    self.lock = lock
    return try MachineWriter(
      machine: machine, in: vault, lock: lock, clock: { clock.now }, limits: limits)
  }

  /// Writes new pages to a block.
  func write(
    _ writer: MachineWriter, disk: Int = 0, block: Int, pages: UInt16 = .max
  ) throws {
    var content = [UInt8](repeating: 0xEE, count: Layout.blockSize)
    for page in 0..<Layout.pagesPerBlock where pages & 1 << UInt16(page) != 0 {
      disks.pages[disk][block * Layout.pagesPerBlock + page] = nextPage
      content.withUnsafeMutableBytes { buffer in
        let start = page * Layout.pageSize
        PageContent.fill(
          nextPage, UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + Layout.pageSize])
        )
      }
      nextPage += 1
    }
    try content.withUnsafeBytes {
      try writer.write(disk: UInt16(disk), block: UInt64(block), bytes: $0, pages: pages)
    }
  }

  func zero(_ writer: MachineWriter, disk: Int = 0, first: UInt64, count: UInt64) throws {
    try writer.zero(disk: UInt16(disk), firstBlock: first, count: count)
    disks.zero(disk, firstBlock: first, count: count)
  }

  @discardableResult
  func mark(
    _ writer: MachineWriter, label: String? = nil, kind: PointKind = .crash
  ) throws -> ModelPoint {
    let all = disks.pages.indices.map { PointDisk(number: UInt16($0), size: size) }
    let point = try writer.mark(
      NewPoint(kind: kind, label: label, cycle: 1, disks: all, time: clock.now))
    return ModelPoint(point: point, disks: disks)
  }

  /// Whether a point reads as the model says, all disks and bytes of it.
  func reads(_ model: ModelPoint, by machine: Machine? = nil) throws -> Bool {
    let snapshot = try (machine ?? reader()).snapshot()
    for disk in model.point.disks {
      let reader = try snapshot.disk(disk.number, at: model.point)
      guard try Self.reads(reader, Int(disk.number), model.disks) else { return false }
    }
    return true
  }

  /// Whether a reader gives what the model says.
  static func reads(_ reader: DiskReader, _ index: Int, _ disks: ModelDisks) throws -> Bool {
    var bytes = [UInt8](repeating: 0xAA, count: Int(reader.size))
    try bytes.withUnsafeMutableBytes { try reader.readPages(into: $0, at: 0) }
    let wanted = disks.bytes(index, 0..<Int(reader.size))
    return bytes.withUnsafeBytes { bytes in
      wanted.withUnsafeBytes { bytes.firstDifference(from: $0) == nil }
    }
  }

  /// Blocks of a disk that can't be read at a point.
  func unreadableBlocks(_ model: ModelPoint, disk: Int = 0) throws -> [Int] {
    let reader = try reader().snapshot().disk(UInt16(disk), at: model.point)
    var bytes = [UInt8](repeating: 0, count: Layout.blockSize)
    return try (0..<Int(size) / Layout.blockSize).filter { block in
      let start = block * Layout.blockSize
      do {
        try bytes.withUnsafeMutableBytes { try reader.readPages(into: $0, at: UInt64(start)) }
      } catch let error as VaultError {
        guard error.code == .damaged else { throw error }
        return true
      }
      guard bytes == model.disks.bytes(disk, start..<start + Layout.blockSize) else {
        throw ModelFailure("block \(block) reads wrong")
      }
      return false
    }
  }

  /// The log files of a kind.
  func files(_ kind: LogFileName.Kind) throws -> [LogFileName] {
    try system.list(machine.directory).compactMap(LogFileName.init).filter { $0.kind == kind }
      .sorted { $0.number < $1.number }
  }
}
