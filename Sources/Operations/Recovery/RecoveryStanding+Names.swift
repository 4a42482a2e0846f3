/// The names that Azure Site Recovery's REST API has for where a machine stands, for scripts made for it.
extension RecoveryStanding {
  /// `protectionState` of a replicated item; nil where that has no word for it.
  public var protectionState: String? {
    if let name = runningName { return name }
    switch state {
    case .unprotected: return "Unprotected"
    case .enabling: return "InitialReplicationInProgress"
    case .protected, .resynchronising, .testActive: return "Protected"
    case .failoverInProgress: return "UnplannedFailoverInitiated"
    case .failoverFailed: return "UnplannedFailoverFailed"
    case .failedOver:
      return failed == .commit || failed == .completeMigration
        ? "CommitFailoverFailedOnRecovery" : "UnplannedFailoverCompleted"
    case .committed: return "CommitFailoverCompleted"
    case .reprotecting: return "ReprotectInitiated"
    case .reverseProtected: return "Protected"
    case .failbackInProgress: return "PlannedFailoverInitiated"
    case .failedBack: return "PlannedFailoverCompleted"
    case .failedBackCommitted: return "CommitFailoverCompleted"
    case .replicationStopped: return nil
    }
  }

  private var runningName: String? {
    switch running {
    case .changePoint: "ChangeRecoveryPointInitiated"
    case .commit, .completeMigration: "CommitFailoverInProgressOnRecovery"
    case .cancel where state != .testActive: "CancelFailoverInProgressOnPrimary"
    default: nil
    }
  }

  /// `testFailoverState` of a replicated item.
  public var testFailoverState: String {
    guard state == .testActive else { return "None" }
    switch (running, failed) {
    case (.testFailover, _): return "TestFailoverInitiated"
    case (.cleanup, _), (.cancel, _): return "TestFailoverCleanupInitiated"
    case (_, .testFailover): return "TestFailoverFailed"
    default: return "TestFailoverCompleted"
    }
  }
}
