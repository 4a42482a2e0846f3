internal import Bytes
internal import Codecs
public import FileIO

/// Makes a machine's lost or damaged MANIFEST anew from its segments; for that of a branch see `BranchRebuild`.
///
/// Every segment says whose it is and how the machine was configured; its trailer, or a replay of its
/// records, tells the rest. All recovery points that segments hold come back, each locked so that
/// retention leaves them until an operator has looked. Merged runs are not looked for: the segments'
/// own runs say the same. The pins come back from the branches that stand on the machine, and so does an epoch
/// that only they know of: it is never lowered. A failover that was committed stays so, and the points that were
/// removed by that stay away. Where the log has lost its end, no number that a branch knows of is given out
/// again, and a branch that stood on what is lost is pinned as unreadable. The old MANIFEST is kept as `MANIFEST.old`.
///
/// Durability: the new MANIFEST is written whole, synced and renamed into place; a crash leaves the
/// old state or the new one.
public struct Rebuild {
  /// What came of one machine.
  public struct Outcome: Sendable {
    /// The machine's name.
    public let machine: String
    /// Segments found.
    public let segments: Int
    /// Recovery points that came back.
    public let points: Int
    /// What could not be brought back, and why.
    public let warnings: [String]
  }

  private let vault: Vault
  private let machine: Machine
  private var configuration: MachineConfiguration?
  private var segments: [ManifestEntry] = []
  private var runs: [RunSet] = []
  private var points: [RecoveryPoint] = []
  private var branchings: [Branching] = []
  private var pins: [BranchPin] = []
  private var commits: [SyncPayload] = []
  private var warnings: [String] = []
  private var generation: UInt64 = 1
  private var nextFile: UInt32 = 1

  /// Makes anew what is missing or damaged in a vault: `vault.json`, and the MANIFEST of every machine
  /// whose MANIFEST can't be read.
  public static func run(
    at path: String, on system: FileSystem = .system
  ) throws(VaultError) -> [Outcome] {
    let lock = try VaultLock(path, on: system)
    try restoreDescription(path, on: system)
    let vault = try Vault(opening: path, on: system)
    // What stands on the machines first: from it their pins come back.
    var outcomes = try BranchRebuild.run(in: vault)
    for machine in try vault.machines() {
      do throws(VaultError) {
        _ = try machine.snapshot()
        // A segment the MANIFEST does not know shows only to a writer.
        try pinAgain(try MachineWriter(machine: machine, in: vault, lock: lock), vault)
      } catch {
        guard error.code == .damaged || error.cause?.isMissing == true else { throw error }
        var rebuild = Rebuild(vault: vault, machine: machine)
        outcomes.append(try rebuild.run())
      }
    }
    return outcomes
  }

  /// Pins what stands on a machine that can be read, where its MANIFEST does not say so.
  private static func pinAgain(_ writer: MachineWriter, _ vault: Vault) throws(VaultError) {
    for id in try vault.branchIdentifiers() {
      guard let branch = try? vault.branch(id), branch.machine == writer.machine.id else {
        continue
      }
      try writer.pinAgain(branch)
    }
  }

  /// Makes the MANIFEST of one machine anew, whose log nobody writes to meanwhile, whether it can be read or
  /// not.
  public static func run(
    _ machine: Machine, in vault: Vault, lock: VaultLock
  ) throws(VaultError) -> Outcome {
    var rebuild = Rebuild(vault: vault, machine: machine)
    return try rebuild.run()
  }

  private init(vault: Vault, machine: Machine) {
    (self.vault, self.machine) = (vault, machine)
  }

  /// Makes `vault.json` anew if it can't be read; what no segment tells gets a plain value.
  private static func restoreDescription(
    _ path: String, on system: FileSystem
  ) throws(VaultError) {
    do throws(VaultError) {
      _ = try VaultDescription(readingFrom: path, on: system)
      return
    } catch {
      guard error.code == .damaged || error.code == .notAVault else { throw error }
    }
    guard let identity = anyIdentity(path, on: system) else {
      throw VaultError(
        .notAVault,
        "'\(path)' can't be made a vault again: no segment under "
          + "'\(path)/machines' tells which vault it belonged to.")
    }
    let description = VaultDescription(
      id: identity.vault, name: "rebuilt", created: .now(), codec: .zstd)
    let json = try description.encode()
    try translated { () throws(IOError) in
      try system.replaceFile(
        path + "/" + VaultDescription.fileName, with: json, permissions: 0o600)
    }
  }

