/// What an operator can ask for, of those things that change where a machine stands.
public enum RecoveryAction: String, Codable, Sendable, CaseIterable {
  /// Begin to protect it.
  case enable
  /// Make a drill of it.
  case testFailover
  /// End the drill.
  case cleanup
  /// Let the recovery site take over.
  case failover
  /// Take over from another recovery point.
  case changePoint
  /// Make the failover final: its recovery points are removed.
  case commit
  /// Copy its disks to plain files, while they are used.
  case flatten
  /// Commit, and end protection for good.
  case completeMigration
  /// Stop what runs.
  case cancel
  /// Replicate what it does at the recovery site back.
  case reprotect
  /// Go back.
  case failback
  /// Compare everything with the replica.
  case resynchronise
  /// End its protection.
  case disable
  /// Remove the disks that a failover left.
  case discard

  /// What it is called.
  public var name: String {
    switch self {
    case .enable: "Enable protection"
    case .testFailover: "Test failover"
    case .cleanup: "Clean-up of the test failover"
    case .failover: "Failover"
    case .changePoint: "Change of recovery point"
    case .commit: "Commit"
    case .flatten: "Copy to plain files"
    case .completeMigration: "Complete migration"
    case .cancel: "Cancel"
    case .reprotect: "Re-protect"
    case .failback: "Failback"
    case .resynchronise: "Resynchronisation"
    case .disable: "Disable protection"
    case .discard: "Discard of the failed-over disks"
    }
  }

  /// The operation's name in Azure Site Recovery's REST API (`allowedOperations` of a replicated item); nil
  /// where that has none.
  public var restName: String? {
    switch self {
    case .enable, .discard, .flatten: nil
    case .testFailover: "TestFailover"
    case .cleanup: "TestFailoverCleanup"
    case .failover: "UnplannedFailover"
    case .changePoint: "ChangePit"
    case .commit: "Commit"
    case .completeMigration: "CompleteMigration"
    case .cancel: "CancelFailover"
    case .reprotect: "ReverseReplicate"
    case .failback: "Failback"
    case .resynchronise: "RepairReplication"
    case .disable: "DisableProtection"
    }
  }

  /// The command for it in a state; `NAME` stands for the machine.
  public func command(in state: RecoveryState) -> String {
    switch self {
    case .enable: "tidemark machine enable NAME"
    case .testFailover: "tidemark test-failover start NAME"
    case .cleanup: "tidemark test-failover cleanup NAME --notes TEXT"
    case .failover: "tidemark failover start NAME --point POINT"
    case .changePoint: "tidemark failover change-point NAME --point POINT"
    case .commit: "tidemark failover commit NAME"
    case .flatten: "tidemark failover flatten NAME"
    case .completeMigration: "tidemark failover commit NAME --complete-migration"
    case .cancel: cancelCommand(in: state)
    case .reprotect: "tidemark reprotect NAME"
    case .failback: "tidemark failback NAME"
    case .resynchronise: "tidemark machine resynchronise NAME"
    case .disable: "tidemark machine disable NAME"
    case .discard: "tidemark failover discard NAME --yes"
    }
  }

  private func cancelCommand(in state: RecoveryState) -> String {
    switch state {
    case .enabling: "tidemark machine disable NAME"
    case .resynchronising: "tidemark machine resynchronise NAME --cancel"
    case .testActive: "tidemark test-failover cleanup NAME --notes TEXT"
    default: "tidemark failover cancel NAME --yes"
    }
  }
}

/// Why an action is not done, and what to do instead. `NAME` stands for the machine in its sentences.
public struct RecoveryRefusal: Error, Hashable, Sendable {
  /// What was asked for.
  public let action: RecoveryAction
  /// Whether it would be allowed, and this version can't do it.
  public let isUnavailable: Bool
  /// Why, as a sentence.
  public let reason: String
  /// What to do instead, as a sentence.
  public let advice: String

  /// What a person is told about a machine of this name.
  public func message(for name: String) -> String {
    "\(action.name) of '\(name)' is refused. \(reason) \(advice)"
      .replacing("'NAME'", with: "'\(name)'").replacing(" NAME", with: " \(name)")
  }

  /// The outcome of the operation on a machine of this name.
  public func error(for name: String) -> OperationError {
    OperationError(.refused, message(for: name))
  }
}
