internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization
internal import Vault

/// The parts of each action, in their order.
extension RecoveryRun {
  /// What a drill or a failover that is asked for consists of.
  static func tasks(of action: RecoveryAction, _ request: RecoveryRequest?) -> [RecoveryTask] {
    let boots = request?.boots == true
    let boot: [RecoveryTask] = boots ? [.boot, .compare] : []
    switch action {
    case .testFailover:
      let drain: [RecoveryTask] = request?.point == "latest" ? [.drain] : []
      return [.prerequisites] + drain + [.createDisks] + (boots ? boot : [.compare])
    case .failover:
      let stop: [RecoveryTask] = request?.stopsSource == true ? [.stopSource] : []
      return [.prerequisites] + stop + [.drain, .endReplication, .createDisks] + boot
    case .changePoint:
      return [.prerequisites, .stopMachine, .changePoint, .createDisks] + boot
    case .commit: return [.deletePoints]
    case .completeMigration: return [.deletePoints, .endProtection]
    case .flatten: return [.copyDisks, .letGo]
    case .cleanup, .cancel: return [.stopMachine, .removeDisks]
    case .discard: return [.stopMachine, .removeDisks, .removeMachine]
    default: return []
    }
  }

  func testFailover() throws(OperationError) {
    try step(.prerequisites) { () throws(OperationError) in try checkPrerequisites() }
    if try record.request?.point == "latest" {
      try step(.drain) { () throws(OperationError) in try drain() }
    }
    try step(.createDisks) { () throws(OperationError) in
      try pin()
      try makeBranch()
    }
    if try record.request?.boots == true {
      try step(.boot) { () throws(OperationError) in try boot() }
    }
    try step(.compare) { () throws(OperationError) in try compare() }
  }

  func failover() throws(OperationError) {
    try step(.prerequisites) { () throws(OperationError) in try checkPrerequisites() }
    if try record.request?.stopsSource == true {
      try step(.stopSource) { () throws(OperationError) in try stopSource() }
    }
    try step(.drain) { () throws(OperationError) in try drain() }
    try step(.endReplication) { () throws(OperationError) in try endReplication() }
    try step(.createDisks) { () throws(OperationError) in
      try removeReplacedDisks()
      try makeBranch()
    }
    try bootAndCompare()
  }

  func changePoint() throws(OperationError) {
    try step(.prerequisites) { () throws(OperationError) in try checkPrerequisites() }
    try step(.stopMachine) { () throws(OperationError) in try halt(try record.formerBranch) }
    try step(.changePoint) { () throws(OperationError) in try endReplication() }
    try step(.createDisks) { () throws(OperationError) in
      try removeReplacedDisks()
      try makeBranch()
    }
    try bootAndCompare()
  }

  /// Powers the machine of a failover up, where that is asked for. What is not as it was asked is told of; the
  /// failover stands.
  private func bootAndCompare() throws(OperationError) {
    guard try record.request?.boots == true else { return }
    try step(.boot) { () throws(OperationError) in try boot() }
    try step(.compare) { () throws(OperationError) in
      do throws(OperationError) { try compare() } catch {
        guard error.code != .cancelled else { throw error }
        desk.note(
          .warning, "\(action.code)-warning", name,
          "What runs of '\(name)' was not compared with what was asked for: \(error.message)")
      }
    }
  }

  func commit() throws(OperationError) {
    try step(.deletePoints) { () throws(OperationError) in
      guard let branch = try record.branch else {
        throw OperationError(.failed, "It is not known what the disks of '\(name)' are.")
      }
      try desk.commit(failover: branch, of: try log)
    }
    guard action == .completeMigration else { return }
    try step(.endProtection) { () throws(OperationError) in
      try desk.service().endProtection(of: machine, name)
    }
  }

