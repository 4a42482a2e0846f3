public import Bytes
internal import Codecs
internal import FileIO
public import Vault

/// A small vault with one machine, and beside it, in plain arrays, what its disks held at each point.
public final class VaultFixture {
  /// Name of the machine.
  public static let machine = "web01"
  /// The time of the first point: 2026-11-20T10:30:00Z. Each later one comes a minute after.
  public static let start = Timestamp(seconds: 1_795_170_600)

  /// Holds the vault, and room for whatever else a test needs.
  public let directory: TemporaryDirectory
  /// The vault.
  public let vault: Vault
  /// The points made so far, the oldest first, each with the content of its disks.
  public private(set) var history: [(point: RecoveryPoint, disks: [[UInt8]])] = []
  private var disks: [[UInt8]]
  private var touched: [Set<Int>]

  /// Makes a vault with a machine whose disks have these sizes and are all zeros.
  public init(_ name: String = "vault", disks sizes: [Int]) throws {
    directory = try TemporaryDirectory(name)
    vault = try Vault.create(at: directory.file("vault"), name: "small", codec: .zstd, group: nil)
    disks = sizes.map { [UInt8](repeating: 0, count: $0) }
    touched = sizes.map { _ in [] }
    let configurations = sizes.indices.map {
      DiskConfiguration(
        number: DiskNumber($0), path: directory.file("disk\($0)"), capture: .scan, format: .raw)
    }
    _ = try vault.addMachine(
      MachineConfiguration(
        name: Self.machine, operatingSystem: .linux, disks: configurations),
      lock: lock())
  }

  /// The vault's lock. A program that another test is just starting holds a copy of every descriptor
  /// for a moment, and so of the lock.
  public func lock() throws -> VaultLock {
    var lock: VaultLock?
    let isFree = Program.poll(seconds: 10) {
      lock = try? vault.lock()
      return lock != nil
    }
    guard isFree, let lock else { return try vault.lock() }
    return lock
  }

  /// Changes bytes of a disk; the next point shows them.
  public func write(_ bytes: [UInt8], at offset: Int, disk: Int = 0) {
    disks[disk].replaceSubrange(offset..<offset + bytes.count, with: bytes)
    let pages = offset / Layout.pageSize...(offset + max(1, bytes.count) - 1) / Layout.pageSize
    touched[disk].formUnion(pages)
  }

  /// Makes a recovery point of one disk of this size that holds nothing.
  public func mark(sparseDisk size: UInt64) throws -> RecoveryPoint {
    let lock = try lock()
    let machine = try vault.machine(named: Self.machine)
    let writer = try MachineWriter(
      machine: machine, in: vault, lock: lock, clock: { Self.start })
    let point = try writer.mark(
      NewPoint(
        kind: .crash, consistency: .machine, sourceWatched: true, label: nil, cycle: 1,
        disks: [PointDisk(number: 0, size: size)], time: Self.start))
    try writer.close()
    return point
  }

  /// Makes a recovery point of what the disks hold now.
  @discardableResult
  public func mark(
    _ kind: PointKind = .crash, label: String? = nil, time: Timestamp? = nil
  ) throws -> RecoveryPoint {
    let lock = try lock()
    let machine = try vault.machine(named: Self.machine)
    let time = time ?? Timestamp(seconds: Self.start.seconds + Int64(history.count) * 60)
    let writer = try MachineWriter(machine: machine, in: vault, lock: lock, clock: { time })
    for disk in disks.indices { try store(disk, with: writer) }
    let point = try writer.mark(
      NewPoint(
        kind: kind, consistency: .machine, sourceWatched: true, label: label,
        cycle: UInt64(history.count) + 1,
        disks: disks.enumerated().map {
          PointDisk(number: DiskNumber($0.offset), size: UInt64($0.element.count))
        },
        time: time))
    try writer.close()
    history.append((point, disks))
    return point
  }

  /// Makes a branch of the newest point.
  public func branch(
    _ name: String = "drill", purpose: BranchPurpose = .drill, budget: UInt64? = nil
  ) throws -> BranchDescription {
    guard let point = history.last?.point else {
      throw IOError("branch off", vault.path, code: 2)
    }
    let lock = try lock()
    let machine = try vault.machine(named: Self.machine)
    let new = NewBranch(id: .random(), name: name, point: point, budget: budget)
    let writer = try MachineWriter(
      machine: machine, in: vault, lock: lock, clock: { Self.start })
    let pin = BranchPin(branch: new.id, cut: point.sequence, purpose: purpose)
    if purpose == .drill { try writer.pin(pin) } else { try writer.raiseEpoch(pin) }
    try writer.close()
    return try vault.makeBranch(new, of: machine, lock: lock)
  }

  private func store(_ disk: Int, with writer: MachineWriter) throws {
    let blocks = Dictionary(grouping: touched[disk]) { $0 / Layout.pagesPerBlock }
    touched[disk] = []
    for (block, pages) in blocks.sorted(by: { $0.key < $1.key }) {
      let start = block * Layout.blockSize
      let rest = disks[disk].dropFirst(start).prefix(Layout.blockSize)
      let padding = [UInt8](repeating: 0, count: Layout.blockSize - rest.count)
      let mask = pages.reduce(UInt16(0)) { $0 | 1 << UInt16($1 % Layout.pagesPerBlock) }
      try (rest + padding).withUnsafeBytes {
        try writer.write(disk: DiskNumber(disk), block: UInt64(block), bytes: $0, pages: mask)
      }
    }
  }
}

extension VaultFixture {
  /// A vault whose first disk has two MBR partitions, of 1 MiB at 1 MiB and of 512 KiB + 512 at
  /// 2 MiB, and is 4 MiB long; the second has no table and ends in half a page, at 1 MiB + 512. It
  /// has so many points, the second app-consistent, and its content comes from the generator.
  public static func partitioned(
    _ name: String, points: Int = 3, _ generator: inout SeededGenerator
  ) throws -> VaultFixture {
    let fixture = try VaultFixture(name, disks: [4 << 20, 1 << 20 | 512])
    fixture.write(partitionTable([(2048, 2048), (4096, 1025)]), at: 446)
    for number in 0..<points {
      fixture.write(generator.bytes(5000), at: 1 << 20 | 3000 + number * 9000)
      fixture.write(generator.bytes(100_000), at: 2 << 20 + 77_777 * number)
      fixture.write(generator.bytes(700), at: 1 << 20 - 188, disk: 1)
      try fixture.mark(number == 1 ? .application : .crash)
    }
    return fixture
  }

  /// The bytes of an MBR from 446 on: partitions of type 83h, by first sector and sectors.
  public static func partitionTable(_ partitions: [(first: UInt32, count: UInt32)]) -> [UInt8] {
    var bytes: [UInt8] = []
    for partition in partitions {
      bytes += [0, 0xFE, 0xFF, 0xFF, 0x83, 0xFE, 0xFF, 0xFF]
      for field in [partition.first, partition.count] {
        bytes += (0..<4).map { UInt8(truncatingIfNeeded: field >> (8 * $0)) }
      }
    }
    return bytes + [UInt8](repeating: 0, count: 64 - bytes.count) + [0x55, 0xAA]
  }
}
