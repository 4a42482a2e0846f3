internal import Bytes
internal import Capture
internal import Replication
internal import Vault

/// Looks, before a cycle begins, whether what the agent knows of the newest recovery point can be gone on
/// from.
///
/// What tells which blocks changed since then is, of a disk that is cloned, the clone of that point; of
/// a disk that is scanned, the digests of its blocks as of the log's newest number. Digests of that very
/// number do in place of a lost clone too: they are proof of what the replica holds, so comparing with
/// them is a cycle like any other, which reads the whole disk and sends what differs. Nothing else is
/// taken for such a proof: not the digests of an older number, and not those whose number was taken away
/// when a cycle began to change them, unless it is noted that it was this agent that broke it off. Then
/// the replica itself is asked, as resuming is no resynchronisation.
///
/// What can't be seen: which file a block device is made of, and when it was written to.
struct DoubtCheck {
  let machine: Identifier
  let target: RemoteTarget
  let notes: SourceNotes

  /// What was found of each disk; nothing before the first recovery point, or of a disk that it has not.
  func findings(
    _ disks: [DiskConfiguration], at time: Timestamp
  ) throws(AgentError) -> [Doubt.Finding] {
    guard target.cycle != nil else { return [] }
    var findings: [Doubt.Finding] = []
    for disk in disks {
      if let finding = try finding(disk, at: time) { findings.append(finding) }
    }
    return findings
  }

  private func finding(
    _ disk: DiskConfiguration, at time: Timestamp
  ) throws(AgentError) -> Doubt.Finding? {
    // A source that can't be looked at is the cycle's to tell of.
    guard let last = target.lastSize(of: disk.number), let size = try? SourceCheck.size(of: disk)
    else { return nil }
    let name = "Disk \(disk.number), '\(disk.path)',"
    guard size == last else {
      return Doubt.Finding(
        .size, disk: disk.number,
        "\(name) has \(size) bytes; it had \(last) at the last recovery point.")
    }
    if let found = notes.source(of: disk.number), let now = SourceNote(of: disk),
      let objection = found.objection(to: now, at: time)
    {
      return Doubt.Finding(
        objection.isOther ? .replaced : .reverted, disk: disk.number, objection.text)
    }
    guard try !hasTracking(disk, size: size) else { return nil }
    let what =
      disk.capture == .reflink
      ? "the clone of the last cycle is gone" : "the digests of its blocks are gone"
    return Doubt.Finding(
      .tracking, disk: disk.number, "What changed on disk \(disk.number) can't be told: \(what).")
  }

  private func hasTracking(
    _ disk: DiskConfiguration, size: UInt64
  ) throws(AgentError) -> Bool {
    if disk.capture == .reflink, let cycle = target.cycle {
      let hasClone = try? SourceCheck.hasClone(of: disk, machine: machine, cycle: cycle)
      // Where clones can't even be looked for, the cycle tells why.
      if hasClone ?? true { return true }
    } else if notes.isCycling {
      return true
    }
    return try target.hasDigests(of: disk.number, size: size)
  }
}
