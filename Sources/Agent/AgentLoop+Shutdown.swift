internal import Replication

/// An order to shut the source down, and how far it is.
struct ShutdownTask {
  /// The order's number.
  let number: UInt64
  /// What does it.
  let stop: SourceStop
  /// How far it is.
  var state: ShutdownState
  /// What the service was told in the present session; nil if nothing yet.
  var told: ShutdownState?
}

/// Shutting the source down when the service orders it: hooks do that on a thread of their own while a cycle
/// may go on; then a last cycle begins. Only this process remembers the order: after a restart the service
/// gives it again, as it does in each new session.
extension AgentLoop {
  /// Whether it is waited for the source to be down.
  var isStoppingSource: Bool { shutdown?.state.phase == .stopping }

  /// Whether the last cycle is due.
  var isLastCycleDue: Bool { shutdown?.state.phase == .lastCycle }

  /// Takes notice of an order and of how far it is, and tells the service.
  func attendShutdown(
    _ session: ServiceSession, _ configuration: AgentConfiguration
  ) throws(AgentError) {
    if let order = session.takeShutdownOrder() { obey(order, configuration) }
    if isStoppingSource, let outcome = shutdown?.stop.outcome {
      note(outcome.isStopped ? .notice : .warning, "Shutting down ended", ["how": outcome.text])
      shutdown?.state.phase = .lastCycle
      shutdown?.state.isStopped = outcome.isStopped
      shutdown?.state.text = String(outcome.text.prefix(1000))
    }
    try tellShutdown(session)
  }

  private func obey(_ order: ShutdownOrder, _ configuration: AgentConfiguration) {
    guard shutdown?.number != order.number else {
      shutdown?.told = nil
      return
    }
    let seconds = Int(order.limit)
    note(.notice, "The service orders the source to be shut down", ["seconds": "\(seconds)"])
    shutdown = ShutdownTask(
      number: order.number, stop: SourceStop(of: configuration, within: seconds),
      state: ShutdownState(number: order.number, phase: .stopping))
  }

  private func tellShutdown(_ session: ServiceSession) throws(AgentError) {
    guard let task = shutdown, task.told != task.state else { return }
    try session.tell(task.state)
    shutdown?.told = task.state
  }

  /// Ends the order after a cycle that was begun when the source was down, or could not be brought down;
  /// `before` is the newest point that there was then.
  func endShutdown(
    _ session: ServiceSession, after before: AgentCondition.Point?
  ) throws(AgentError) {
    guard isLastCycleDue else { return }
    if let point = status.lastPoint, point != before {
      // What a broken cycle had left is stored now; the present is not yet.
      guard nextCycle != nil else { return }
      shutdown?.state.hasLastPoint = true
      add("Recovery point '\(point.id)' holds what was written until then.")
    } else {
      add("The last recovery point could not be made. \(failure.prefix(500))")
    }
    shutdown?.state.phase = .over
    try tellShutdown(session)
  }

  /// Ends the order where no cycle is to be run.
  func giveUpLastCycle(
    _ session: ServiceSession, because state: Assignment.State
  ) throws(AgentError) {
    guard isLastCycleDue else { return }
    add("No last recovery point was made, for replication does not run (\(state)).")
    shutdown?.state.phase = .over
    try tellShutdown(session)
  }

  private func add(_ sentence: String) {
    let text = shutdown?.state.text ?? ""
    shutdown?.state.text = text.isEmpty ? sentence : "\(text) \(sentence)"
  }
}
