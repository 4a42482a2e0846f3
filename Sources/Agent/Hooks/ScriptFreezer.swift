internal import FileIO

/// Runs the programs in `pre.d` of a directory in the order of their names, and after the cut those in
/// `post.d` in reverse order.
///
/// They get an environment of their own: PATH, TIDEMARK_PHASE (`pre` or `post`), TIDEMARK_MACHINE,
/// TIDEMARK_MACHINE_ID, TIDEMARK_DISKS (a path a line) and TIDEMARK_LIMIT (seconds).
final class ScriptFreezer: Freezer {
  /// How often a script of `post.d` is run that fails.
  private static let attempts = 3
  private static let limit = 100

  private let directory: String
  private let plan: HookPlan
  /// Those of `post.d` that are still to be run, the last one first, and how often each has failed.
  private var left: [(path: String, failures: Int)]?

  init(directory: String, plan: HookPlan) { (self.directory, self.plan) = (directory, plan) }

  func isNeeded(until deadline: ContinuousClock.Instant) throws(AgentError) -> Bool {
    let (before, after) = (try scripts("pre"), try scripts("post"))
    guard !before.isEmpty || !after.isEmpty else {
      throw AgentError(
        .hook,
        "There are no scripts in '\(directory)'. Put programs into its directories 'pre.d' and 'post.d'."
      )
    }
    return true
  }

  func freeze(until deadline: ContinuousClock.Instant) throws(AgentError) {
    for script in try scripts("pre") { try run(script, "pre", until: deadline) }
  }

  /// Every script is run, whatever became of the others. One that keeps failing is given up, and told of:
  /// what it had to do is not known here.
  func thaw(until deadline: ContinuousClock.Instant) throws(AgentError) -> String? {
    if left == nil { left = try scripts("post").reversed().map { ($0, 0) } }
    var remaining = left ?? []
    var failures: [String] = []
    for (index, script) in remaining.enumerated() {
      do throws(AgentError) {
        try run(script.path, "post", until: .now + .seconds(max(10, plan.limit)))
        remaining[index].failures = 0
      } catch {
        failures.append(error.message)
        remaining[index].failures += 1
      }
    }
    remaining.removeAll { $0.failures == 0 }
    left = remaining
    guard !failures.isEmpty else { return nil }
    let text = failures.joined(separator: " ")
    guard remaining.allSatisfy({ $0.failures >= Self.attempts }) else {
      throw AgentError(.hook, text)
    }
    left = []
    return "\(text) It was run \(Self.attempts) times; see to what it should have done."
  }

  /// The scripts of a phase, in the order of their names.
  ///
  /// - Throws: if one could be another user's work, or can't be run.
  private func scripts(_ phase: String) throws(AgentError) -> [String] {
    let place = "\(directory)/\(phase).d"
    var names: [String]
    do throws(IOError) { names = try FileSystem.system.list(place) } catch {
      guard error.isMissing else { throw AgentError(hook: error) }
      return []
    }
    // What editors and packages leave behind is no script.
    names.removeAll { $0.hasPrefix(".") || $0.hasSuffix("~") || $0.contains(".dpkg-") }
    guard names.count <= Self.limit else {
      throw AgentError(.hook, "There are more than \(Self.limit) scripts in '\(place)'.")
    }
    try HookProgram.check(directory)
    try HookProgram.check(place)
    let paths = names.sorted().map { "\(place)/\($0)" }
    for path in paths { try HookProgram.check(path) }
    return paths
  }

  private func run(
    _ script: String, _ phase: String, until deadline: ContinuousClock.Instant
  ) throws(AgentError) {
    try HookProgram(path: script, variables: variables(phase)).run(until: deadline)
  }

  private func variables(_ phase: String) -> [String] {
    HookProgram.variables(
      phase: phase, machine: plan.machine, name: plan.name, disks: plan.disks, limit: plan.limit)
  }
}
