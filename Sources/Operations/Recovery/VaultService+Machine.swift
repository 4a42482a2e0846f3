internal import Bytes
internal import Catalog
internal import Compute

/// What a recovered machine is to be, and what it uses.
extension VaultService {
  /// What a compute provider is asked to run for a drill or a failover, with its disks, by their numbers, at
  /// these paths, and what belongs to the run in `directory`.
  ///
  /// - Throws: `.unknown` if the machine, or a network that was chosen, is gone.
  func machinePlan(
    of record: RecoveryRecord, disks: [Int: String], in directory: String
  ) throws(OperationError) -> MachinePlan {
    let isDrill = record.drill != nil || record.state == RecoveryState.testActive.rawValue
    let chosen = try record.request?.network.map { name throws(OperationError) in
      try network(named: name).network
    }
    let usual = isDrill && chosen == nil ? try drillNetwork() : nil
    return try target(of: record.name).plan(
      disks: disks, in: directory, joining: chosen ?? usual, isDrill: isDrill)
  }

  /// The networks that drills and failed-over machines are on, beside those of what machines are to be.
  func recoveryNetworks() -> [(network: String, user: String)] {
    let records = (try? catalog.recoveries()) ?? []
    return records.compactMap { record in
      guard record.request?.boots == true, record.branch != nil else { return nil }
      let isDrill = record.state == RecoveryState.testActive.rawValue
      let usual = isDrill ? (try? drillNetwork())??.name : nil
      guard let network = record.request?.network ?? usual else { return nil }
      let what = isDrill ? "the drill of" : "the failed-over machine"
      return (network, "\(what) '\(record.name)'")
    }
  }
}
