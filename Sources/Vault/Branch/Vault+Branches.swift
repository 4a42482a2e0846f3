public import Bytes
internal import FileIO
internal import Synchronization

/// A branch to be made.
public struct NewBranch: Sendable {
  /// Its identifier, which a pin of the machine names.
  public var id: Identifier
  /// Its name: that of the drill, or of the failed-over machine.
  public var name: String
  /// The disks it has, and their sizes: those of the recovery point it stands on.
  public var disks: [PointDisk]
  /// Bytes it may store; nil for as many as the vault has room for.
  public var budget: UInt64?

  /// A branch with the disks of `point`.
  public init(id: Identifier, name: String, point: RecoveryPoint, budget: UInt64? = nil) {
    (self.id, self.name, self.disks, self.budget) = (id, name, point.disks, budget)
  }
}

extension Vault {
  var branchesPath: String { path + "/branches" }

  func branchPath(_ id: Identifier) -> String { branchesPath + "/\(id)" }

  /// Makes a branch above the cut that the machine's pin of its identifier names. Its epoch is the machine's.
  ///
  /// Protocol: the pin is durable before. The branch's directory is made under a name with a dot, with its
  /// files synced, then renamed, and the directory above synced: durable when this returns. A crash before
  /// leaves a directory that is passed over and cleared away by the next call, and the pin, by which
  /// whoever began knows that the branch was not made.
  /// - Throws: `.invalid` if the machine pins nothing for it, `.alreadyExists`, or the failure of a system call.
  @discardableResult
  public func makeBranch(
    _ new: NewBranch, of machine: Machine, lock: VaultLock
  ) throws(VaultError) -> BranchDescription {
    try branchChanges.withLock { _ throws(VaultError) in try make(new, of: machine) }
  }

  private func make(
    _ new: NewBranch, of machine: Machine
  ) throws(VaultError) -> BranchDescription {
    let snapshot = try machine.snapshot()
    guard let pin = snapshot.pins.first(where: { $0.branch == new.id }) else {
      throw VaultError(
        .invalid, "Branch '\(new.name)' can't be made: '\(machine.name)' pins nothing for it.")
    }
    guard !system.exists(branchPath(new.id)) else {
      throw VaultError(.alreadyExists, "The vault '\(path)' has a branch \(new.id) already.")
    }
    try makeBranchesDirectory()
    try removeUnfinishedBranches()
    let newest = snapshot.branchings.last { $0.kind == .epoch }
    let description = BranchDescription(
      id: new.id, machine: machine.id, cut: pin.cut, position: machine.position(of: snapshot),
      epoch: snapshot.epoch,
      epochStart: pin.purpose == .failover ? newest?.first ?? .zero : .zero,
      purpose: pin.purpose, name: new.name, created: .now(), budget: new.budget, disks: new.disks)
    try write(description, snapshot.configuration, identity: machine.identity)
    return description
  }

  private func makeBranchesDirectory() throws(VaultError) {
    guard !system.exists(branchesPath) else { return }
    try translated { () throws(IOError) in
      try permissions.makeDirectory(branchesPath, on: system)
      try system.syncDirectory(path)
    }
  }

  private func write(
    _ description: BranchDescription, _ configuration: MachineConfiguration,
    identity: LogIdentity
  ) throws(VaultError) {
    let unfinished = branchesPath + "/.new-\(description.id)"
    let permissions = permissions
    let manifest = unfinished + "/" + Manifest.fileName
    try translated { () throws(IOError) in
      try permissions.makeDirectory(unfinished, on: system)
      for name in [ReaderLease.fileName, VaultLock.fileName] {
        let path = unfinished + "/" + name
        let file = try File(path, .creating(permissions: permissions.file), on: system)
        try file.sync()
        try permissions.apply(to: path, on: system)
      }
    }
    let copy = unfinished + "/" + Manifest.firstName
    for path in [manifest, copy] {
      try ManifestWriter.create(
        path, entries: [.configuration(configuration), .branch(description)],
        identity: identity, permissions: permissions.file, on: system)
    }
    try translated { () throws(IOError) in
      try permissions.apply(to: manifest, on: system)
      try permissions.apply(to: copy, on: system)
      try system.syncDirectory(unfinished)
      try system.rename(unfinished, to: branchPath(description.id))
      try system.syncDirectory(branchesPath)
    }
  }

  // MARK: - Looking

  /// The branches there are, whether they can be read or not.
  public func branchIdentifiers() throws(VaultError) -> [Identifier] {
    guard system.exists(branchesPath) else { return [] }
    let names = try translated { () throws(IOError) in try system.list(branchesPath) }
    return names.compactMap { Identifier($0) }.sorted { $0.description < $1.description }
  }

  /// The branches, by the time they were made.
  ///
  /// - Throws: the first reason why one can't be read; `branchIdentifiers` and `branch` tell of each.
  public func branches() throws(VaultError) -> [BranchDescription] {
    var found: [BranchDescription] = []
    for id in try branchIdentifiers() { found.append(try branch(id)) }
    return found.sorted { $0.created < $1.created }
  }

  /// What a branch is, read from its MANIFEST.
  ///
  /// - Throws: `.unknownBranch`, `.damaged`, or the failure of a system call.
  public func branch(_ id: Identifier) throws(VaultError) -> BranchDescription {
    try branchFiles(id).description
  }

