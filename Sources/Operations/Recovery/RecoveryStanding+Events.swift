/// The state machine: an event leads to another standing and to what is to be done, or is refused.
extension RecoveryStanding {
  /// What an event leads to.
  ///
  /// - Throws: why an action is refused, if one was asked for.
  public func after(_ event: RecoveryEvent) throws(RecoveryRefusal) -> RecoveryTransition {
    switch event {
    case .asked(let action):
      if let objection = objection(to: action) { throw objection }
      return begun(action)
    case .succeeded(let action): return RecoveryTransition(done(action))
    case .failed(let action, let isUndone):
      return RecoveryTransition(undone(action, isUndone: isUndone))
    case .replicated: return RecoveryTransition(moved(from: .enabling, to: .protected))
    case .doubted: return RecoveryTransition(moved(from: .protected, to: .resynchronising))
    case .resynchronised: return RecoveryTransition(moved(from: .resynchronising, to: .protected))
    case .paused(let isPaused):
      var next = self
      next.isPaused = isPaused && state.isReplicating
      return RecoveryTransition(next)
    }
  }

  private func moved(from: RecoveryState, to: RecoveryState) -> RecoveryStanding {
    var next = self
    if state == from { next.state = to }
    return next
  }

  private func begun(_ action: RecoveryAction) -> RecoveryTransition {
    var next = self
    next.failed = nil
    switch action {
    case .enable:
      next.state = .enabling
      return RecoveryTransition(next, [.protect])
    case .testFailover:
      (next.state, next.origin) = (.testActive, state)
    case .failover:
      // A resynchronisation ends with replication itself.
      (next.state, next.origin) = (.failoverInProgress, state)
    case .cancel: return cancelled()
    case .resynchronise:
      next.state = .resynchronising
      return RecoveryTransition(next, [.resynchronise])
    case .disable:
      next.running = action
      return RecoveryTransition(next, [.endProtection])
    case .cleanup, .changePoint, .commit, .flatten, .completeMigration, .discard, .reprotect,
      .failback:
      break
    }
    next.running = action
    return RecoveryTransition(next, [.begin(action)])
  }

  private func cancelled() -> RecoveryTransition {
    var next = self
    next.failed = nil
    switch state {
    case .enabling:
      return RecoveryTransition(RecoveryStanding(.unprotected), [.endProtection])
    case .resynchronising: return RecoveryTransition(next)
    case .testActive:
      next.running = running == nil ? .cleanup : .cancel
      return RecoveryTransition(next, running == nil ? [.begin(.cleanup)] : [.stopJob])
    default:
      next.running = .cancel
      return RecoveryTransition(next, running == nil ? [.begin(.cancel)] : [.stopJob])
    }
  }

  private func done(_ action: RecoveryAction) -> RecoveryStanding {
    var next = self
    (next.running, next.failed) = (nil, nil)
    switch action {
    case .failover: (next.state, next.origin, next.isPaused) = (.failedOver, nil, false)
    case .cleanup: return RecoveryStanding(origin ?? .protected, isPaused: isPaused)
    case .commit: next.state = .committed
    case .completeMigration: return RecoveryStanding(.unprotected, keepsDisks: true)
    case .cancel where state == .testActive:
      return RecoveryStanding(origin ?? .protected, isPaused: isPaused)
    case .cancel: return RecoveryStanding(.replicationStopped)
    case .disable: return RecoveryStanding(.unprotected, keepsDisks: state.hasFailedOverDisks)
    case .discard: return RecoveryStanding(.unprotected)
    case .testFailover, .changePoint, .flatten, .enable, .resynchronise, .reprotect, .failback:
      break
    }
    return next
  }

  private func undone(_ action: RecoveryAction, isUndone: Bool) -> RecoveryStanding {
    var next = self
    (next.running, next.failed) = (nil, action)
    switch action {
    case .testFailover where isUndone:
      next.state = origin ?? .protected
      next.origin = nil
    case .failover:
      next.state = isUndone ? origin ?? .protected : .failoverFailed
      if isUndone { next.origin = nil }
    case .changePoint where !isUndone: next.state = .failoverFailed
    case .cancel where state == .failoverInProgress: next.state = .failoverFailed
    default: break
    }
    return next
  }
}
