internal import Bytes
internal import Catalog
internal import Compute
internal import FileIO

/// What a recovered machine is to be, and what it uses.
extension VaultService {
  /// What a compute provider is asked to run for a drill or a failover, with its disks, by their numbers, at
  /// these paths, and what belongs to the run in `directory`.
  ///
  /// - Throws: `.unknown` if the machine, or a network that was chosen, is gone; `.refused` for a drill where
  ///   none was chosen and none is isolated: what its adapters join for a failover may be where the machine
  ///   itself is.
  func machinePlan(
    of record: RecoveryRecord, disks: [Int: String], in directory: String
  ) throws(OperationError) -> MachinePlan {
    let isDrill = record.drill != nil || record.state == RecoveryState.testActive.rawValue
    let chosen = try record.request?.network.map { name throws(OperationError) in
      try network(named: name).network
    }
    let usual = isDrill && chosen == nil ? try drillNetwork() : nil
    guard !isDrill || chosen != nil || usual != nil else {
      throw OperationError(
        .refused,
        "There is no isolated network for the drill of '\(record.name)' to join. Make one with 'tidemark "
          + "network create \(NetworkRecord.usualName) --isolated', or begin the drill with --network."
      )
    }
    return try target(of: record.name).plan(
      disks: disks, in: directory, joining: chosen ?? usual, isDrill: isDrill)
  }

  /// The networks that drills and failed-over machines are on, beside those of what machines are to be.
  func recoveryNetworks() -> [(network: String, user: String)] {
    let records = (try? catalog.recoveries()) ?? []
    return records.compactMap { record in
      guard record.branch != nil else { return nil }
      let isDrill = record.state == RecoveryState.testActive.rawValue
      // The one that was asked for is joined whenever a machine is started; the usual one only if one runs.
      let usual =
        isDrill && record.request?.boots == true ? (try? drillNetwork())??.name : nil
      guard let network = record.request?.network ?? usual else { return nil }
      let what = isDrill ? "the drill of" : "the failed-over machine"
      return (network, "\(what) '\(record.name)'")
    }
  }

  /// Keeps what reading all of the disks of a drill or a failover found, which are a branch of this identifier:
  /// what is damaged, in up to 2000 bytes of UTF-8, or nothing.
  ///
  /// - Throws: `.unknown`; `.refused` if those are not the disks that the machine has by now.
  public func noteChecked(
    _ name: String, branch: String, damage: String?
  ) throws(OperationError) {
    let subject = try recovery.subject(named: name)
    guard let known = try recovery.standing(of: subject).record?.branch,
      known.description == branch
    else {
      throw OperationError(
        .refused,
        "What was checked are not the disks of a test failover, or a failover, that '\(name)' has now."
      )
    }
    guard let damage else { return health.clear(name, .disksDamaged, at: .now()) }
    guard (1...2000).contains(damage.utf8.count) else {
      throw OperationError(.refused, "What is damaged is said in up to 2000 bytes.")
    }
    // Whoever says so, it reaches terminals.
    let words = GuestText.readable(damage)
    health.raise(HealthFinding(.disksDamaged, .critical, words), of: name, at: .now())
  }
}