  private static func anyIdentity(_ path: String, on system: FileSystem) -> LogIdentity? {
    let machines = path + "/machines"
    for name in (try? system.list(machines)) ?? [] where Identifier(name) != nil {
      for file in (try? system.list(machines + "/" + name)) ?? [] where file.hasSuffix(".seg") {
        let bytes = try? File(machines + "/\(name)/\(file)", .reading, on: system)
          .read(at: 0, count: 1 << 16)
        if let found = bytes.flatMap(SegmentHeader.decode) { return found.identity }
      }
    }
    return nil
  }

  private mutating func run() throws(VaultError) -> Outcome {
    let names = try translated { () throws(IOError) in
      try machine.system.list(machine.directory)
    }
    let files = names.compactMap(LogFileName.init)
    nextFile = (files.map(\.number).max() ?? 0) + 1
    let numbers = files.filter { $0.kind == .segment }.map(\.number).sorted()
    for (index, number) in numbers.enumerated() {
      let next = index + 1 < numbers.count ? numbers[index + 1] : nil
      try add(number, next: next)
    }
    guard let configuration else {
      throw VaultError(
        .damaged,
        "'\(machine.directory)' can't be made anew: it holds no segment whose header "
          + "can be read.")
    }
    try restorePins()
    points.removeAll { point in commits.contains { point.sequence <= $0.lastSequence } }
    try write(configuration)
    return Outcome(
      machine: configuration.name, segments: numbers.count, points: points.count,
      warnings: warnings)
  }

  private mutating func write(_ configuration: MachineConfiguration) throws(VaultError) {
    var entries: [ManifestEntry] = [.configuration(configuration)]
    entries += segments
    entries += runs.map(ManifestEntry.runAdded)
    entries += branchings.map(ManifestEntry.branching)
    entries += pins.map(ManifestEntry.pinned)
    let removed = commits.map(\.lastSequence).max()
    if let removed { entries.append(.pointsRemoved([.zero...removed])) }
    entries += points.map(ManifestEntry.point)
    entries += points.map { .pointLocked($0.sequence, true) }
    let path = machine.manifestPath
    if machine.system.exists(path) {
      try translated { () throws(IOError) in
        let old = try machine.system.readFile(path, limit: Format.manifestSizeLimit)
        try machine.system.replaceFile(path + ".old", with: old, permissions: 0o600)
      }
    }
    try ManifestWriter.create(
      path, entries: entries, generation: generation, identity: machine.identity,
      permissions: vault.permissions.file, on: machine.system)
    try translated { () throws(IOError) in
      try vault.permissions.apply(to: path, on: machine.system)
    }
  }

  /// Takes what the branches know of the machine; one that can't be read is a warning.
  private mutating func restorePins() throws(VaultError) {
    let end = lastSequence
    // Where the next writer goes on from if the log's end is lost.
    let settled = max(points.last?.sequence ?? .zero, branchings.last?.first ?? .zero)
    var branches: [BranchDescription] = []
    for id in try vault.branchIdentifiers() {
      do throws(VaultError) { branches.append(try vault.branch(id)) } catch {
        warnings.append("branch \(id) can't be read, and is not pinned: \(error.message)")
      }
    }
    branches.removeAll { $0.machine != machine.id }
    for branch in branches.sorted(by: { $0.epoch < $1.epoch }) {
      var pin = BranchPin(branch: branch.id, cut: branch.cut, purpose: branch.purpose)
      let isFailover = branch.purpose == .failover
      pin.isCommitted = isFailover && commits.contains { $0.epoch == branch.epoch }
      (pin.isFlat, pin.isLost) = (branch.isFlat, !branch.isFlat && branch.cut > end)
      if pin.isLost {
        warnings.append(
          "the log has lost the cut that branch '\(branch.name)' stands on: it can't be read any more"
        )
      }
      pins.append(pin)
      restoreEpoch(of: branch, settled)
    }
    let newest = branches.map(\.start).max() ?? .zero
    guard newest > end, branchings.allSatisfy({ $0.first < newest }) else { return }
    let incarnations = branchings.filter { $0.kind == .incarnation }.map(\.number)
    branchings.append(
      Branching(
        kind: .incarnation, number: (incarnations.max() ?? 0) + 1, first: newest.next,
        parent: settled))
  }

  /// An epoch that the log does not tell of any more.
  private mutating func restoreEpoch(of branch: BranchDescription, _ settled: SequenceNumber) {
    let known = branchings.lazy.filter { $0.kind == .epoch }.map(\.number).max() ?? 0
    guard branch.epoch > known else { return }
    let isFailover = branch.purpose == .failover
    branchings.append(
      Branching(
        kind: .epoch, number: branch.epoch, first: isFailover ? branch.epochStart : branch.start,
        parent: isFailover ? branch.cut : settled))
  }

