/// Where a machine stands between being protected and running at the recovery site.
///
/// The states are those of Azure Site Recovery, in one list for both directions, and `failoverFailed`.
public enum RecoveryState: String, Codable, Sendable, CaseIterable {
  /// Nothing is replicated. Disks of a failover may be left, with what they are made of.
  case unprotected
  /// Its first recovery point is being made.
  case enabling
  /// It has recovery points, and makes more unless it is paused.
  case protected
  /// It has to be compared with its replica, or is.
  case resynchronising
  /// A drill of it runs, or is being begun or cleaned up.
  case testActive
  /// It is being failed over.
  case failoverInProgress
  /// Its failover stopped half-way, behind the point where replication ends.
  case failoverFailed
  /// It was failed over; another recovery point can still be chosen.
  case failedOver
  /// It was failed over for good, and its recovery points are gone.
  case committed
  /// What it does at the recovery site is being replicated back.
  case reprotecting
  /// What it does at the recovery site is replicated back.
  case reverseProtected
  /// It is being failed back.
  case failbackInProgress
  /// It was failed back; that can still be changed.
  case failedBack
  /// It was failed back for good, and is not replicated.
  case failedBackCommitted
  /// Its failover was cancelled, and it is not replicated any more.
  case replicationStopped

  /// What it is, for people, as the end of 'The machine …'.
  public var words: String {
    switch self {
    case .unprotected: "is not protected"
    case .enabling: "has no recovery point yet, as its initial replication has not ended"
    case .protected: "is protected, and was not failed over"
    case .resynchronising: "has to be resynchronised, or is being that"
    case .testActive: "has a test failover that was not cleaned up"
    case .failoverInProgress: "is being failed over"
    case .failoverFailed: "has a failover that failed half-way"
    case .failedOver: "is failed over, and that is not committed"
    case .committed: "is failed over, and that is committed"
    case .reprotecting: "is being re-protected"
    case .reverseProtected: "runs at the recovery site, and is replicated back"
    case .failbackInProgress: "is being failed back"
    case .failedBack: "is failed back, and that is not committed"
    case .failedBackCommitted: "is failed back, and that is committed"
    case .replicationStopped: "is not replicated any more, since its failover was cancelled"
    }
  }

  /// Whether records of its source are taken. What is abandoned at a failover is not.
  public var isReplicating: Bool {
    switch self {
    case .enabling, .protected, .resynchronising, .testActive: true
    default: false
    }
  }

  /// Whether its machine at the recovery site has disks of its own.
  public var hasFailedOverDisks: Bool {
    switch self {
    case .failedOver, .committed, .reprotecting, .reverseProtected, .failbackInProgress: true
    default: false
    }
  }

  /// Whether retention and consolidation of its recovery points rest.
  public var restsRetention: Bool {
    self == .failoverInProgress || self == .failoverFailed || self == .failedOver
  }
}
