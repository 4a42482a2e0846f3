import Support
import Testing

@testable import Operations

/// Goal: whatever is asked for in whatever order, and wherever the process dies, a machine's state and what
/// the vault holds of it agree. Method: a model of the vault, whose steps are those of each action in their
/// order; random actions, failures and crashes, after each of which the invariants are checked.
@Suite struct RecoveryWalkTests {
  /// What the vault holds of a machine.
  struct World: Hashable {
    var pin: RecoveryAction?
    var hasBranch = false
    var isCommitted = false
    var isFlat = false
    var points = 3
    var epoch = 0
    /// The epoch that the source's records are of.
    var sourceEpoch = 0
  }

  /// One step of an action; each is done whole or not at all, and twice is as good as once.
  typealias Step = (inout World) -> Void

  static func steps(of action: RecoveryAction) -> [Step] {
    let branch: Step = { if $0.pin != nil { $0.hasBranch = true } }
    let removal: [Step] = [{ ($0.hasBranch, $0.isFlat) = (false, false) }, { $0.pin = nil }]
    switch action {
    case .testFailover: return [{ $0.pin = .testFailover }, branch]
    case .cleanup, .discard: return removal
    case .failover:
      return [{ if $0.epoch == $0.sourceEpoch { $0.epoch += 1 } }, { $0.pin = .failover }, branch]
    case .changePoint:
      return [{ ($0.hasBranch, $0.isFlat) = (false, false) }, branch]
    case .commit: return [{ ($0.points, $0.isCommitted) = (0, true) }]
    case .completeMigration: return [{ ($0.points, $0.isCommitted) = (0, true) }]
    case .cancel: return removal
    case .flatten: return [{ $0.isFlat = true }]
    default: return []
    }
  }

  static func objection(_ standing: RecoveryStanding, _ world: World) -> String? {
    guard standing.running == nil else { return nil }
    if world.isFlat, !world.hasBranch || world.pin != .failover {
      return "plain files of no failover"
    }
    switch standing.state {
    case .testActive:
      guard standing.failed == nil else { return nil }
      return world.pin == .testFailover && world.hasBranch ? nil : "a drill without its branch"
    case .failedOver:
      if world.isCommitted { return "not committed, and yet it is" }
      guard world.pin == .failover, world.hasBranch else { return "failed over without its branch" }
      return world.epoch > world.sourceEpoch ? nil : "failed over under the epoch of the source"
    case .committed:
      if world.points > 0 { return "committed, with recovery points" }
      return world.pin == .failover && world.hasBranch ? nil : "committed without its branch"
    case .failoverFailed: return nil
    case .unprotected where standing.keepsDisks:
      return world.hasBranch ? nil : "kept disks that are gone"
    default:
      return world.pin == nil && !world.hasBranch ? nil : "\(standing.state) with a branch"
    }
  }

  @Test(
    "random actions, failures and crashes keep state and vault in agreement", arguments: 1...200)
  func walk(seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    var (standing, world) = (RecoveryStanding(.unprotected), World())
    for _ in 0..<60 {
      if standing.state == .enabling { standing = try standing.after(.replicated).standing }
      let action = RecoveryAction.allCases.randomElement(using: &random) ?? .failover
      let allowed = standing.objection(to: action) == nil
      guard let transition = try? standing.after(.asked(action)) else {
        #expect(!allowed)
        continue
      }
      #expect(allowed)
      standing = transition.standing
      if standing == RecoveryStanding(.unprotected) { world = World() }
      if transition.effects.contains(.protect) { world = World() }
      try run(&standing, &world, &random)
      #expect(Self.objection(standing, world) == nil, "seed=\(seed) \(action) \(standing) \(world)")
    }
  }

  /// Lets the job that was begun end: whole, after crashes, undone, or half-way.
  private func run(
    _ standing: inout RecoveryStanding, _ world: inout World, _ random: inout SeededGenerator
  ) throws {
    guard let action = standing.running else { return }
    let (before, steps) = (world, Self.steps(of: action))
    var next = 0
    while next < steps.count {
      switch Int.random(in: 0..<10, using: &random) {
      case 0:
        // The process died behind the step and before anybody noted it.
        steps[next](&world)
      case 1 where action == .failover || action == .testFailover:
        let isCancelled = Bool.random(using: &random)
        if isCancelled { standing = try standing.after(.asked(.cancel)).standing }
        let isUndone = isCancelled || action == .testFailover || next == 0
        if isUndone, isCancelled || action == .testFailover {
          for step in Self.steps(of: .cancel) { step(&world) }
        } else if isUndone {
          world = before
        }
        standing = try standing.after(
          isCancelled ? .succeeded(.cancel) : .failed(action, isUndone: isUndone)
        ).standing
        return
      default:
        steps[next](&world)
        next += 1
      }
    }
    standing = try standing.after(.succeeded(action)).standing
    if standing == RecoveryStanding(.unprotected) { world = World() }
  }
}