  // MARK: - Segments

  private mutating func add(_ number: UInt32, next: UInt32?) throws(VaultError) {
    let name = LogFileName(.segment, number)
    let file = try machine.files.open(name)
    let size = try translated { () throws(IOError) in try file.file.status().size }
    let header = try machine.place().header(of: file)
    if let header { configuration = header.configuration }
    let start = UInt64(header?.length ?? 0)
    let first = header?.firstSequence ?? lastSequence.next
    let trailer = try machine.place().trailer(of: file, name, size)
    let replay = try SegmentReplay(
      file, segment: number, from: start, to: trailer?.recordsEnd ?? size, firstSequence: first,
      disks: configuration?.disks.map(\.number) ?? [], identity: machine.identity)
    if let sync = replay.lastSync { generation = max(generation, sync.manifestLength) }
    branchings += replay.turns.compactMap { $0.branching(after: branchings) }
    commits += replay.commits
    for damage in replay.damages where !damage.repaired {
      warnings.append(
        "\(name): bytes \(damage.range.lowerBound)–\(damage.range.upperBound) are damaged")
    }
    segments.append(
      .segmentOpened(number: number, headerLength: UInt32(start), firstSequence: first))
    let limit = try next.flatMap { number throws(VaultError) in
      try machine.place().header(of: try machine.files.open(LogFileName(.segment, number)))?
        .firstSequence
    }
    let behind = limit ?? max(replay.lastSequence, replay.lastSync?.lastSequence ?? .zero).next
    // What was moved from one segment to the next is in both.
    let known = points.last?.sequence ?? .zero
    points += replay.points.filter { known < $0.sequence && $0.sequence < behind }
    if let trailer {
      seal(number, replay, end: trailer.recordsEnd, last: trailer.lastSequence)
      if let set = RunSet([trailer.run]) { runs.append(set) }
    } else {
      if limit == nil { try makeDurable(replay, name) }
      try sealAsItIs(number, replay, before: behind)
    }
  }

  /// Writes what no sync vouches for once more, in its place: an fdatasync of it may have failed.
  private func makeDurable(_ replay: SegmentReplay, _ name: LogFileName) throws(VaultError) {
    guard replay.vouched < replay.end else { return }
    try translated { () throws(IOError) in
      let file = try File(machine.files.path(name), .writing, on: machine.system)
      let count = Int(replay.end - replay.vouched)
      try file.write(try file.read(at: replay.vouched, count: count), at: replay.vouched)
      try file.sync()
    }
  }

  private var lastSequence: SequenceNumber {
    for case .segmentSealed(let sealed) in segments.reversed() { return sealed.lastSequence }
    return .zero
  }

  private mutating func seal(
    _ number: UInt32, _ replay: SegmentReplay, end: UInt64, last: UInt64
  ) {
    segments.append(
      .segmentSealed(
        ManifestEntry.SealedSegment(
          number: number, recordsEnd: end, lastSequence: SequenceNumber(rawValue: last),
          lastTime: replay.lastTime, disks: replay.lastSync?.disks ?? [])))
  }

  /// A segment that was open or closed as it was, or whose trailer is lost: its run is made anew, of the
  /// records before those that the next segment begins with.
  private mutating func sealAsItIs(
    _ number: UInt32, _ replay: SegmentReplay, before limit: SequenceNumber
  ) throws(VaultError) {
    let entries = MemoryRun(replay.entries.filter { $0.sequence < limit.rawValue }).entries
    seal(number, replay, end: replay.end, last: limit.rawValue - 1)
    guard !entries.isEmpty else { return }
    let name = LogFileName(.run, nextFile)
    nextFile += 1
    let identity = machine.identity
    let path = machine.files.path(name)
    let permissions = vault.permissions
    let run = try translated { () throws(IOError) in
      let file = try File(path, .creating(permissions: permissions.file), on: machine.system)
      try permissions.apply(to: path, on: machine.system)
      var writer = RunWriter(name, base: 0, identity: identity)
      for entry in entries { try writer.add(entry, to: file) }
      let run = try writer.finish(to: file) { RunTrailer(run: $0) }
      try file.sync()
      try machine.system.syncDirectory(machine.directory)
      return run
    }
    if let set = RunSet([run]) { runs.append(set) }
  }
}