  func branchFiles(
    _ id: Identifier
  ) throws(VaultError) -> (description: BranchDescription, manifest: Manifest, place: LogPlace) {
    let directory = branchPath(id)
    guard system.exists(directory) else {
      throw VaultError(.unknownBranch, "The vault '\(path)' has no branch \(id).")
    }
    let path = directory + "/" + Manifest.fileName
    let identity = try identity(ofManifest: path)
    // Before the MANIFEST, which says so first: the branch may be flattened at this moment.
    let first = try? Manifest.read(
      directory + "/" + Manifest.firstName, identity: identity, on: system)
    let manifest = try Manifest.read(path, identity: identity, on: system)
    guard first?.state.flattened == nil || manifest.state.flattened != nil else {
      throw VaultError(
        .damaged,
        "'\(path)' has lost that the branch is plain files. Run 'tidemark vault rebuild' to make it anew."
      )
    }
    guard var description = manifest.state.branch, description.id == id,
      description.machine == identity.machine
    else { throw VaultError(.damaged, "'\(path)' is not the MANIFEST of branch \(id).") }
    description.isFlat = manifest.state.flattened != nil
    let place = LogPlace(
      identity: identity, files: LogFiles(directory: directory, system: system), cache: cache,
      permissions: permissions)
    return (description, manifest, place)
  }

  /// Whose log a MANIFEST says it is of; the machine's identifier lies at byte 24 of its header.
  func identity(ofManifest path: String) throws(VaultError) -> LogIdentity {
    let bytes: [UInt8]
    do throws(IOError) {
      bytes = try File(path, .reading, on: system).read(at: 0, count: Manifest.headerSize)
    } catch {
      guard error.isMissing else { throw VaultError(error) }
      throw VaultError(
        .damaged, "'\(path)' is missing, and with it which log the branch holds.", cause: error)
    }
    let machine = bytes.withUnsafeBytes { buffer -> Identifier? in
      var reader = ByteReader(buffer)
      do {
        try reader.skip(24)
        return try reader.identifier()
      } catch { return nil }
    }
    guard let machine else { throw VaultError(.damaged, "'\(path)' is cut short.") }
    return LogIdentity(vault: description.id, machine: machine)
  }

  /// The machine whose disks a branch holds, as far as any of its files tells, intact or not.
  public func machine(ofBranch id: Identifier) -> Identifier? {
    let directory = branchPath(id)
    for name in [Manifest.firstName, Manifest.fileName] {
      if let known = try? identity(ofManifest: directory + "/" + name) { return known.machine }
    }
    for name in (try? system.list(directory)) ?? [] where name.hasSuffix(".seg") {
      let bytes = try? File(directory + "/" + name, .reading, on: system).read(
        at: 0, count: 1 << 16)
      if let found = bytes.flatMap(SegmentHeader.decode) { return found.identity.machine }
    }
    return nil
  }

  // MARK: - Removing

  /// Removes a branch with everything that was written to it. A crash leaves it either whole or gone. The
  /// machine's pin is to be released afterwards.
  ///
  /// - Throws: `.unknownBranch`; `.inUse` while a disk server or another reader has it open.
  public func removeBranch(_ id: Identifier, lock: VaultLock) throws(VaultError) {
    try branchChanges.withLock { _ throws(VaultError) in try remove(id) }
  }

  private func remove(_ id: Identifier) throws(VaultError) {
    let directory = branchPath(id)
    guard system.exists(directory) else {
      throw VaultError(.unknownBranch, "The vault '\(path)' has no branch \(id).")
    }
    let held = try lockBranch(directory, id)
    try checkIsUnread(directory, id)
    let removed = branchesPath + "/.removed-\(id)"
    try translated { () throws(IOError) in try system.rename(directory, to: removed) }
    // Nobody new finds it from here on; whoever came just before goes on reading.
    do throws(VaultError) { try checkIsUnread(removed, id) } catch {
      try translated { () throws(IOError) in try system.rename(removed, to: directory) }
      throw error
    }
    try translated { () throws(IOError) in try system.syncDirectory(branchesPath) }
    held.release()
    try removeUnfinishedBranches()
  }

  private func checkIsUnread(_ directory: String, _ id: Identifier) throws(VaultError) {
    guard try ReaderLease.isTaken(0..<1 << 62, directory: directory, on: system) else { return }
    throw VaultError(.inUse, "Branch \(id) is being read, as by an export. End that first.")
  }

  func lockBranch(_ directory: String, _ id: Identifier) throws(VaultError) -> FileLock {
    do throws(IOError) {
      return try FileLock(directory + "/" + VaultLock.fileName, patience: 300, on: system)
    } catch {
      guard error.isLocked else { throw VaultError(error) }
      throw VaultError(
        .inUse, "Branch \(id) is open in another process, its disk server. End that first.",
        cause: error)
    }
  }

  /// Clears away what a crash left of making or removing a branch.
  private func removeUnfinishedBranches() throws(VaultError) {
    try translated { () throws(IOError) in
      for name in try system.list(branchesPath)
      where name.hasPrefix(".new-") || name.hasPrefix(".removed-") {
        let directory = branchesPath + "/" + name
        for file in try system.list(directory) { try system.remove(directory + "/" + file) }
        try system.removeDirectory(directory)
      }
    }
  }
}
