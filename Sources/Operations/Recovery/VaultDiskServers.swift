public import Bytes
internal import Compute
internal import DiskServers
internal import FileIO
public import Vault

/// The disk servers of a vault's branches: processes that outlive this one, and are found again.
public struct VaultDiskServers: RecoveryDiskServers {
  let vault: Vault
  let servers: DiskServers
  /// Seconds that whoever has a disk open may take to let go of it.
  private static let patience = 10.0
  /// Seconds that a server may take to say how it is: whoever takes longer is told of as hanging.
  private static let answerSeconds = 2.0
  /// Seconds after which one request is told of as never ending.
  private static let requestSeconds = 30.0

  /// The servers of that vault.
  public init(_ vault: Vault) {
    self.vault = vault
    servers = DiskServers(vault: vault.description.id, at: vault.path)
  }

  /// Serves a branch from now on.
  public func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try serve(branch, isFrozen: false)
  }

  /// Serves a branch whose disks refuse writes.
  public func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    try serve(branch, isFrozen: true)
  }

  private func serve(
    _ branch: Identifier, isFrozen: Bool
  ) throws(OperationError) -> ServedBranch {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in
      var options = DiskServers.Options()
      (options.group, options.isFrozen) = (vault.readingGroup, isFrozen)
      _ = try servers.start(branch, options)
    }
    guard let served = try served(branch) else {
      throw OperationError(.failed, "The disk server of branch \(branch) ended at once.")
    }
    return served
  }

  /// How a branch is served.
  public func served(_ branch: Identifier) throws(OperationError) -> ServedBranch? {
    try checkOwner(of: branch)
    let running = try inServers { () throws(DiskServerError) in try servers.find(branch) }
    guard let running else { return nil }
    let disks = try inVault { () throws(VaultError) in try vault.branch(branch) }.disks
    let (status, server) = Self.look(at: running.client)
    var served = ServedBranch(
      directory: running.client.directory.mountPoint, numbers: disks.map(\.number),
      writtenBytes: status?.usedBytes ?? 0, budgetBytes: status?.budgetBytes,
      openCount: status?.users ?? 0, isFrozen: status?.isFrozen ?? false)
    (served.server, served.isKnown) = (server, status != nil)
    return served
  }

  private static func look(
    at client: DiskServerClient
  ) -> (status: DiskServerStatus?, server: ServedBranch.Server) {
    do throws(DiskServerError) {
      let status = try client.status(within: answerSeconds)
      guard let seconds = status.oldestSeconds, seconds >= requestSeconds else {
        return (status, .answers)
      }
      return (status, .stuck(status.server, seconds: Int(seconds)))
    } catch {
      return (nil, error.code == .timeout ? .silent(client.directory.server) : .answers)
    }
  }

  /// The directory with the disks of a branch, if processes are there that serve it.
  public func place(of branch: Identifier) throws(OperationError) -> String? {
    try inServers { () throws(DiskServerError) in
      try servers.find(branch)?.client.directory.mountPoint
    }
  }

  /// What the last server of a branch left for a reason.
  public func reason(of branch: Identifier) -> String? {
    (try? servers.directory(of: branch))?.reason
  }

  /// Waits until nobody has the disks open, and has writes refused.
  public func freeze(_ branch: Identifier, within seconds: Double) throws(OperationError) {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in
      try servers.find(branch)?.client.freeze(within: seconds)
    }
  }

  /// Lets the disks be written to again.
  public func thaw(_ branch: Identifier) throws(OperationError) {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in try servers.find(branch)?.client.thaw() }
  }

  /// Begins to copy the disks to plain files.
  public func flatten(_ branch: Identifier) throws(OperationError) {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in try servers.find(branch)?.client.flatten() }
  }

  /// Gives that up.
  public func cancelFlatten(_ branch: Identifier) throws(OperationError) {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in
      try servers.find(branch)?.client.cancelFlatten()
    }
  }

  /// How far that is.
  public func copy(of branch: Identifier) throws(OperationError) -> BranchCopy? {
    try inServers { () throws(DiskServerError) -> BranchCopy? in
      guard let running = try servers.find(branch) else { return nil }
      let copy: DiskServerStatus.Copy?
      do throws(DiskServerError) { copy = try running.client.status().copy } catch {
        // One that takes long over something else goes on with the copy all the same.
        if error.code == .timeout { return .running(done: 0, total: 0) }
        guard error.code == .notRunning else { throw error }
        return nil
      }
      guard let copy else {
        throw DiskServerError(
          .failed,
          "The disk server is of a release that can't copy disks to plain files. Restart it: stop what uses "
            + "the disks, then start it again.")
      }
      // Where the disks could not be made durable, a flush lets another server go on with them.
      if copy.state == .running, copy.totalBytes == 0 { try? running.client.flush() }
      switch copy.state {
      case .idle: return .idle
      case .running: return .running(done: copy.doneBytes ?? 0, total: copy.totalBytes ?? 0)
      case .failed: return .failed(copy.failure ?? "It is not known why.")
      case .done: return .done
      }
    }
  }

  /// Serves a branch no more. Who has a disk open has ten seconds to let go of it, and loses it then; a server
  /// that does not end either is killed, which loses nothing that was answered.
  public func end(_ branch: Identifier) throws(OperationError) {
    try checkOwner(of: branch)
    try inServers { () throws(DiskServerError) in
      try servers.end(branch, within: Self.patience, force: true)
    }
  }

  /// Refuses to take the server of another vault for one of this: a copy of a vault has the identifiers of the
  /// one it was copied from, and so the same run directories.
  ///
  /// - Throws: `.refused`.
  func checkOwner(of branch: Identifier) throws(OperationError) {
    let directory = try inServers { () throws(DiskServerError) in
      try servers.directory(of: branch)
    }
    for process in directory.processes {
      let words = RunningProcess.arguments(of: process)
      guard let option = words.firstIndex(of: "--vault"), option + 1 < words.count else { continue }
      let other = words[option + 1]
      // One that is not there any more was moved here.
      guard let its = try? FileSystem.resolved(other),
        let own = try? FileSystem.resolved(vault.path),
        its != own
      else { continue }
      throw OperationError(
        .refused,
        "The disks of branch \(branch) are served from the vault '\(other)', and '\(vault.path)' is a copy of "
          + "that one, with the same identifier. Use a copy's drills and failovers on another host."
      )
    }
  }

  /// The directory of what belongs to the run of a branch's machine, beside those of the vaults.
  ///
  /// It is not in the vault, whose path may be too long for that of a socket, so it is gone when the host was
  /// started again. Nothing runs then; what has to outlive that, `provider` keeps.
  public func directory(of branch: Identifier) -> String {
    "\(RunDirectory.usualBase)/\(branch).vm"
  }

  /// Runs machines on these disks. What they keep lies in the vault, below `machines-run`: a directory for each,
  /// of the name that the one of its run has, until the machine is ended.
  var provider: QemuCompute { QemuCompute(keepingIn: vault.path + "/machines-run") }

  func inServers<Result>(
    _ body: () throws(DiskServerError) -> Result
  ) throws(OperationError) -> Result {
    do { return try body() } catch {
      let code: OperationError.Code =
        switch error.code {
        case .inUse: .locked
        case .directory: .unwritable
        case .notRunning, .timeout, .notStarted, .failed: .failed
        }
      throw OperationError(code, error.message)
    }
  }
}

extension DiskServerStatus {
  /// How many have one of its files open.
  fileprivate var users: Int { files.reduce(0) { $0 + $1.readers + $1.writers } }
}
