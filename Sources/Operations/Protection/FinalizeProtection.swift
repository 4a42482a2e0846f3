internal import Bytes
internal import Catalog
internal import Replication

/// The job that a machine's protection ends in: nobody runs it, it waits for the agent and tells how far
/// the first replication is. It outlives restarts of the service.
enum FinalizeProtection {
  static let kind = "Finalize protection"
  /// Its parts, in order.
  static let contact = "Contact of the agent"
  static let copy = "Initial replication"
  static let point = "First recovery point"
}

extension HealthMonitor {
  /// Brings the jobs that wait for agents up to date.
  func followFinalizing(_ known: [AgentRecord], _ now: Timestamp) {
    for job in jobs.opened(FinalizeProtection.kind) {
      guard let agent = known.first(where: { $0.name == job.record.machine }) else {
        let reason = OperationError(.cancelled, "The machine is not protected any more.")
        jobs.close(job, .failure(reason))
        continue
      }
      do throws(OperationError) {
        guard try follow(job, agents.activity.activity(of: agent.machine)) else { continue }
        jobs.close(job, .success(()))
        _ = try? catalog.addEvent(
          .info, "protection-finalized", machine: agent.name,
          "'\(agent.name)' has its first recovery point, and is ready for failover.", now: now)
      } catch {
        // The catalog can't be written now: the next look finds the job as it was.
      }
    }
  }

  /// Notes how far a machine is; gives whether it has a recovery point.
  private func follow(_ job: Job, _ activity: MachineActivity) throws(OperationError) -> Bool {
    if let report = activity.report, report.total > 0, activity.newestPoint == nil {
      job.report(
        JobProgress(
          step: "first replication", done: report.examined, total: report.total,
          changed: report.changed))
    }
    let isThere = activity.newestPoint != nil
    guard activity.report != nil || isThere else { return false }
    try job.advance(FinalizeProtection.contact, to: .succeeded)
    try job.advance(FinalizeProtection.copy, to: isThere ? .succeeded : .inProgress)
    guard isThere else { return false }
    try job.advance(FinalizeProtection.point, to: .succeeded)
    return true
  }
}
