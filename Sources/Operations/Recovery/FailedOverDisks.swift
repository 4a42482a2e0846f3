public import Bytes
internal import Compute
internal import DiskServers
internal import FileIO
public import Vault

/// The disks of a machine that is failed over, as they are at one moment: with everything that was written to
/// them, before and after the failover is committed.
///
/// Reads the vault itself, so no service need run. Whatever is written meanwhile does not change it; plain files
/// of disks that were flattened are cloned for that. Where that can't be done they are refused while they are in
/// use, and what was read of them counts only if `hasChanged` says no behind it.
public struct FailedOverDisks: Sendable {
  /// All disks at that moment.
  public let cut: BranchCut
  /// Whether they were in use then, or are left of a machine that died or was cut off from power, so that they
  /// are as after a loss of power. Of users that are no machine of Tidemark's, how they ended is not known.
  public let isCrashConsistent: Bool
  private let name: String

  /// Takes the disks of a machine as they are now.
  ///
  /// - Parameters:
  ///   - name: the machine.
  ///   - vault: the vault it is in.
  ///   - isLive: whether disks that are in use are taken, too.
  /// - Throws: `.unknown`; `.refused` if it is not failed over, or its disks are in use, with what to do.
  public init(_ name: String, in vault: Vault, isLive: Bool) throws(OperationError) {
    let branch = try Self.branch(of: name, in: vault)
    let disks = try inVault { () throws(VaultError) in try vault.branch(branch) }
    let servers = VaultDiskServers(vault)
    let (before, written) = (try servers.use(of: branch), try servers.writtenBytes(of: branch))
    if !isLive, let before { throw Self.refusal(before, name, disks) }
    try servers.flush(branch)
    cut = try inVault { () throws(VaultError) in
      try vault.syncBranch(branch)
      do throws(VaultError) { return try vault.readBranch(branch, isLive: true) } catch {
        // Plain files that nobody uses are read as they are: `hasChanged` tells whether they stayed so.
        guard before == nil else { throw error }
        return try vault.readBranch(branch)
      }
    }
    // Somebody may have begun to write in between.
    let after = try servers.use(of: branch)
    if !isLive, let after { throw Self.refusal(after, name, disks) }
    // Or had begun and ended.
    let isStill = try servers.writtenBytes(of: branch) == written
    let wasCutOff = try servers.wasCutOff(branch)
    isCrashConsistent = before != nil || after != nil || !isStill || wasCutOff
    self.name = name
  }

  /// Whether somebody wrote to the disks since, as far as that changes what is read of them.
  var hasChanged: Bool { (try? cut.hasChanged()) ?? true }

  /// The branch that the machine's log names.
  ///
  /// - Throws: `.damaged` if it names none, and there are disks: they are all that is left of what was written to
  ///   them, and can be read once it names them again.
  private static func branch(
    of name: String, in vault: Vault
  ) throws(OperationError) -> Identifier {
    let (machine, pins, ids) = try inVault { () throws(VaultError) in
      let machine = try vault.machine(named: name)
      return (machine.id, try machine.snapshot().pins, try vault.branchIdentifiers())
    }
    if let pin = pins.last(where: { $0.purpose == .failover }) { return pin.branch }
    let left = ids.compactMap { try? vault.branch($0) }.filter {
      $0.machine == machine && $0.purpose == .failover
    }
    guard left.isEmpty else {
      let list = left.map { "branch \($0.id) of \($0.created.wholeSeconds)" }
      throw OperationError(
        .damaged,
        "There are failed-over disks of '\(name)' (\(list.joined(separator: ", "))), and its log does not "
          + "name them any more. 'tidemark vault rebuild' has it name them again; then repeat this."
      )
    }
    throw OperationError(
      .refused,
      "'\(name)' is not failed over, so there are no failed-over disks of it. "
        + "'tidemark export \(name) --point latest …' exports a recovery point.")
  }

