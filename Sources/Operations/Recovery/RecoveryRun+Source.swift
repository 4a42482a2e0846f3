internal import Bytes
internal import Catalog
internal import Dispatch
internal import FileIO
internal import Replication
internal import Vault

/// Asking a source to stop before its machine is failed over.
enum SourceStop {
  /// Asks the source of a machine to stop, and waits for that, for a limited time.
  ///
  /// - Parameters:
  ///   - machine: the machine.
  ///   - name: its name.
  ///   - agents: what reaches its agent.
  ///   - isCancelled: whether nobody wants to wait any longer.
  /// - Returns: what came of it, as a sentence. A failover goes on whatever that is.
  static func ask(
    _ machine: Identifier, named name: String, of agents: AgentHost,
    isCancelled: () -> Bool
  ) -> String {
    guard agents.isConnected(machine) else {
      return
        "The agent of '\(name)' is not connected, so the source was not asked to stop. If it runs, it "
        + "goes on serving until it reconnects."
    }
    return
      "The agent of '\(name)' can't be told to stop its machine in this version. Stop it by hand: it "
      + "goes on serving meanwhile, and what it writes from now on is not replicated."
  }
}

extension RecoveryRun {
  /// How long a relay may take to bring what it holds.
  private static let drainTime = Duration.seconds(120)
  /// Seconds that a relay has to answer.
  private static let answerSeconds = 5

  /// Waits until what relays hold of the machine has come. One that is silent, or does not get done in time,
  /// is named, and gone on without only if the operator said so.
  func drain() throws(OperationError) {
    guard let relay = try relay() else { return }
    let clock = ContinuousClock()
    let deadline = clock.now + Self.drainTime
    while true {
      try check()
      guard answers(relay.id), let load = desk.agents.relays.heard(of: relay.id)?.status.load else {
        return try goOn(
          without:
            "The relay '\(relay.name)' does not answer; what it holds of '\(name)' would be lost.")
      }
      guard load.pendingBytes > 0 else { return }
      guard clock.now < deadline else {
        return try goOn(
          without:
            "The relay '\(relay.name)' still holds \(load.pendingBytes >> 10) KiB, some of which may "
            + "be of '\(name)', and would be lost.")
      }
      job.report(
        JobProgress(step: "relay \(relay.name)", done: 0, total: UInt64(load.pendingBytes)))
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(200))
    }
  }

  /// The relay that may hold something of the machine.
  private func relay() throws(OperationError) -> ServerRecord? {
    let session = try inCatalog { () throws(CatalogError) in
      try desk.catalog.relayedSession(of: machine)
    }
    let place = try desk.agents.place(of: machine)
    let id = session?.relay ?? place.relay
    guard let id else { return nil }
    return try inCatalog { () throws(CatalogError) in try desk.catalog.server(id) }
  }

  private func answers(_ relay: Identifier) -> Bool {
    desk.agents.relays.refresh(
      relay, desk.agents.relayOrders(isStatusWanted: true), seconds: Self.answerSeconds)
  }

  private func goOn(without what: String) throws(OperationError) {
    guard try record.request?.isConfirmed == true else {
      throw OperationError(.refused, what + " To go on without it, add --yes.")
    }
    desk.note(.warning, "drain-incomplete", name, what + " The operator went on without it.")
  }
}
