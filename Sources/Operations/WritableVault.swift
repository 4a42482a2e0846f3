internal import Bytes
internal import Synchronization
public import Vault

/// A vault and the right to write to it, for as long as the value lives.
///
/// One process at a time has it: a command for the moment it works, or a service for as long as it
/// runs. Inside that process operations of several threads share it. Each machine has one writer at a
/// time, and machines are added and removed one after the other.
public final class WritableVault: Sendable {
  /// The vault.
  public let vault: Vault
  let lock: VaultLock
  private let busy = Mutex<Set<Identifier>>([])
  private let list = Mutex(())

  /// Takes the right to write; waits for no more than a third of a second.
  ///
  /// - Throws: `.locked` if another process has it, `.unwritable` if the vault may only be read.
  public init(_ vault: Vault) throws(OperationError) {
    self.vault = vault
    lock = try inVault { () throws(VaultError) in try vault.lock() }
  }

  /// Runs `body` as the only writer of a machine.
  ///
  /// - Throws: `.locked`, without waiting, if the machine has a writer already.
  public func writing<Result>(
    to machine: Machine, _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    guard begin(machine.id) else {
      throw OperationError(
        .locked,
        "Machine '\(machine.name)' is being written to by another job; 'tidemark jobs' shows it. "
          + "Wait for it to end.")
    }
    defer { end(machine.id) }
    return try body()
  }

  /// Becomes the only writer of a machine until `end`; false if it has one.
  func begin(_ machine: Identifier) -> Bool { busy.withLock { $0.insert(machine).inserted } }

  /// Lets go of a machine that `begin` gave.
  func end(_ machine: Identifier) { busy.withLock { _ = $0.remove(machine) } }

  /// Runs `body` while no other thread adds or removes a machine.
  func changingList<Result>(
    _ body: () throws(OperationError) -> Result
  ) throws(OperationError) -> Result {
    try list.withLock { _ throws(OperationError) in try body() }
  }
}
