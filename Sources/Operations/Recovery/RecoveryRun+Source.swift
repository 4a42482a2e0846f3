internal import Bytes
internal import Catalog
internal import Dispatch
internal import FileIO
internal import Replication
internal import Vault

extension RecoveryRun {
  /// Asks the source to shut down, and goes on whatever comes of that: what is down can't be asked.
  func stopSource() throws(OperationError) {
    let limits = parts.sourceLimits
    let end = desk.agents.shutDownSource(
      of: machine, within: limits.shutdown, lastCycleWithin: limits.lastPoint,
      contactWithin: limits.contact,
      progress: { state in
        let step = state.phase == .stopping ? "the source is shutting down" : "last recovery point"
        job.report(JobProgress(step: step, done: 0, total: 0))
      }, isCancelled: { job.isCancelled })
    let advice = " If it runs, it goes on serving until its agent is heard again: stop it."
    let words = end.message + (end.isStopped ? "" : advice)
    try report { report in
      report.sourceShutdown = words
      report.isSourceStopped = end.wasAsked ? end.isStopped : nil
    }
    desk.note(end.isStopped ? .info : .warning, "source-shutdown", name, words)
  }

  /// What a failover ends with that was undone: with that its source was asked to shut down, which nothing takes
  /// back, where it was.
  func adviseOnSource(_ error: OperationError) -> OperationError {
    guard let isStopped = RecoveryReport(json: job.record.result)?.isSourceStopped else {
      return error
    }
    let words =
      isStopped
      ? "The source of '\(name)' was shut down for this, and stays so: start it again."
      : "The source of '\(name)' was asked to shut down for this: look whether it runs, and start it again if not."
    desk.note(.warning, "source-left-down", name, words)
    return OperationError(error.code, "\(error.message) \(words)")
  }

  /// How long a relay may take to bring what it holds.
  private static let drainTime = Duration.seconds(120)
  /// Seconds that a relay has to answer.
  private static let answerSeconds = 5

  /// Waits until what relays hold of the machine has come. One that is silent, or does not get done in time,
  /// is named, and gone on without only by a drill, or if the operator said so.
  func drain() throws(OperationError) {
    guard let relay = try relay() else { return }
    let clock = ContinuousClock()
    let deadline = clock.now + Self.drainTime
    while true {
      try check()
      guard answers(relay.id), let load = desk.agents.relays.heard(of: relay.id)?.status.load else {
        return try goOn(
          without:
            "The relay '\(relay.name)' does not answer; what it holds of '\(name)' would be missing."
        )
      }
      guard load.pendingBytes > 0 else { return }
      guard clock.now < deadline else {
        return try goOn(
          without:
            "The relay '\(relay.name)' still holds \(load.pendingBytes >> 10) KiB, some of which may "
            + "be of '\(name)', and would be missing.")
      }
      job.report(
        JobProgress(step: "relay \(relay.name)", done: 0, total: UInt64(load.pendingBytes)))
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(200))
    }
  }

  /// Whether the relay answers that may hold something of a machine that is failed over: to be known before
  /// its source is shut down. Nil if there is none.
  func checkRelay() throws(OperationError) -> RecoveryReport.Check? {
    guard action == .failover, let relay = try relay() else { return nil }
    let title = "relay '\(relay.name)'"
    guard !answers(relay.id) else { return RecoveryReport.Check(title, .ok, "it answers") }
    let what = "It does not answer; what it holds of '\(name)' would be lost."
    guard try record.request?.isConfirmed == true else {
      return RecoveryReport.Check(title, .failed, what + " To go on without it, add --yes.")
    }
    return RecoveryReport.Check(title, .warning, what)
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
    guard action != .testFailover else {
      // Nothing is lost by a drill: the relay brings it later.
      return desk.note(
        .warning, "drain-incomplete", name,
        "\(action.name) of '\(name)' goes on without what a relay may hold. \(what)")
    }
    guard try record.request?.isConfirmed == true else {
      throw OperationError(.refused, what + " To go on without it, add --yes.")
    }
    desk.note(.warning, "drain-incomplete", name, what + " The operator went on without it.")
  }
}
