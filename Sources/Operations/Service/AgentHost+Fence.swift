internal import Bytes
internal import Catalog
internal import Replication
internal import ReplicationService
internal import Vault

/// Keeping out the source of a machine that has failed over, or whose failover was cancelled.
///
/// It is asked whenever an agent, or a relay with something left of one, begins; sessions that live are ended by
/// whoever fails the machine over, as are relays' remains by the epoch.
extension AgentHost {
  /// Why nothing is taken from a machine's source; nil if it is.
  ///
  /// Only the source of a machine that runs at the recovery site is to fence itself. While a machine is being
  /// failed over, and where that failed half-way, it may be given up yet, so its source asks again; where it
  /// was given up the source is told so, and goes on serving.
  func sourceRefusal(of machine: Identifier) throws(OperationError) -> Rejection? {
    let record = try inCatalog { () throws(CatalogError) in try catalog.recovery(of: machine) }
    guard let record, record.isFenced || record.keepsDisks else { return nil }
    let state = RecoveryState(rawValue: record.state)
    let reason = "The machine '\(record.name)' \(state?.words ?? "was failed over")."
    switch state {
    case .failoverInProgress, .failoverFailed:
      return Rejection(.busy, "\(reason) Nothing is taken from its source meanwhile.")
    case .replicationStopped:
      // Of a failover that lost what was known of it, and that nobody cancelled: its source stays fenced.
      guard try failedOverDisks(of: machine, besides: record.replacedDisks).isEmpty else {
        return Self.fenced(
          "The vault holds disks that '\(record.name)' was failed over to, which its log does not name any more."
        )
      }
      return Rejection(
        .ended,
        "Replication is stopped: the failover of '\(record.name)' was cancelled. \(Self.anew(record.name))"
      )
    default: return Self.fenced(reason)
    }
  }

  /// The disks of failovers of a machine beside these, be it that they can't be read.
  func failedOverDisks(
    of machine: Identifier, besides named: [Identifier]
  ) throws(OperationError) -> [Identifier] {
    let branches = try inVault { () throws(VaultError) in try vault.branchIdentifiers() }
    let found = branches.filter { id in
      !named.contains(id) && vault.machine(ofBranch: id) == machine
        && (try? vault.branch(id))?.purpose != .drill
    }
    guard !found.isEmpty else { return [] }
    // That of a drill may be unreadable.
    let drills = try inCatalog { () throws(CatalogError) in
      try catalog.drills(of: machine, limit: Self.mostDrills)
    }
    return found.filter { id in !drills.contains { $0.branch == id } }
  }

  /// Drills of a machine that are looked at, the newest first.
  private static let mostDrills = 10_000

  func checkSource(of machine: Identifier) throws(Rejection) {
    let refusal = try Self.rejecting { () throws(OperationError) in
      try sourceRefusal(of: machine)
    }
    if let refusal { throw refusal }
  }

  /// Refuses the agent of a machine that has failed over, or that has failed over since the agent was told
  /// the epoch.
  func checkFence(of machine: Identifier, _ told: UInt32?) throws(Rejection) {
    try checkSource(of: machine)
    guard let told else { return }
    let machines = (try? vault.machines()) ?? []
    // A log that can't be read is told of by who opens it.
    guard let known = machines.first(where: { $0.id == machine }),
      let snapshot = try? known.snapshot(), told < snapshot.epoch
    else { return }
    let record = try Self.rejecting { () throws(OperationError) in
      try inCatalog { () throws(CatalogError) in try catalog.recovery(of: machine) }
    }
    let state = record.flatMap { RecoveryState(rawValue: $0.state) }
    guard record?.isOccupied != true, state != .failoverFailed else {
      // What the epoch was raised for has not ended.
      throw Rejection(.busy, "The protection of the machine is being changed.")
    }
    let isPinned = snapshot.pins.contains { $0.purpose == .failover }
    guard try isPinned ? true : hasDisks(machine, record) else {
      // An epoch alone is what a failover left that broke off: nothing runs in the source's place.
      throw Rejection(
        .ended,
        "Replication is stopped: a failover of '\(known.name)' was begun that came to nothing. \(Self.anew(known.name))"
      )
    }
    throw Self.fenced(
      "'\(known.name)' has failed over: the vault is in epoch \(snapshot.epoch), and this agent knows \(told)."
    )
  }

  private func hasDisks(
    _ machine: Identifier, _ record: RecoveryRecord?
  ) throws(Rejection) -> Bool {
    try Self.rejecting { () throws(OperationError) in
      try !failedOverDisks(of: machine, besides: record?.replacedDisks ?? []).isEmpty
    }
  }

  /// How a machine is replicated again that has nothing in its place.
  private static func anew(_ name: String) -> String {
    "To replicate it again, end its protection at the service ('tidemark machine disable \(name)') and enable it "
      + "anew ('tidemark machine enable \(name)'), which copies everything."
  }

  private static func fenced(_ reason: String) -> Rejection {
    Rejection(
      .epoch,
      "\(reason) Nothing is taken from this source any more; it must not serve anybody: fence it. To replicate "
        + "it again, end its protection at the service and enable it anew; if nothing is failed over there, "
        + "have it enrol again ('tidemark key create --machine' at the service, 'tidemark agent enrol "
        + "--again' here).")
  }
}
