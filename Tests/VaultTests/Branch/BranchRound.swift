import Bytes
import Codecs
import FileIO
import Support
import Testing

@testable import Vault

/// A branch on a simulated disk beside the arrays that tell what it must answer.
final class BranchRound {
  static let path = "/vault"
  static let id = Identifier(high: 7, low: 7)

  var random: SeededGenerator
  let disk: SimulatedDisk
  let clock = ModelClock()
  let limits: LogLimits
  /// When segments are sealed and runs merged.
  let pace: KeeperPace
  let sizes: [Int]
  var model: BranchModel
  private(set) var branch: Branch?
  /// The copy to plain files that is under way.
  var flattening: Flattening?
  /// Cuts that were taken, and what they must show for ever.
  private var held: [(cut: BranchCut, state: BranchModel.State)] = []
  /// Whether a fault is prepared, so that a call may fail.
  var isArmed = false
  /// Whether a sync may have failed, so that what was answered may be gone without a loss of power.
  var isDoubtful = false
  var log: [String] = []

  init(seed: UInt64, budget: UInt64? = nil) throws {
    var random = SeededGenerator(seed: seed)
    disk = SimulatedDisk(seed: random.next())
    sizes = [random.number(300..<900) * 512, random.number(100..<300) * 512]
    limits = LogLimits(
      segmentSize: UInt64(random.number(24..<400)) << 10,
      segmentRecords: random.number(8..<120), segmentEntries: random.number(40..<400),
      runEntries: random.number(20..<200), lowestTier: UInt64(random.number(8..<60)))
    pace = random.once(in: 2) ? .within : .stepped
    let vault = try Vault.create(at: Self.path, name: "test", codec: .zstd, on: disk.fileSystem)
    let lock = try vault.lock()
    let machine = try vault.addMachine(
      MachineConfiguration(
        name: "web01", operatingSystem: .linux,
        disks: (0..<2).map {
          DiskConfiguration(number: $0, path: "/d\($0)", capture: .scan, format: .raw)
        }), lock: lock)
    let writer = try MachineWriter(machine: machine, in: vault, lock: lock)
    let disks = try Self.fill(writer, sizes, &random)
    let point = try writer.mark(
      NewPoint(
        disks: sizes.enumerated().map {
          PointDisk(number: UInt16($0.offset), size: UInt64($0.element))
        }, time: clock.now))
    // What comes later is not seen, neither of a drill nor of a failover.
    _ = try Self.fill(writer, sizes, &random)
    let isDrill = random.once(in: 2)
    let pin = BranchPin(
      branch: Self.id, cut: point.sequence, purpose: isDrill ? .drill : .failover)
    if isDrill { try writer.pin(pin) } else { try writer.raiseEpoch(pin) }
    try writer.close()
    let description = try vault.makeBranch(
      NewBranch(id: Self.id, name: "harbour", point: point, budget: budget), of: machine,
      lock: lock)
    model = BranchModel(disks, start: description.start.rawValue)
    self.random = random
    branch = try open()
  }

  private static func fill(
    _ writer: MachineWriter, _ sizes: [Int], _ random: inout SeededGenerator
  ) throws -> [[UInt8]] {
    try sizes.enumerated().map { index, size in
      let blocks = (size + Layout.blockSize - 1) / Layout.blockSize
      var bytes = [UInt8](repeating: 0, count: blocks * Layout.blockSize)
      for block in 0..<blocks where !random.once(in: 3) {
        let start = block * Layout.blockSize
        let count = min(size - start, Layout.blockSize)
        bytes.replaceSubrange(start..<start + count, with: random.bytes(count))
        try bytes[start..<start + Layout.blockSize].withUnsafeBytes {
          try writer.write(disk: UInt16(index), block: UInt64(block), bytes: $0, pages: .max)
        }
      }
      return Array(bytes[..<size])
    }
  }

  private func open() throws -> Branch {
    let clock = clock
    return try Vault(opening: Self.path, on: disk.fileSystem).openBranch(
      Self.id, limits: limits, clock: { clock.now }, pace: pace)
  }

