internal import Bytes
public import Capture
internal import Catalog
internal import FileIO
internal import FoundationEssentials
internal import Replication
internal import ReplicationService
internal import Vault

/// Replication of machines whose disks are this host's own, which no agent looks after.
extension VaultService {
  /// Runs `Replicate`, unless the disks are not what the newest recovery point left: then a resynchronisation
  /// is required, which compares everything and which `options.resynchronises` asks for.
  ///
  /// The replica is at hand here, so a wrong guess of what changed could come from clones only. All the
  /// same a disk that was put back, replaced or written anew is nothing to make a recovery point of
  /// without a word.
  /// - Throws: `.refused` if it is required, or the machine has an agent; else as `Replicate` does.
  public func replicate(
    _ name: String, _ options: CaptureOptions, progress: @escaping (CaptureProgress) -> Void,
    cancelled: @escaping () -> Bool, made: (CaptureResult) -> Void
  ) throws(OperationError) {
    let machine = try inVault { () throws(VaultError) in try vault.machine(named: name) }
    try checkEpoch(of: machine)
    guard try !agents().contains(where: { $0.machine == machine.id }) else {
      throw OperationError(
        .refused,
        "'\(name)' has an agent that replicates it; 'tidemark machine replicate \(name)' lets it begin "
          + "a cycle.")
    }
    let snapshot = try inVault { () throws(VaultError) in try machine.snapshot() }
    let disks = snapshot.configuration.disks
    if !options.resynchronises, let last = snapshot.points.last {
      let doubts = try doubts(of: machine, disks, last)
      guard doubts.isEmpty else { throw required(name, doubts.joined(separator: " ")) }
    }
    let notes = disks.compactMap { SourceNote(of: $0) }
    var options = options
    if options.resynchronises {
      options.acceptSize = true
      try forgetClones(of: machine, disks)
    }
    do throws(OperationError) {
      try Replicate(machine: name, options: options).run(
        in: writable,
        // It may have been failed over since.
        isAllowed: { () throws(OperationError) in try checkEpoch(of: machine) },
        progress: progress,
        // A failover waits for no cycle.
        cancelled: { cancelled() || self.agentHost.isBarred(machine.id) }, made: made)
    } catch {
      // The point is made; what could not be done beside it is told.
      if error.code == .incomplete { try settle(machine, name, notes) }
      throw error
    }
    try settle(machine, name, notes)
  }

  private func checkEpoch(of machine: Machine) throws(OperationError) {
    guard let rejection = try agentHost.sourceRefusal(of: machine.id) else { return }
    throw OperationError(.refused, rejection.refusal.text)
  }

  /// Why what is known of a machine's newest point is not to be gone on from.
  private func doubts(
    of machine: Machine, _ disks: [DiskConfiguration], _ last: RecoveryPoint
  ) throws(OperationError) -> [String] {
    let text = try inCatalog { () throws(CatalogError) in
      try catalog.sourceNotes(of: machine.id)
    }
    let notes = text.flatMap {
      try? JSONDecoder().decode([SourceNote].self, from: Data($0.utf8))
    }
    var found: [String] = []
    // A disk that is new, not there or of another size is the cycle's own to tell of.
    for disk in disks where last.size(of: disk.number) != nil {
      guard (try? SourceCheck.size(of: disk)) == last.size(of: disk.number) else { continue }
      if let note = notes?.first(where: { $0.disk == Int(disk.number) }),
        let now = SourceNote(of: disk), let objection = note.objection(to: now, at: .now())
      {
        found.append(objection.text)
      } else if disk.capture == .reflink,
        (try? SourceCheck.hasClone(of: disk, machine: machine.id, cycle: nil)) == false
      {
        found.append(
          "What changed on disk \(disk.number) can't be told: the clone of the last cycle is gone.")
      }
    }
    return found
  }

  private func required(_ name: String, _ reason: String) -> OperationError {
    let message = "Resynchronisation is required: \(reason)"
    health.raise(
      HealthFinding(.resynchronisationRequired, .critical, message), of: name, at: .now())
    return OperationError(
      .refused,
      "Machine '\(name)': \(message) 'tidemark replicate \(name) --resynchronise' compares everything."
    )
  }

  /// Clones of before are no proof of what the replica holds.
  private func forgetClones(
    of machine: Machine, _ disks: [DiskConfiguration]
  ) throws(OperationError) {
    for disk in disks {
      do throws(CaptureError) {
        try SourceCheck.forgetClones(of: disk, machine: machine.id)
      } catch { throw OperationError(error) }
    }
  }

  private func settle(
    _ machine: Machine, _ name: String, _ notes: [SourceNote]
  ) throws(OperationError) {
    guard let json = try? JSONEncoder().encode(notes) else { return }
    try inCatalog { () throws(CatalogError) in
      try catalog.set(
        SourceNotesRecord(machine: machine.id, notes: String(decoding: json, as: UTF8.self)))
    }
    health.clear(name, .resynchronisationRequired, at: .now())
  }
}
