internal import Bytes
public import Catalog
internal import Dispatch
internal import Replication
internal import ReplicationService
internal import Synchronization

extension VaultService {
  /// Seconds that a refresh waits for an agent: one that waits to be enabled asks every 30.
  static let refreshSeconds = 40

  /// Starts the job that asks agents to tell anew what their machines are. An agent in the middle of a
  /// cycle is not disturbed: its next report counts.
  ///
  /// - Parameter names: the machines; all that enrolled if there is none.
  /// - Returns: the job.
  /// - Throws: `.unknown`.
  public func refresh(_ names: [String]) throws(OperationError) -> JobRecord {
    var chosen: [AgentRecord] = []
    for name in names { chosen.append(try agent(named: name)) }
    let asked = names.isEmpty ? try agents() : chosen
    return try jobs.start(
      "Refresh machines", machine: names.count == 1 ? names[0] : nil, tasks: asked.map(\.name)
    ) { [self] job throws(OperationError) in
      let before = asked.map { agentHost.activity.activity(of: $0.machine) }
      for (agent, activity) in zip(asked, before) where activity.report?.activity == .waiting {
        agentHost.reconnect(agent.machine)
      }
      let clock = ContinuousClock()
      let end = clock.now + .seconds(Self.refreshSeconds)
      var silent: [String] = []
      for (agent, activity) in zip(asked, before) {
        let isHeard = try job.task(agent.name) { () throws(OperationError) in
          try wait(for: agent, after: activity, until: end, job)
        }
        if !isHeard { silent.append(agent.name) }
      }
      guard silent.isEmpty else {
        throw OperationError(
          .incomplete,
          "Nothing was heard of \(silent.joined(separator: ", ")): see whether 'tidemark agent run' "
            + "runs there.")
      }
    }
  }

  private func wait(
    for agent: AgentRecord, after before: MachineActivity, until end: ContinuousClock.Instant,
    _ job: Job
  ) throws(OperationError) -> Bool {
    let wantsHello = before.report == nil || before.report?.activity == .waiting
    while true {
      let now = agentHost.activity.activity(of: agent.machine)
      if now.hellos > before.hellos { return true }
      if !wantsHello, now.reports > before.reports { return true }
      guard ContinuousClock.now < end else { return false }
      if job.isCancelled {
        throw OperationError(.cancelled, "Agents that answered have told anew.")
      }
      _ = DispatchSemaphore(value: 0).wait(timeout: .now() + .milliseconds(50))
    }
  }
}

extension AgentHost {
  /// Lets a machine's agent connect anew, and so tell what its machine is.
  fileprivate func reconnect(_ machine: Identifier) {
    state.withLock { $0.sessions[machine] }?.close()
  }
}