  /// Bytes that differ from call to call; made faster than truly random ones.
  func bytes(_ count: Int) -> [UInt8] {
    let word = random.next()
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      for place in 0..<count / 8 {
        raw.storeBytes(
          of: word &+ UInt64(place), toByteOffset: place * 8, as: UInt64.self)
      }
      for place in count / 8 * 8..<count { raw[place] = UInt8(truncatingIfNeeded: word) }
      initialized = count
    }
  }

  func note(_ text: String) { log.append(text) }

  private var current: Branch {
    get throws {
      guard let branch else { throw ModelFailure("no branch is open") }
      return branch
    }
  }

  private var newest: UInt64 {
    get throws { try current.usage.records + current.description.start.rawValue }
  }

  // MARK: - Writing

  /// Does a write, and takes what came of it into the model.
  ///
  /// - Returns: false if it failed, as it may where a fault is prepared.
  func attempt(
    _ what: String, _ steps: [BranchModel.Step], _ body: (BranchDisk) throws -> Void
  ) throws -> Bool {
    guard let first = steps.first else { return true }
    note(what)
    do {
      try body(try current.disks[first.disk])
      model.take(steps)
      guard try newest == model.answeredNumber else {
        throw ModelFailure("\(what) ended with number \(try newest), not \(model.answeredNumber)")
      }
      return true
    } catch let error as VaultError {
      note("… \(error)")
      guard isArmed || error.code == .overBudget else {
        throw ModelFailure("'\(what)' failed without a reason: \(error)")
      }
      model.take(steps, upTo: try newest)
      return error.code == .overBudget
    }
  }

  func write(_ index: Int, _ bytes: [UInt8], at offset: Int) throws -> Bool {
    try attempt(
      "write \(index):\(offset)+\(bytes.count)",
      BranchModel.steps(index, write: bytes, at: offset)
    ) { disk in try bytes.withUnsafeBytes { try disk.write($0, at: UInt64(offset)) } }
  }

  func zero(_ index: Int, _ range: Range<Int>) throws -> Bool {
    try attempt(
      "zero \(index):\(range)", BranchModel.steps(index, zero: range, size: sizes[index])
    ) { disk in try disk.zero(UInt64(range.lowerBound)..<UInt64(range.upperBound)) }
  }

  func flush() throws -> Bool {
    note("flush")
    do {
      try current.disks[random.number(0..<2)].flush()
      model.flush()
      return true
    } catch let error as VaultError {
      note("… \(error)")
      guard isArmed else { throw ModelFailure("a flush failed without a reason: \(error)") }
      isDoubtful = true
      return false
    }
  }

  /// Lets the keeper do what there is to do.
  func keep() throws -> Bool {
    note("the keeper's turn")
    try current.keeper.step()
    guard let trouble = try current.keeper.trouble else { return true }
    note("… \(trouble)")
    guard isArmed else { throw ModelFailure("the keeper failed without a reason: \(trouble)") }
    // What it failed at may be a sync that nobody else hears of.
    isDoubtful = true
    return true
  }

  // MARK: - Ending and starting

  /// Closes it and opens it again.
  func reopen() throws -> Bool {
    note("close")
    do { try current.close() } catch let error as VaultError {
      guard isArmed else { throw ModelFailure("closing failed without a reason: \(error)") }
      isDoubtful = true
      return false
    }
    model.flush()
    try restart(crashing: false)
    return true
  }

  /// The process ends, or the power goes; then a new one opens the branch.
  func restart(crashing: Bool) throws {
    (branch, flattening) = (nil, nil)
    let wasOff = disk.isOff
    disk.failSyncs(0)
    disk.setCapacity(nil)
    disk.cutPower(after: .max)
    var crashes = crashing || wasOff
    if !crashes, isDoubtful, random.once(in: 2) {
      note("only what is on the disk is seen now")
      disk.dropCaches()
      held = []
    }
    while true {
      note(crashes ? "crash" : "kill")
      if crashes {
        disk.crash()
        held = []
      }
      isArmed = false
      if random.once(in: 5) {
        disk.cutPower(after: random.number(0..<20))
        isArmed = true
      }
      let mayLose = crashes || isDoubtful
      do {
        branch = try open()
        if disk.isOff { (branch, crashes) = (nil, true) } else { return try found(mayLose) }
      } catch let error as VaultError {
        guard disk.isOff else { throw ModelFailure("opening failed: \(error)") }
        (crashes, isDoubtful) = (true, true)
      }
    }
  }

  /// As `restart`, for a branch that is plain files: what is found is for the caller to judge.
  func reopenFlat(crashing: Bool) throws {
    note(crashing ? "crash" : "kill")
    branch = nil
    disk.failSyncs(0)
    disk.cutPower(after: .max)
    if crashing { disk.crash() }
    // As the kernel is asked to when plain files are opened: what it could not write is not shown any more.
    disk.dropCaches()
    (isArmed, isDoubtful) = (false, false)
    branch = try open()
  }

  private func found(_ mayLose: Bool) throws {
    let number = try newest
    note("found \(number) of \(model.durableNumber)…\(model.attemptedNumber)")
    let least = mayLose ? model.durableNumber : model.answeredNumber
    guard least <= number, number <= model.attemptedNumber else {
      throw ModelFailure("found \(number), not \(least)…\(model.attemptedNumber)")
    }
    model.settle(at: number)
    isDoubtful = false
    if !isArmed { try checkEverything() }
  }

  // MARK: - Reading

  func checkEverything() throws {
    for index in sizes.indices {
      try compare(try current.disks[index], index, 0..<sizes[index], model.head, "the disk")
    }
    try checkChanges()
  }

  func readSome() throws {
    let index = random.number(0..<2)
    let first = random.number(0..<sizes[index])
    let end = min(sizes[index], first + random.number(1..<100_000))
    try compare(try current.disks[index], index, first..<end, model.head, "a part")
  }

  private func compare(
    _ disk: some DiskContent, _ index: Int, _ range: Range<Int>, _ state: BranchModel.State,
    _ what: String
  ) throws {
    var bytes = [UInt8](repeating: 0xAA, count: range.count)
    try bytes.withUnsafeMutableBytes { try disk.read(into: $0, at: UInt64(range.lowerBound)) }
    let place = bytes.withUnsafeBytes { bytes in
      state.disks[index].withUnsafeBytes { wanted in
        bytes.firstDifference(from: UnsafeRawBufferPointer(rebasing: wanted[range]))
      }
    }
    guard let place else { return }
    throw ModelFailure("\(what) \(index), \(range), differs at \(range.lowerBound + place)")
  }

  func checkChanges() throws {
    guard try !current.isFlat else { return }
    for index in sizes.indices {
      let ranges = try current.changedRanges(UInt16(index))
      var pages: Set<Int> = []
      for range in ranges {
        pages.formUnion(
          Int(range.lowerBound) / Layout.pageSize...(Int(range.upperBound) - 1) / Layout.pageSize)
      }
      let isApart = zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
      guard pages == model.head.touched[index], isApart else {
        throw ModelFailure("disk \(index) is said to have changed in \(ranges)")
      }
    }
  }

  /// Between data and holes everything but holes may hold bytes, and holes hold none.
  func checkHoles() throws {
    let index = random.number(0..<2)
    let disk = try current.disks[index]
    var position = UInt64(random.number(0..<sizes[index]))
    while position < disk.size {
      let data = try disk.nextData(from: position) ?? disk.size
      let isZero = model.head.disks[index].withUnsafeBytes {
        UnsafeRawBufferPointer(rebasing: $0[Int(position)..<Int(data)]).isZero
      }
      guard data >= position, isZero else {
        throw ModelFailure("disk \(index) has a hole \(position)..<\(data) that holds bytes")
      }
      position = data < disk.size ? try disk.nextHole(from: data) : data
      guard position > data || data == disk.size else { throw ModelFailure("an empty stretch") }
    }
  }

  func hold() throws {
    note("cut")
    if held.count == 3 { held.remove(at: random.number(0..<3)) }
    let isOther = random.once(in: 2)
    let cut =
      isOther
      ? try Vault(opening: Self.path, on: disk.fileSystem).readBranch(Self.id)
      : try current.cut()
    guard cut.sequence.rawValue == model.answeredNumber else {
      throw ModelFailure("a cut shows \(cut.sequence), not \(model.answeredNumber)")
    }
    held.append((cut, model.head))
  }

  func readHeld() throws {
    for (cut, state) in held {
      for index in sizes.indices {
        try compare(cut.disks[index], index, 0..<sizes[index], state, "a cut of disk")
      }
    }
  }
}
