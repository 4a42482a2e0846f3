import Bytes
import FileIO
import Synchronization
import Vault

@testable import Operations

/// Serves plain files of the right size in the place of disks, and notes what it is asked for: for tests of
/// the order of things. Branches are the vault's own.
final class StillServers: RecoveryDiskServers {
  struct State {
    var calls: [String] = []
    var served: Set<Identifier> = []
    var frozen: Set<Identifier> = []
    var isBroken = false
    /// Whether no server tells how it is.
    var isSilent = false
    /// Done once, at the next serving.
    var beforeServing: (@Sendable () -> Void)?
    /// Whether a copy to plain files does not come to an end, and which are not.
    var isCopyHanging = false
    var copying: Set<Identifier> = []
  }

  let vault: Vault
  let directory: String
  let state = Mutex(State())

  init(_ vault: Vault, in directory: String) { (self.vault, self.directory) = (vault, directory) }

  func serve(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    let (isBroken, work) = state.withLock { state in
      state.calls.append("serve")
      defer { state.beforeServing = nil }
      return (state.isBroken, state.beforeServing)
    }
    work?()
    guard !isBroken else { throw OperationError(.failed, "No disk is served in this test.") }
    let disks: [PointDisk]
    do { disks = try vault.branch(branch).disks } catch { throw OperationError(error) }
    let place = directory + "/\(branch)"
    do {
      if !FileSystem.system.exists(place) {
        try FileSystem.system.makeDirectory(place, permissions: 0o700)
      }
      for disk in disks
      where !FileSystem.system.exists(place + "/disk\(disk.number).raw") {
        try File(place + "/disk\(disk.number).raw", .creating(permissions: 0o600))
          .truncate(to: disk.size)
      }
    } catch { throw OperationError(error) }
    state.withLock { _ = $0.served.insert(branch) }
    return ServedBranch(directory: place, numbers: disks.map(\.number), writtenBytes: 4096)
  }

  func served(_ branch: Identifier) throws(OperationError) -> ServedBranch? {
    guard state.withLock({ $0.served.contains(branch) }) else { return nil }
    if state.withLock({ $0.isSilent }) {
      var served = ServedBranch(directory: directory + "/\(branch)", numbers: [0])
      (served.server, served.isKnown) = (.silent(77), false)
      return served
    }
    return ServedBranch(
      directory: directory + "/\(branch)", numbers: [0], writtenBytes: 4096,
      isFrozen: state.withLock { $0.frozen.contains(branch) })
  }

  func serveFrozen(_ branch: Identifier) throws(OperationError) -> ServedBranch {
    defer { freeze(branch, within: 0) }
    return try serve(branch)
  }

  func freeze(_ branch: Identifier, within seconds: Double) {
    state.withLock { _ = $0.frozen.insert(branch) }
  }

  func thaw(_ branch: Identifier) { state.withLock { _ = $0.frozen.remove(branch) } }

  /// Copies the disks at once, unless that is to wait.
  func flatten(_ branch: Identifier) throws(OperationError) {
    guard !state.withLock({ $0.isCopyHanging }) else {
      return state.withLock { _ = $0.copying.insert(branch) }
    }
    do {
      let open = try vault.openBranch(branch)
      try open.flatten(FlattenControl())
      try open.close()
    } catch { throw OperationError(error) }
  }

  func cancelFlatten(_ branch: Identifier) {
    state.withLock { state in
      if state.served.contains(branch) { state.copying.remove(branch) }
    }
  }

  func copy(of branch: Identifier) throws(OperationError) -> BranchCopy? {
    do { if try vault.branch(branch).isFlat { return .done } } catch { throw OperationError(error) }
    return state.withLock { state in
      guard state.served.contains(branch) else { return nil }
      return state.copying.contains(branch) ? .running(done: 1, total: 2) : .idle
    }
  }

  /// Ends a server that nobody told to; a copy that it made goes on with the next one.
  func lose(_ branch: Identifier) {
    state.withLock { state in
      state.served.remove(branch)
      state.frozen.remove(branch)
    }
  }

  func end(_ branch: Identifier) {
    state.withLock { state in
      state.calls.append("end")
      state.served.remove(branch)
    }
  }
}
