import Bytes
import Codecs
import FileIO
import Support
import Testing

@testable import Vault

/// A recovery point and what it must show for ever.
struct ModelPoint {
  var point: RecoveryPoint
  var disks: ModelDisks
}

/// One vault on a simulated disk beside the arrays that tell what it must answer.
///
/// Every record the writer makes has a number. `states` holds what the disks look like after each
/// number that is not known to be durable yet, so after a crash the newest number that is there tells
/// which of them must be read: one of those the writer made, whole, and none older than what it
/// acknowledged.
final class ModelRound {
  static let path = "/vault"
  static let name = "web01"
  let numbers: [DiskNumber] = [0, 1, 513]

  var random: SeededGenerator
  let disk: SimulatedDisk
  let clock = ModelClock()
  let limits: LogLimits

  // The vault, as this process sees it, and as another one does that only reads.
  var lock: VaultLock
  var writer: MachineWriter
  var observer: Machine

  // The model.
  var sizes: [UInt64]
  /// What was given to the writer so far.
  var head: ModelDisks
  /// The points that were acknowledged, or seen after a crash.
  var points: [ModelPoint] = []
  /// What the disks look like after each number since the newest acknowledged one.
  var states: [UInt64: ModelDisks]
  /// Points that were asked for and neither acknowledged nor seen.
  var attempts: [UInt64: NewPoint] = [:]
  var acknowledged: UInt64 = 0
  var nextPage: UInt32 = 1
  /// Readers kept open across whatever follows.
  var held: [(reader: DiskReader, point: Int, disk: Int)] = []

  /// Whether a fault is prepared, so that a call may fail.
  var isArmed = false
  /// Whether the power is going to go.
  var isDoomed = false
  /// What was done, for whoever has to find out what went wrong.
  var log: [String] = []

  /// Makes a vault whose disks, codec and, unless they are given, limits the seed decides.
  init(seed: UInt64, limits: LogLimits? = nil) throws {
    var random = SeededGenerator(seed: seed)
    let disk = SimulatedDisk(seed: random.next())
    let chosen = LogLimits(
      segmentSize: UInt64(random.number(16..<1025)) << 10,
      segmentRecords: random.number(20..<601), segmentEntries: random.number(100..<2001),
      commitSize: random.number(16..<513) << 10, runEntries: random.number(30..<601),
      lowestTier: UInt64(random.number(8..<401)))
    self.limits = limits ?? chosen
    sizes = numbers.map { _ in UInt64(random.number(512..<3073)) * 512 }
    let pages = sizes.map { size in
      [UInt32](repeating: 0, count: Int(size + 65535) / 65536 * Layout.pagesPerBlock)
    }
    head = ModelDisks(pages: pages)
    states = [0: head]
    let codec = Codec.allCases[random.number(0..<Codec.allCases.count)]
    let vault = try Vault.create(at: Self.path, name: "test", codec: codec, on: disk.fileSystem)
    lock = try vault.lock()
    try vault.addMachine(
      MachineConfiguration(
        name: Self.name, operatingSystem: .linux,
        disks: numbers.map {
          DiskConfiguration(number: $0, path: "/d\($0)", capture: .scan, format: .raw)
        }), lock: lock)
    self.random = random
    self.disk = disk
    writer = try Self.open(disk, clock, self.limits, lock)
    observer = try Self.observer(of: disk)
  }

  /// Opens the vault for writing as a new process would.
  static func open(
    _ disk: SimulatedDisk, _ clock: ModelClock, _ limits: LogLimits, _ lock: VaultLock
  ) throws -> MachineWriter {
    let vault = try Vault(opening: path, on: disk.fileSystem)
    return try MachineWriter(
      machine: try vault.machine(named: name), in: vault, lock: lock, clock: { clock.now },
      limits: limits)
  }

  /// Opens the vault for reading as a new process would.
  static func observer(of disk: SimulatedDisk) throws -> Machine {
    try Vault(opening: path, on: disk.fileSystem).machine(named: name)
  }

  func note(_ text: String) { log.append(text) }

  // MARK: - What the writer is given

  /// Runs a call of the writer that may add records, and takes its effect into the model.
  ///
  /// - Returns: false if it failed, as it may where a fault is prepared.
  func attempt(
    _ what: String, _ effect: (inout ModelDisks) -> Void = { _ in }, _ body: () throws -> Void
  ) throws -> Bool {
    let before = writer.lastSequence.rawValue
    var failure: (any Error)?
    do { try body() } catch { failure = error }
    if writer.lastSequence.rawValue > before {
      effect(&head)
      states[writer.lastSequence.rawValue] = head
    }
    note(what + (failure.map { ": \($0)" } ?? ""))
    guard let failure else { return true }
    guard isArmed else { throw ModelFailure("'\(what)' failed without a reason: \(failure)") }
    return false
  }

  /// Everything up to now is durable.
  func acknowledge() {
    acknowledged = writer.lastSequence.rawValue
    states = [acknowledged: head]
    attempts = [:]
  }

  /// Random new bytes for pages of a block, and the disk's pages after they are written.
  func content(
    _ index: Int, block: Int, pages: UInt16, before: [UInt32]
  ) -> (bytes: [UInt8], after: [UInt32]) {
    var content = [UInt8](repeating: 0xEE, count: Layout.blockSize)
    var after = before
    for page in 0..<Layout.pagesPerBlock where pages & 1 << UInt16(page) != 0 {
      let number = random.once(in: 6) ? 0 : nextPage
      if number != 0 { nextPage += 1 }
      after[block * Layout.pagesPerBlock + page] = number
      content.withUnsafeMutableBytes { buffer in
        let start = page * Layout.pageSize
        PageContent.fill(
          number, UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + Layout.pageSize]))
      }
    }
    return (content, after)
  }

  func write(_ index: Int, block: Int, pages: UInt16) throws -> Bool {
    let (bytes, after) = content(index, block: block, pages: pages, before: head.pages[index])
    return try attempt("write \(numbers[index]):\(block)", { $0.pages[index] = after }) {
      try bytes.withUnsafeBytes {
        try writer.write(disk: numbers[index], block: UInt64(block), bytes: $0, pages: pages)
      }
    }
  }

  func zero(_ index: Int, first: UInt64, count: UInt64) throws -> Bool {
    try attempt(
      "zero \(numbers[index]):\(first)+\(count)",
      { $0.zero(index, firstBlock: first, count: count) }
    ) { try writer.zero(disk: numbers[index], firstBlock: first, count: count) }
  }

  func commit() throws -> Bool {
    guard try attempt("commit", { _ in }, { try writer.commit() }) else { return false }
    acknowledge()
    return true
  }

  func mark(_ new: NewPoint) throws -> Bool {
    var made: RecoveryPoint?
    attempts[writer.lastSequence.next.rawValue] = new
    let isDone = try attempt("mark", { _ in }) { made = try writer.mark(new) }
    guard isDone, let made else { return false }
    #expect(made.sequence == writer.lastSequence)
    #expect(made.time >= new.time)
    add(made, head)
    acknowledge()
    return true
  }

  /// Takes a point into the model that must be there from now on.
  func add(_ point: RecoveryPoint, _ disks: ModelDisks) {
    if let last = points.last?.point {
      #expect(point.sequence > last.sequence)
      #expect(point.time >= last.time)
      #expect(!points.contains { $0.point.id == point.id })
    }
    points.append(ModelPoint(point: point, disks: disks))
  }
}

/// Something the model could not explain.
struct ModelFailure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
