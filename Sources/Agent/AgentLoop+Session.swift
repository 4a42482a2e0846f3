internal import Bytes
internal import Capture
internal import FileIO
internal import Replication
internal import ReplicationService
internal import Vault

/// What an agent does while it has a session.
extension AgentLoop {
  /// Runs cycles and waits for orders. Returns when another session is needed: the disks were changed,
  /// or a cycle broke off.
  func converse(
    _ session: ServiceSession, _ configuration: AgentConfiguration
  ) throws(AgentError) {
    try check(session.welcome, against: configuration)
    let target = RemoteTarget(
      session,
      digests: DigestDirectory(
        path: directory.digestsPath, vault: configuration.vault, machine: configuration.machine,
        system: directory.system),
      disks: configuration.disks)
    note(
      .notice, "In session",
      ["service": session.welcome.release, "state": "\(session.assignment.state)"])
    status.serviceVersion = session.welcome.release
    shutdown?.told = nil
    try session.report(report(.waiting))
    var assignment = session.assignment
    obey(assignment)
    while !cancellation.isCancelled {
      if session.assignment != assignment {
        assignment = session.assignment
        note(.notice, "New assignment", ["state": "\(assignment.state)"])
        obey(assignment)
      }
      try attendShutdown(session, configuration)
      let wait = pause(in: session)
      if wait == .zero {
        let (isLast, before) = (isLastCycleDue, status.lastPoint)
        guard try runCycle(session, target, configuration) else { return }
        if isLast { try endShutdown(session, after: before) }
      } else {
        try giveUpLastCycle(session, because: assignment.state)
        showWaiting(session)
        try session.idle(for: min(wait, isStoppingSource ? .milliseconds(100) : pace.look))
        recovered()
        guard (try? directory.configuration()) == configuration else { return }
        renewIfDue()
        // Between two cycles nothing is lost by beginning a session with the new one.
        guard !hasNewCertificate else { return }
      }
    }
  }

  private func check(
    _ welcome: Welcome, against configuration: AgentConfiguration
  ) throws(AgentError) {
    guard welcome.vault == configuration.vault, welcome.machine == configuration.machine else {
      throw AgentError(
        .refused,
        "The service answers for machine \(welcome.machine) of vault \(welcome.vault), and this "
          + "agent is enrolled as \(configuration.machine) in \(configuration.vault). Enrol again.")
    }
  }

  func obey(_ assignment: Assignment) {
    rate.bytesPerSecond = assignment.bandwidth == 0 ? nil : Int(clamping: assignment.bandwidth)
    (status.intervalSeconds, status.bandwidth) = (Int(assignment.interval), rate.bytesPerSecond)
    // Whatever made it required is over, or the service knows it.
    if assignment.state != .required { status.resynchronisation = nil }
    // The new interval counts from the last cycle, and may be over.
    if let next = nextCycle {
      nextCycle = min(next, clock.now + .seconds(max(1, Int(assignment.interval))))
    }
  }

  /// How long there is nothing to do; zero if a cycle is due.
  private func pause(in session: ServiceSession) -> Duration {
    switch session.assignment.state {
    case .unprotected, .paused, .required: return .seconds(10)
    case .protected, .resynchronising:
      guard let next = nextCycle, !session.isCycleOrdered, !isLastCycleDue else { return .zero }
      return max(.zero, next - clock.now)
    }
  }

  private func showWaiting(_ session: ServiceSession) {
    status.lastContact = session.lastContact.iso8601
    let state: AgentCondition.State =
      switch session.assignment.state {
      case .unprotected: .unprotected
      case .paused: .paused
      case .required: .resynchronisationRequired
      case .protected, .resynchronising: .waiting
      }
    if failure.isEmpty { status.lastError = nil }
    status.progress = nil
    show(state)
  }

  /// How the agent is doing, with what the newest cycle failed of.
  func report(_ activity: Report.Activity) -> Report {
    Report(
      activity: activity, failure: String(failure.prefix(1000)),
      applicationFailure: String(applicationFailure.prefix(1000)))
  }
}
