/// Which action is allowed in which state: the table of Azure Site Recovery, row by row.
///
/// Nothing here looks at a disk, a clock or a job.
enum RecoveryTable {
  /// What the table holds in a cell.
  enum Cell: Hashable, Sendable {
    /// It is done.
    case allowed
    /// It would be allowed, and comes with a later version.
    case unavailable
    /// It is refused: why, and what to do instead.
    case refused(String, String)
  }

  /// What holds for an action in a state.
  static func cell(_ action: RecoveryAction, in state: RecoveryState) -> Cell {
    if isAllowed(action, in: state) { return .allowed }
    if isLater(action, in: state) { return .unavailable }
    return .refused(reason(action, in: state), advice(action, in: state))
  }

  private static func isAllowed(_ action: RecoveryAction, in state: RecoveryState) -> Bool {
    switch state {
    case .unprotected: action == .enable
    case .enabling: [.cancel, .disable].contains(action)
    case .protected: [.testFailover, .failover, .resynchronise, .disable].contains(action)
    case .resynchronising: [.failover, .cancel, .resynchronise, .disable].contains(action)
    case .testActive: [.cleanup, .cancel].contains(action)
    case .failoverInProgress: action == .cancel
    case .failoverFailed: [.failover, .cancel].contains(action)
    case .failedOver:
      [.changePoint, .commit, .flatten, .completeMigration, .disable].contains(action)
    case .committed: action == .flatten || action == .disable
    case .reprotecting, .reverseProtected, .failedBackCommitted: action == .disable
    case .replicationStopped: [.failover, .disable].contains(action)
    case .failbackInProgress, .failedBack: false
    }
  }

  /// What belongs to re-protect and failback.
  private static func isLater(_ action: RecoveryAction, in state: RecoveryState) -> Bool {
    switch state {
    case .committed: action == .reprotect
    case .reverseProtected: [.testFailover, .failback, .resynchronise].contains(action)
    case .failbackInProgress: action == .cancel
    case .failedBack: [.changePoint, .commit].contains(action)
    case .failedBackCommitted: [.enable, .reprotect].contains(action)
    default: false
    }
  }

  private static func reason(_ action: RecoveryAction, in state: RecoveryState) -> String {
    switch (action, state) {
    case (.reprotect, .unprotected), (.failback, .unprotected):
      "Protection is not enabled; a machine whose protection was disabled can never be failed back."
    case (.enable, .replicationStopped):
      "Its failover was cancelled, and what is left of its protection has to be ended first."
    case (.enable, let state) where state != .failoverFailed: "Its protection is enabled already."
    case (.changePoint, .committed): "The commit has deleted its recovery points."
    case (.changePoint, _): "Another recovery point can be chosen between failover and commit only."
    case (.commit, .committed), (.completeMigration, .committed): "It is committed already."
    case (.commit, .protected), (.completeMigration, .protected):
      "There is nothing to commit: it was not failed over."
    case (.flatten, let state) where !state.hasFailedOverDisks:
      "It has no failed-over disks that could be copied."
    case (.cleanup, _): "There is no test failover of it to clean up."
    case (.testFailover, .testActive): "A test failover of it runs already."
    case (.failover, .failedOver):
      "It is failed over already."
    case (.discard, _):
      "Disks are discarded of machines only that were failed over and are not protected any more."
    default: "The machine \(state.words)."
    }
  }

  private static func advice(_ action: RecoveryAction, in state: RecoveryState) -> String {
    switch state {
    case .unprotected: "Enable it with 'tidemark machine enable NAME'."
    case .enabling:
      action == .enable
        ? "'tidemark machine set NAME' changes how it is replicated."
        : "'tidemark jobs' tells how far 'Finalize protection' is; try again when it has ended, or end "
          + "protection with 'tidemark machine disable NAME'."
    case .protected: protectedAdvice(action)
    case .resynchronising:
      "Wait until the resynchronisation has ended ('tidemark machine resynchronise NAME' begins it), or "
        + "fail over with 'tidemark failover start NAME', which aborts it."
    case .testActive: "Clean it up first: 'tidemark test-failover cleanup NAME --notes TEXT'."
    case .failoverInProgress:
      "Wait for its end ('tidemark jobs' tells how far it is), or stop it for good with 'tidemark failover "
        + "cancel NAME --yes', after which it is not replicated any more."
    case .failoverFailed:
      "Try it again with 'tidemark failover start NAME', or give up replication with 'tidemark failover "
        + "cancel NAME --yes'."
    case .failedOver: failedOverAdvice(action)
    case .committed:
      action == .completeMigration
        ? "End its protection with 'tidemark machine disable NAME'."
        : "It runs at the recovery site. Re-protect comes with a later version; 'tidemark machine disable "
          + "NAME' ends protection and keeps its disks."
    case .reprotecting, .reverseProtected, .failbackInProgress, .failedBack, .failedBackCommitted:
      "Re-protect and failback come with a later version; 'tidemark machine show NAME' tells what is "
        + "allowed."
    case .replicationStopped:
      "Fail over to a recovery point that is there with 'tidemark failover start NAME', or end protection "
        + "with 'tidemark machine disable NAME' and enable it anew."
    }
  }

  private static func protectedAdvice(_ action: RecoveryAction) -> String {
    switch action {
    case .enable: "'tidemark machine set NAME' changes how it is replicated."
    case .cleanup: "'tidemark test-failover start NAME' begins one."
    case .cancel: "Nothing runs that could be cancelled; 'tidemark jobs' lists what does."
    case .discard: "'tidemark machine disable NAME' ends its protection."
    default: "Fail it over first: 'tidemark failover start NAME --point latest'."
    }
  }

  private static func failedOverAdvice(_ action: RecoveryAction) -> String {
    switch action {
    case .failover:
      "Choose another recovery point with 'tidemark failover change-point NAME --point POINT'."
    case .reprotect, .failback: "Commit it first: 'tidemark failover commit NAME'."
    case .discard: "End its protection first: 'tidemark machine disable NAME'."
    default:
      "Commit it with 'tidemark failover commit NAME', or choose another recovery point with 'tidemark "
        + "failover change-point NAME --point POINT'."
    }
  }
}
