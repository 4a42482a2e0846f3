internal import Bytes
internal import Catalog
internal import FileIO
internal import Synchronization
internal import Vault

/// The parts of each action, in their order.
extension RecoveryRun {
  /// What a drill or a failover that is asked for consists of.
  static func tasks(of action: RecoveryAction, _ request: RecoveryRequest?) -> [RecoveryTask] {
    let boot: [RecoveryTask] = request?.boots == true ? [.boot] : []
    switch action {
    case .testFailover:
      let drain: [RecoveryTask] = request?.point == "latest" ? [.drain] : []
      return [.prerequisites] + drain + [.createDisks] + boot + [.compare]
    case .failover:
      let stop: [RecoveryTask] = request?.stopsSource == true ? [.stopSource] : []
      return [.prerequisites] + stop + [.drain, .endReplication, .createDisks] + boot
    case .changePoint:
      return [.prerequisites, .stopMachine, .changePoint, .createDisks] + boot
    case .commit: return [.deletePoints]
    case .completeMigration: return [.deletePoints, .endProtection]
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
      try pin(.drill)
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
      try removeFormerBranch()
      try makeBranch()
    }
    if try record.request?.boots == true {
      try step(.boot) { () throws(OperationError) in try boot() }
    }
  }

  func changePoint() throws(OperationError) {
    try step(.prerequisites) { () throws(OperationError) in try checkPrerequisites() }
    try step(.stopMachine) { () throws(OperationError) in try stop(try record.formerBranch) }
    try step(.changePoint) { () throws(OperationError) in try endReplication() }
    try step(.createDisks) { () throws(OperationError) in
      try removeFormerBranch()
      try makeBranch()
    }
    if try record.request?.boots == true {
      try step(.boot) { () throws(OperationError) in try boot() }
    }
  }

  func commit() throws(OperationError) {
    try step(.deletePoints) { () throws(OperationError) in
      guard let branch = try record.branch else {
        throw OperationError(.failed, "It is not known what the disks of '\(name)' are.")
      }
      try writing { log throws(VaultError) in try log.commit(failover: branch) }
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
    try step(.removeDisks) { () throws(OperationError) in try removeDisks() }
    if action == .cancel {
      try desk.change(machine) { record in
        (record.isFenced, record.branch, record.formerBranch) = (true, nil, nil)
      }
    }
  }

  /// The branches that this machine's record and MANIFEST know.
  private func branches() throws(OperationError) -> [Identifier] {
    let record = try record
    let pinned = try pins().filter { pin in
      pin.purpose == .drill ? record.drill != nil : record.drill == nil
    }
    var found = [record.branch, record.formerBranch].compactMap { $0 }
    for pin in pinned where !found.contains(pin.branch) { found.append(pin.branch) }
    return found
  }

  /// Removes what was made for this record, and then lets go of what it stood on.
  func removeDisks() throws(OperationError) {
    let branches = try branches()
    for branch in branches {
      try stop(branch)
      try parts.branches.remove(branch)
    }
    let pinned = try pins().map(\.branch).filter { branches.contains($0) }
    guard !pinned.isEmpty else { return }
    try writing { log throws(VaultError) in for branch in pinned { try log.release(branch) } }
  }

  /// Removes the branch that another one takes the place of; its pin was released with that.
  private func removeFormerBranch() throws(OperationError) {
    guard let former = try record.formerBranch else { return }
    try stop(former)
    try parts.branches.remove(former)
  }

  /// Runs `body` as the only writer of the machine's log; a session of its agent ends for that, and begins
  /// anew by itself.
  func writing<Result>(
    _ body: (MachineWriter) throws(VaultError) -> Result
  ) throws(OperationError) -> Result {
    let machine = try log
    return try desk.agents.keepingOut(self.machine, isWriting: true) {
      () throws(OperationError) in
      try inVault { () throws(VaultError) in
        let log = try MachineWriter(
          machine: machine, in: desk.vault, lock: desk.writable.lock)
        let result = try body(log)
        try log.close()
        return result
      }
    }
  }
}
