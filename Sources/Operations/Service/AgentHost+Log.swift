internal import Bytes
internal import Catalog
internal import Dispatch
internal import Replication
internal import ReplicationService
internal import Synchronization
internal import Vault

/// Who writes to a machine's log: one session, or whoever changes its protection.
extension AgentHost {
  /// How long whoever changes a machine's protection waits for its session to end.
  private static let patience = Duration.seconds(20)
  /// How long a session waits for an older one of its machine to end.
  private static let handOver = Duration.seconds(3)
  /// Sessions that wait so at a time: an eighth of the listener's threads.
  private static let mostWaiting = 4

  /// Runs `body` with the machine's session ended and its agent kept out: as the only writer of its log, or,
  /// if `isWriting` is false, with the log free for `body` to become that.
  ///
  /// - Throws: `.locked` if the log does not become free in time.
  func keepingOut<Result>(
    _ machine: Identifier, isWriting: Bool, _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    state.withLock { _ = $0.barred.insert(machine) }
    defer { state.withLock { _ = $0.barred.remove(machine) } }
    state.withLock { $0.sessions[machine] }?.close()
    guard waitUntilFree(machine) else {
      throw OperationError(
        .locked, "The machine's log is still being written to. Try again in a moment.")
    }
    if !isWriting { writable.end(machine) }
    defer { if isWriting { writable.end(machine) } }
    return try body()
  }

  /// Opens a machine's log as its writer does, and closes it; nothing happens while somebody writes to it, who has
  /// opened it.
  func tryLog(of machine: Machine) throws(VaultError) {
    guard writable.begin(machine.id) else { return }
    defer { writable.end(machine.id) }
    try MachineWriter(machine: machine, in: vault, lock: writable.lock).close()
  }

  /// Seconds that a session may take to let go of its log.
  private static let turnSeconds = 10.0

  /// Notes something in a machine's log that does not concern what its source sends: with the log of its session,
  /// which goes on behind that, or else as its only writer.
  func noting<Result>(
    in machine: Machine, _ body: (MachineWriter) throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    if let session = state.withLock({ $0.logs[machine.id] }) {
      let result = try session.turn.borrow(within: Self.turnSeconds) {
        () throws(OperationError) in try body(session.log)
      }
      if let result { return result }
    }
    return try writing(to: machine, body)
  }

  /// Runs `body` as the only writer of a machine's log; a session of its agent ends for that, and begins
  /// anew by itself once `body` has returned.
  func writing<Result>(
    to machine: Machine, _ body: (MachineWriter) throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try keepingOut(machine.id, isWriting: true) { () throws(OperationError) in
      let log = try inVault { () throws(VaultError) in
        try MachineWriter(machine: machine, in: vault, lock: writable.lock)
      }
      let result = try body(log)
      try inVault { () throws(VaultError) in try log.close() }
      return result
    }
  }

  /// Becomes the only writer of a machine's log, whose older session is ended, and opens it.
  func claim(
    _ id: Identifier, _ open: (Machine) throws(OperationError) -> OpenLog
  ) throws(Rejection) -> OpenLog {
    let machines = try Self.rejecting { () throws(OperationError) in
      try inVault { () throws(VaultError) in try vault.machines() }
    }
    guard let machine = machines.first(where: { $0.id == id }) else {
      throw Rejection(
        .unprotected, "Protection of the machine is not enabled. The agent waits for it.")
    }
    try checkBar(of: id)
    try checkSource(of: id)
    try checkRoom { Vault.reserve(of: $0) }
    state.withLock { $0.sessions[id] }?.close()
    guard takeOver(id) else {
      throw Rejection(.busy, "The machine's log is being written to by another session.")
    }
    do throws(Rejection) {
      // Whoever changes the protection may have had the log while this waited for it.
      try checkBar(of: id)
      try checkSource(of: id)
      return try Self.rejecting { () throws(OperationError) in try open(machine) }
    } catch {
      writable.end(id)
      throw error
    }
  }

  /// Whether somebody waits for the machine's log, or has it, to change its protection.
  func isBarred(_ machine: Identifier) -> Bool {
    state.withLock { $0.barred.contains(machine) }
  }

  func checkBar(of machine: Identifier) throws(Rejection) {
    guard isBarred(machine) else { return }
    throw Rejection(.busy, "The protection of the machine is being changed.")
  }

  /// Becomes the machine's only writer for a session, once an older one has ended. That takes a thread of
  /// the listener's, which the older one needs too, so few wait, and not for long: agents come again.
  private func takeOver(_ machine: Identifier) -> Bool {
    let mayWait = state.withLock { state in
      guard state.waiting < Self.mostWaiting else { return false }
      state.waiting += 1
      return true
    }
    guard mayWait else { return writable.begin(machine) }
    defer { state.withLock { $0.waiting -= 1 } }
    return waitUntilFree(machine, atMost: Self.handOver)
  }

  private func waitUntilFree(
    _ machine: Identifier, atMost patience: Duration = patience
  ) -> Bool {
    let clock = ContinuousClock()
    let deadline = clock.now + patience
    while !writable.begin(machine) {
      guard clock.now < deadline else { return false }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(20))
    }
    return true
  }

  /// Gives up what a machine's log holds since its newest recovery point; the caller is its only writer.
  func abandon(_ machine: Identifier) throws(OperationError) {
    try inVault { () throws(VaultError) in
      guard let found = try vault.machines().first(where: { $0.id == machine }) else { return }
      let log = try MachineWriter(machine: found, in: vault, lock: writable.lock)
      try log.abandonUnmarked()
      try log.close()
    }
  }
}
