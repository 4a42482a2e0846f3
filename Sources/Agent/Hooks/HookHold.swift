internal import Capture
internal import FileIO

/// Holds the machine's writers around one cycle's cut, by the hooks, in the care of a guard.
final class HookHold: WriterHold {
  /// How long the agent waits for a thaw before it goes on without knowing of it.
  private static let patience = Duration.seconds(15)

  private let plan: HookPlan
  private let note: FreezeNote
  private let command: GuardedFreeze.Command
  private let tick: () -> Bool
  /// The freeze that is under way.
  private(set) var freeze: GuardedFreeze?

  let isQuieting: Bool
  let holdsWriters: Bool
  /// Whether it was tried to hold them.
  private(set) var wasTried = false
  /// How long writers were held, freezing and thawing included.
  private(set) var held: Duration?
  /// How long freezing took.
  private(set) var freezing: Duration?
  /// Why they were not held, or not until they were to be let go.
  private(set) var failure: String?
  /// What else a person should know, in whole sentences.
  private(set) var remarks: [String] = []

  /// Prepares; nothing happens yet.
  ///
  /// `tick` is called about once a second while it is waited for the guard; once it gives false, no freeze is
  /// waited for.
  init(
    _ plan: HookPlan, in directory: AgentDirectory, by command: GuardedFreeze.Command,
    tick: @escaping () -> Bool
  ) {
    (self.plan, self.command, self.tick) = (plan, command, tick)
    note = FreezeNote(directory: directory)
    isQuieting = plan.hooks.contains { $0.kind.isQuieting }
    holdsWriters = plan.hooks.contains { $0.kind.holdsWriters }
  }

  func begin() -> Bool {
    wasTried = true
    do throws(AgentError) {
      let freeze = try GuardedFreeze(command, FreezeRequest(plan: plan, isThawOnly: false))
      self.freeze = freeze
      // A guard that says nothing is no better than one that is gone.
      let deadline = ContinuousClock.now + .seconds(plan.limit) + Self.patience
      while !freeze.isHolding, freeze.failure == nil, !freeze.isOver {
        // While writers wait for this, nothing else is looked after.
        let hasNews = freeze.take(until: min(deadline, .now + .seconds(1)))
        guard hasNews || tick() else { break }
        guard ContinuousClock.now < deadline else {
          throw AgentError(.hook, "The guard of the freeze says nothing.")
        }
      }
      if freeze.isHolding { return true }
      failure = freeze.failure ?? "The agent was told to stop before the hooks had frozen."
    } catch { failure = error.message }
    end()
    return false
  }

  var isUnbroken: Bool {
    guard let freeze else { return false }
    while freeze.take(until: .now) {}
    return freeze.isHolding
  }

  func end() {
    guard let freeze else { return }
    freeze.askToThaw()
    let deadline = ContinuousClock.now + Self.patience
    while !freeze.isThawed, !freeze.isOver, ContinuousClock.now < deadline {
      freeze.take(until: min(deadline, .now + .seconds(1)))
      _ = tick()
    }
    self.freeze = nil
    (held, freezing) = (freeze.held, freeze.freezing)
    failure = failure ?? freeze.failure
    if let remark = freeze.remark { remarks.append(remark) }
    if freeze.isOver, !freeze.isThawed { thawHere() }
    if !freeze.isOver, let obstacle = freeze.obstacle {
      failure = failure ?? "Something is still frozen, and its guard goes on trying: \(obstacle)"
    }
  }

  /// In the place of a guard that is gone.
  private func thawHere() {
    do throws(AgentError) {
      let lock = try note.lock(patience: 2000)
      defer { lock.release() }
      remarks += try note.settle(usual: plan)
    } catch {
      remarks.append("Something may still be frozen. \(error.message)")
      // What can't be done at once is somebody else's work, who has nothing else to do.
      _ = try? GuardedFreeze(command, FreezeRequest(plan: plan, isThawOnly: true))
    }
  }
}