  private static func refusal(
    _ use: DiskUse, _ name: String, _ disks: BranchDescription
  ) -> OperationError {
    let reason =
      switch use {
      case .machine: "its machine runs"
      case .writers(let files):
        "somebody has \(files.joined(separator: ", ")) open to write to it"
      case .elsewhere:
        "another user's process serves them, and can't be asked whether they are in use"
      }
    return OperationError(
      .refused,
      "The disks of '\(name)' are in use: \(reason). 'tidemark machine stop \(name)' ends that in order"
        + "\(liveAdvice(disks)).")
  }

  /// What else can be done about disks that are in use; empty if nothing can.
  private static func liveAdvice(_ disks: BranchDescription) -> String {
    let moment = "to take them as they are at one moment, as after a loss of power"
    guard disks.isFlat else { return "; or add --live \(moment)" }
    guard disks.disks.count == 1 else {
      return ". Several that are plain files can't be taken while they are in use"
    }
    return "; or add --live \(moment), if the vault's file system can clone a plain file"
  }

  /// One of the disks: the one of that number, or the only one there is.
  ///
  /// - Throws: `.unknown`, or `.refused` if there are several and none was named.
  public func disk(_ number: DiskNumber?) throws(OperationError) -> BranchCutDisk {
    guard number != nil || cut.disks.count == 1 else {
      let numbers = cut.disks.map { String($0.number) }.joined(separator: ", ")
      throw OperationError(
        .refused, "'\(name)' has the disks \(numbers); choose with --disk.")
    }
    return try inVault { () throws(VaultError) in
      try cut.disk(number ?? cut.disks.first?.number ?? 0)
    }
  }
}

/// How the disks of a branch are in use.
enum DiskUse: Hashable {
  /// A machine runs on them.
  case machine
  /// These files are open for writing.
  case writers([String])
  /// A disk server has them that is not this user's.
  case elsewhere
}

extension VaultDiskServers {
  /// Whether a machine that ran on a branch last ended without having been powered down by its guest.
  func wasCutOff(_ branch: Identifier) throws(OperationError) -> Bool {
    do throws(ComputeError) {
      let seen = try provider.observe(in: directory(of: branch))
      return seen?.power == .died || seen?.wasForced == true
    } catch { return true }
  }

  /// Bytes that were written to a branch, where it is served.
  func writtenBytes(of branch: Identifier) throws(OperationError) -> UInt64? {
    try status(of: branch)?.usedBytes
  }

  /// How somebody may be writing to a branch at this moment; nil if nobody can.
  func use(of branch: Identifier) throws(OperationError) -> DiskUse? {
    // Whatever the provider is now: a machine that runs was started by this one.
    let seen: MachineObservation?
    do throws(ComputeError) { seen = try provider.observe(in: directory(of: branch)) } catch {
      guard error.code == .unresponsive else { throw OperationError(.failed, error.message) }
      return .machine
    }
    if seen?.power == .on || seen?.power == .paused { return .machine }
    guard let status = try status(of: branch) else {
      let isOpen = try inVault { () throws(VaultError) in try vault.isBranchOpen(branch) }
      return isOpen ? .elsewhere : nil
    }
    let files = status.files.filter { $0.writers > 0 }.map { "'\($0.name)'" }
    return files.isEmpty ? nil : .writers(files)
  }

  private func status(of branch: Identifier) throws(OperationError) -> DiskServerStatus? {
    try checkOwner(of: branch)
    return try inServers { () throws(DiskServerError) in
      guard let running = try servers.find(branch) else { return nil }
      do throws(DiskServerError) { return try running.client.status() } catch {
        guard error.code == .notRunning else { throw error }
        return nil
      }
    }
  }

  /// Makes everything durable that was written to a branch, where it is served.
  func flush(_ branch: Identifier) throws(OperationError) {
    try inServers { () throws(DiskServerError) in
      guard let running = try servers.find(branch) else { return }
      do throws(DiskServerError) { try running.client.flush() } catch {
        guard error.code == .notRunning else { throw error }
      }
    }
  }
}
