internal import Bytes
internal import Capture
internal import FileIO
internal import Replication
internal import Vault

/// What comes before a cycle: whether the replica is what the agent takes it for.
extension AgentLoop {
  /// Makes ready for a cycle, and tells the service if the replica is doubtful.
  ///
  /// - Returns: what is noted of the disks once the cycle has made its recovery point; nil if there is to
  ///   be no cycle.
  func prepare(
    _ disks: [DiskConfiguration], _ session: ServiceSession, _ target: RemoteTarget,
    _ configuration: AgentConfiguration
  ) throws(AgentError) -> SourceNotes? {
    var notes = directory.sourceNotes(of: configuration.machine)
    let isResynchronising = session.assignment.state == .resynchronising
    if isResynchronising {
      do throws(CaptureError) {
        // What is noted may be of one that has made its point, if the agent ended before it took note of that.
        let isUnderWay = notes.isResynchronising && notes.resynchronisedAfter == target.cycle
        if !isUnderWay { try startAnew(disks, configuration.machine) }
      } catch {
        try fail(error.message, session)
        return nil
      }
    } else {
      let check = DoubtCheck(machine: configuration.machine, target: target, notes: notes)
      let findings = try check.findings(disks, at: .now())
      guard findings.isEmpty else {
        try raise(Doubt(findings), session)
        return nil
      }
    }
    var after = SourceNotes(machine: notes.machine)
    after.sources = disks.compactMap { SourceNote(of: $0) }
    (notes.isCycling, notes.isResynchronising) = (true, isResynchronising)
    notes.resynchronisedAfter = isResynchronising ? target.cycle : nil
    try directory.save(notes)
    return after
  }

  /// Removes the clones that were made before a resynchronisation: what was stored of one since the
  /// newest recovery point was compared with another clone only, not with the replica.
  private func startAnew(
    _ disks: [DiskConfiguration], _ machine: Identifier
  ) throws(CaptureError) {
    for disk in disks {
      do throws(CaptureError) { try SourceCheck.forgetClones(of: disk, machine: machine) } catch {
        // A disk that is not there is the cycle's to tell of, and has no clones that would be used.
        guard error.code == .sourceMissing else { throw error }
      }
    }
  }

  /// Tells the service, the log and whoever asks that a resynchronisation is required.
  func raise(_ doubt: Doubt, _ session: ServiceSession) throws(AgentError) {
    if status.resynchronisation != doubt.text {
      note(.error, "Resynchronisation is required: \(doubt.text)")
    }
    status.resynchronisation = doubt.text
    try session.raise(doubt)
  }
}
