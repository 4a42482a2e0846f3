/// Freezes by all hooks of a plan, in their order of freezing, and thaws in reverse.
struct HookRunner {
  /// How long one hook may take to thaw before the others get their turn.
  static let patience = Duration.seconds(5)
  /// Tries to thaw something that seems to be gone, and the time between the first and the last of them.
  private static let goneAttempts = 3
  private static let goneTime = Duration.seconds(2)

  fileprivate struct Held {
    var hook: Hook
    var freezer: any Freezer
    var goneSince: ContinuousClock.Instant?
    var attempts = 0
  }

  private let hooks: [Held]
  /// What may be held, in the order it was frozen.
  private var held: [Held] = []
  /// What a person should know of how it was thawed.
  private(set) var remarks: [String] = []

  /// Nothing is held yet.
  init(_ plan: HookPlan) {
    // Plans may be older than that order.
    hooks = plan.hooks.inFreezingOrder.map { Held(hook: $0, freezer: $0.freezer(plan)) }
  }

  /// In the place of a process that is gone: everything may be held.
  init(inheriting plan: HookPlan) {
    self.init(plan)
    held = hooks
  }

  /// Looks at every hook; gives the first that can't freeze.
  func check(until deadline: ContinuousClock.Instant) throws(AgentError) -> [Hook] {
    var needed: [Hook] = []
    for hook in hooks where try hook.freezer.isNeeded(until: deadline) { needed.append(hook.hook) }
    return needed
  }

  /// Freezes by these hooks. Where it fails, what was frozen stays so until `thaw`.
  mutating func freeze(
    _ needed: [Hook], until deadline: ContinuousClock.Instant
  ) throws(AgentError) {
    for hook in hooks where needed.contains(hook.hook) {
      guard ContinuousClock.now < deadline else {
        throw AgentError(.hook, "The time was over before \(hook.hook.text) had its turn.")
      }
      held.append(hook)
      do throws(AgentError) { try hook.freezer.freeze(until: deadline) } catch {
        throw AgentError(.hook, "\(hook.hook.text) could not freeze. \(error.message)")
      }
    }
  }

  /// Lets everybody go who is held, as far as one attempt gets; gives what was in the way, nil if nobody is
  /// held any more.
  mutating func thaw() -> String? {
    var left: [Held] = []
    var failures: [String] = []
    for var hook in held.reversed() {
      do throws(AgentError) {
        if let remark = try hook.freezer.thaw(until: .now + Self.patience) {
          remarks.append(remark)
        }
      } catch {
        hook.attempts += 1
        if error.code == .missing, hook.isGone(Self.goneAttempts, Self.goneTime) {
          remarks.append(error.message)
        } else {
          if error.code != .missing { hook.goneSince = nil }
          failures.append("\(hook.hook.text) could not thaw. \(error.message)")
          left.append(hook)
        }
      }
    }
    held = left.reversed()
    return failures.isEmpty ? nil : failures.joined(separator: " ")
  }
}

extension HookRunner.Held {
  /// Counts another look at something that is not there.
  mutating func isGone(_ attempts: Int, _ time: Duration) -> Bool {
    let since = goneSince ?? .now
    goneSince = since
    return self.attempts >= attempts && .now - since >= time
  }
}
