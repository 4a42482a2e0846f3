public import Bytes
internal import Catalog
internal import Replication
internal import ReplicationService
internal import Synchronization
internal import Vault

/// Keeping out the source of a machine that has failed over.
extension AgentHost {
  /// Tells which machines take nothing from their agents any more, and why, in a sentence: those that have
  /// failed over. It is asked whenever an agent, or a relay with something left of one, begins; sessions
  /// that live are ended by whoever fails the machine over, as are relays' remains by the epoch.
  public func setFence(_ reason: @escaping @Sendable (Identifier) -> String?) {
    fence.withLock { $0 = reason }
  }

  /// Refuses the agent of a machine that has failed over, or that has failed over since the agent was told
  /// the epoch.
  func checkFence(of machine: Identifier, _ told: UInt32?) throws(Rejection) {
    if let reason = fence.withLock({ $0 })?(machine) { throw Self.fenced(reason, machine) }
    guard let told else { return }
    let machines = (try? vault.machines()) ?? []
    // A log that can't be read is told of by who opens it.
    guard let known = machines.first(where: { $0.id == machine }),
      let epoch = try? known.snapshot().epoch, told < epoch
    else { return }
    throw Self.fenced(
      "'\(known.name)' has failed over: the vault is in epoch \(epoch), and this agent knows \(told).",
      machine)
  }

  private static func fenced(_ reason: String, _ machine: Identifier) -> Rejection {
    Rejection(
      .epoch,
      "\(reason) Nothing is taken from this source any more. To replicate it again, end its protection at the "
        + "service and enable it anew; if nothing is failed over there, have it enrol again ('tidemark key "
        + "create --machine' at the service, 'tidemark agent enrol --again' here).")
  }
}