  /// Takes what was made away: the machine, its disks, and then what they stood on.
  func removal() throws(OperationError) {
    try step(.stopMachine) { () throws(OperationError) in
      for branch in try branches() {
        try keepConsole(of: branch)
        try stop(branch)
      }
    }
    if action == .cancel { try stopReplication() }
    try step(.removeDisks) { () throws(OperationError) in try removeDisks() }
    guard action == .cancel else { return }
    try desk.change(machine) { ($0.branch, $0.formerBranch, $0.replaced) = (nil, nil, nil) }
  }

  /// The branches that this machine's record and MANIFEST know.
  ///
  /// - Throws: `.refused` for disks that a commit made the only copy, unless they are discarded.
  private func branches() throws(OperationError) -> [Identifier] {
    let record = try record
    let pinned = try pinsOfRecord().filter { pin in
      pin.purpose == .drill ? record.drill != nil : record.drill == nil
    }
    guard action == .discard || !pinned.contains(where: \.isCommitted) else {
      throw OperationError(
        .refused,
        "The failover of '\(name)' is committed, and its disks are the only copy. 'tidemark machine disable "
          + "\(name)', and then 'tidemark failover discard \(name)' remove them.")
    }
    var found = [record.branch].compactMap { $0 } + record.replacedDisks + pinned.map(\.branch)
    // Who asked for this was told of them.
    let isForAll = action == .discard || record.isForUnnamedDisks(action)
    if isForAll { found += try desk.unnamedDisks(of: machine, record) }
    return found.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// Removes what was made for this record, and then lets go of what it stood on.
  func removeDisks() throws(OperationError) {
    let branches = try branches()
    for branch in branches {
      try stop(branch)
      try parts.branches.remove(branch)
    }
    let pinned = try pinsOfRecord().map(\.branch).filter { branches.contains($0) }
    guard !pinned.isEmpty else { return }
    let release: (MachineWriter) throws(OperationError) -> Void = { log throws(OperationError) in
      try inVault { () throws(VaultError) in for branch in pinned { try log.release(branch) } }
    }
    guard try record.drill != nil else { return try writing(release) }
    // The source of a machine that was only drilled is not interrupted.
    do throws(OperationError) { try desk.agents.noting(in: try log, release) } catch {
      guard let damage = try damageOfLog() else { throw error }
      noteDrillPin(damage)
    }
  }

  /// What the MANIFEST pins. That of a drill need not be readable: its disks go all the same, and a pin without
  /// a branch is let go of by whoever mends the log, or at the next start.
  private func pinsOfRecord() throws(OperationError) -> [BranchPin] {
    let machine = try log
    do throws(VaultError) { return try machine.snapshot().pins } catch {
      guard Self.isDamage(error), try record.drill != nil else { throw OperationError(error) }
      noteDrillPin(error)
      return []
    }
  }

  private func noteDrillPin(_ error: VaultError) {
    desk.note(
      .warning, "drill-pin-left", name,
      "The recovery point that a drill of '\(name)' stood on could not be let go of: \(error.message)"
    )
  }

  /// Removes the branches that another one takes the place of: their pins were released with that. One that
  /// somebody still reads is noted, and left to a later start of the service, for nothing waits for it.
  private func removeReplacedDisks() throws(OperationError) {
    let (record, pinned) = (try record, try pins().map(\.branch))
    var left: [Identifier] = []
    for branch in record.replacedDisks where !pinned.contains(branch) && branch != record.branch {
      try stop(branch)
      do throws(OperationError) { try parts.branches.remove(branch) } catch {
        guard error.code == .locked else { throw error }
        left.append(branch)
        desk.note(
          .warning, "disks-left", name,
          "The disks that others have taken the place of stay until the service is started again: "
            + error.message)
      }
    }
    let kept = left.isEmpty ? nil : left
    try desk.change(machine) { $0.replaced = kept }
  }

  /// Runs `body` as the only writer of the machine's log.
  func writing<Result>(
    _ body: (MachineWriter) throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try desk.writing(to: try log, body)
  }
}
