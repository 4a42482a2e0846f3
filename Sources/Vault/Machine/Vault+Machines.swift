public import Bytes
internal import FileIO

extension Vault {
  /// Adds a machine. Durable when it returns; a crash before leaves a directory that is passed over
  /// and cleared away by the next `addMachine`.
  ///
  /// `id` is the machine's identifier where it has one already, as one that enrolled has.
  /// - Throws: `.invalid`, `.alreadyExists`, or the failure of a system call.
  @discardableResult
  public func addMachine(
    _ configuration: MachineConfiguration, id: Identifier = .random(), lock: VaultLock
  ) throws(VaultError) -> Machine {
    try check(configuration)
    try removeUnfinished()
    guard !system.exists(machinesPath + "/\(id)") else {
      throw VaultError(.alreadyExists, "The vault '\(path)' has a machine \(id) already.")
    }
    let directory = machinesPath + "/\(id)"
    let unfinished = machinesPath + "/.new-\(id)"
    let permissions = permissions
    let identity = LogIdentity(vault: description.id, machine: id)
    try translated { () throws(IOError) in
      try permissions.makeDirectory(unfinished, on: system)
      let readers = unfinished + "/" + ReaderLease.fileName
      let file = try File(readers, .creating(permissions: permissions.file), on: system)
      try file.sync()
      try permissions.apply(to: readers, on: system)
    }
    let manifest = unfinished + "/" + Manifest.fileName
    try ManifestWriter.create(
      manifest, entries: [.configuration(configuration)], identity: identity,
      permissions: permissions.file, on: system)
    try translated { () throws(IOError) in
      try permissions.apply(to: manifest, on: system)
      try system.rename(unfinished, to: directory)
      try system.syncDirectory(machinesPath)
    }
    return machine(id)
  }

  private func check(_ configuration: MachineConfiguration) throws(VaultError) {
    let name = configuration.name
    if let objection = NameRule.objection(to: name) {
      throw VaultError(.invalid, "A machine can't be named '\(name)': \(objection).")
    }
    guard (1...Format.diskLimit).contains(configuration.disks.count) else {
      throw VaultError(
        .invalid, "A machine has 1 to \(Format.diskLimit) disks, not \(configuration.disks.count).")
    }
    // Linux mounts do not tell case apart for everyone who looks at them.
    let taken = try machines().contains { $0.name.lowercased() == name.lowercased() }
    guard !taken else {
      throw VaultError(.alreadyExists, "The vault '\(path)' has a machine '\(name)' already.")
    }
  }

  /// Removes a machine with all its recovery points. A crash leaves it either whole or gone.
  ///
  /// - Throws: `.unknownMachine`, or `.inUse` while a mount or another reader has it open, or branches stand
  ///   on it.
  public func removeMachine(named name: String, lock: VaultLock) throws(VaultError) {
    let machine = try self.machine(named: name)
    let generation = try machine.snapshot().generation
    try checkIsFree(machine)
    machine.letGo()
    let isRead = try ReaderLease.isTaken(
      0..<generation + 1, directory: machine.directory, on: system)
    guard !isRead else {
      throw VaultError(
        .inUse, "Machine '\(name)' is being read, by a mount or an export. End that first.")
    }
    let removed = machinesPath + "/.removed-\(machine.id)"
    try translated { () throws(IOError) in
      try system.rename(machine.directory, to: removed)
      try system.syncDirectory(machinesPath)
    }
    forget(machine.id)
    try removeUnfinished()
  }

  /// Refuses while a branch stands on a machine, or is said to: without its log its disks are lost.
  ///
  /// - Throws: `.inUse` with what to do; else as reading the MANIFEST does.
  public func checkIsFree(_ machine: Machine) throws(VaultError) {
    let snapshot = try machine.snapshot()
    let name = snapshot.configuration.name
    let standing = try branchIdentifiers().filter { self.machine(ofBranch: $0) == machine.id }
    // A log that is damaged may still name a drill whose disks are gone.
    let pins = snapshot.pins.filter { $0.purpose != .drill || standing.contains($0.branch) }
    guard let branch = pins.last?.branch ?? standing.last else { return }
    let pin = snapshot.pins.first { $0.branch == branch }
    let what = try? self.branch(branch)
    let called = what.map { "'\($0.name)' (\(branch))" } ?? "\(branch)"
    let objection =
      switch pin?.purpose ?? what?.purpose {
      case .drill:
        "the drill \(called) stands on its recovery points. End it with 'tidemark test-failover cleanup "
          + "\(name)' first."
      case .failover where pin?.isCommitted == true:
        "its failed-over disks, \(called), stand on them. Remove those with 'tidemark failover discard "
          + "\(name) --yes' first."
      case .failover where pin == nil:
        "disks that it was failed over to, \(called), are there, and its log does not name them any more. "
          + "'tidemark vault rebuild' has it name them again; 'tidemark failover cancel \(name) --yes' removes "
          + "them, with all that was written to them."
      case .failover:
        "its failed-over disks, \(called), stand on its recovery points. Give the failover up with "
          + "'tidemark failover cancel \(name) --yes' first."
      case nil:
        "branch \(called), which can't be read, stands on its recovery points. Run 'tidemark vault rebuild' "
          + "first, then remove it as the drill or the failover that it is."
      }
    throw VaultError(.inUse, "Machine '\(name)' can't be removed: \(objection)")
  }

  /// Clears away what a crash left of adding or removing a machine.
  private func removeUnfinished() throws(VaultError) {
    try translated { () throws(IOError) in
      for name in try system.list(machinesPath)
      where name.hasPrefix(".new-") || name.hasPrefix(".removed-") {
        let directory = machinesPath + "/" + name
        for file in try system.list(directory) { try system.remove(directory + "/" + file) }
        try system.removeDirectory(directory)
      }
    }
  }
}
