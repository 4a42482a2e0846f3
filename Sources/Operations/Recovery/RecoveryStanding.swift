/// Where a machine stands: its state, and what is being done about it. A value; decisions over it are pure.
public struct RecoveryStanding: Hashable, Sendable {
  /// The state.
  public var state: RecoveryState
  /// Whether replication rests; a flag of *protected*.
  public var isPaused = false
  /// Whether disks of a failover are left of one that is not protected any more.
  public var keepsDisks = false
  /// Whether its failed-over disks are plain files, and need no recovery point any more. Not kept: the MANIFEST
  /// tells it.
  public var isFlat = false
  /// Whether the vault holds disks of a failover that nothing names any more. Not kept: the vault tells it, of
  /// machines whose replication is stopped.
  public var hasUnnamedDisks = false
  /// Whether a resynchronisation that is required does not run.
  public var awaitsResynchronisation = false
  /// What a job does about it now.
  public var running: RecoveryAction?
  /// What failed last, until something else is begun.
  public var failed: RecoveryAction?
  /// The state that a failover began in, to which it goes back as long as nothing was changed.
  public var origin: RecoveryState?

  /// A machine that stands still in a state.
  public init(_ state: RecoveryState, isPaused: Bool = false, keepsDisks: Bool = false) {
    (self.state, self.isPaused, self.keepsDisks) = (state, isPaused, keepsDisks)
  }

  /// Why an action is refused now; nil if it is allowed.
  public func objection(to action: RecoveryAction) -> RecoveryRefusal? {
    if let running, !isStoppable(running, by: action) {
      return RecoveryRefusal(
        action: action, isUnavailable: false, reason: "\(running.name) runs.",
        advice: "'tidemark jobs' tells how far it is; try again when it has ended"
          + (running == .flatten
            ? ", or give it up with 'tidemark failover flatten NAME --cancel'." : "."))
    }
    if action == .cancel, state == .resynchronising, awaitsResynchronisation {
      return refusal(
        action, "No resynchronisation of it runs.",
        "'tidemark machine resynchronise NAME' begins the one that is required.")
    }
    if action == .flatten, isFlat, state.hasFailedOverDisks {
      return refusal(
        action, "Its disks are plain files already.",
        "They need no recovery point any more, and there is nothing to copy.")
    }
    // There is no failover to cancel any more, but for its disks.
    if action == .cancel, state == .replicationStopped, hasUnnamedDisks { return nil }
    if keepsDisks, state == .unprotected { return objectionWithDisks(to: action) }
    switch RecoveryTable.cell(action, in: state) {
    case .allowed: return nil
    case .unavailable:
      return RecoveryRefusal(
        action: action, isUnavailable: true, reason: "It is not available in this version.",
        advice: "'tidemark machine show NAME' tells what is.")
    case .refused(let reason, let advice): return refusal(action, reason, advice)
    }
  }

  /// A test failover or failover that runs can be cancelled; nothing else can.
  private func isStoppable(_ running: RecoveryAction, by action: RecoveryAction) -> Bool {
    action == .cancel && (running == .testFailover || running == .failover)
  }

  private func objectionWithDisks(to action: RecoveryAction) -> RecoveryRefusal? {
    switch action {
    case .discard: return nil
    case .reprotect, .failback:
      return refusal(
        action, "A machine whose protection was disabled can never be failed back.",
        "Its disks are kept until 'tidemark failover discard NAME --yes'.")
    default:
      return refusal(
        action, "The disks of its failover are kept, and nothing else is left of it.",
        "Copy what is needed of them; 'tidemark failover discard NAME --yes' removes them.")
    }
  }

  private func refusal(
    _ action: RecoveryAction, _ reason: String, _ advice: String
  ) -> RecoveryRefusal {
    RecoveryRefusal(action: action, isUnavailable: false, reason: reason, advice: advice)
  }

  /// What an operator may do now, in the order of the table's columns.
  public var allowed: [RecoveryAction] {
    RecoveryAction.allCases.filter { objection(to: $0) == nil }
  }
}

/// What happens to a machine.
public enum RecoveryEvent: Hashable, Sendable {
  /// An operator asks for an action.
  case asked(RecoveryAction)
  /// An action did all it should.
  case succeeded(RecoveryAction)
  /// An action failed. If it `isUndone` everything is as it was before it.
  case failed(RecoveryAction, isUndone: Bool)
  /// The first recovery point is there.
  case replicated
  /// Its replica can't be gone on from.
  case doubted
  /// Its replica is what its source is again.
  case resynchronised
  /// Replication rests, or goes on.
  case paused(Bool)
}

/// What is to be done because of an event, beside keeping the new standing.
public enum RecoveryEffect: Hashable, Sendable {
  /// Begin the job of an action.
  case begin(RecoveryAction)
  /// Ask the job that runs to stop.
  case stopJob
  /// Begin to protect the machine.
  case protect
  /// Compare everything.
  case resynchronise
  /// End protection: remove recovery points and settings. Disks of a failover and what they are made of stay.
  case endProtection
}

/// What an event leads to.
public struct RecoveryTransition: Hashable, Sendable {
  /// Where the machine stands then.
  public let standing: RecoveryStanding
  /// What is to be done.
  public let effects: [RecoveryEffect]

  init(_ standing: RecoveryStanding, _ effects: [RecoveryEffect] = []) {
    (self.standing, self.effects) = (standing, effects)
  }
}
