internal import FileIO
internal import FoundationEssentials

/// What an agent's directory says of a freeze, for whoever comes after a crash: `frozen.json`, there from
/// before the first hook freezes until it is certain that all have thawed; and `freeze.lock`, which
/// whoever freezes or thaws holds.
struct FreezeNote {
  private static let sizeLimit = 1 << 20

  let directory: AgentDirectory
  private var path: String { directory.path + "/frozen.json" }

  /// Whether something may be frozen.
  var exists: Bool { directory.system.exists(path) }

  /// Durable when it returns.
  func save(_ plan: HookPlan) throws(AgentError) {
    let bytes = (try? JSONEncoder().encode(plan)).map { Array($0) } ?? []
    do throws(IOError) {
      try directory.system.replaceFile(path, with: bytes, permissions: 0o600)
    } catch { throw AgentError(.state, error.description) }
  }

  /// What may be frozen; nil if the note can't be read.
  func plan() -> HookPlan? {
    guard let bytes = try? directory.system.readFile(path, limit: Self.sizeLimit),
      let plan = try? JSONDecoder().decode(HookPlan.self, from: Data(bytes)), plan.isValid
    else { return nil }
    return plan
  }

  func remove() throws(AgentError) {
    do throws(IOError) {
      do throws(IOError) { try directory.system.remove(path) } catch {
        guard error.isMissing else { throw error }
      }
      try directory.system.syncDirectory(directory.path)
    } catch { throw AgentError(.state, error.description) }
  }

  /// Keeps others from freezing and thawing.
  ///
  /// - Throws: `.locked` if another process does, and goes on for `patience` milliseconds.
  func lock(patience: Int) throws(AgentError) -> FileLock {
    try directory.lock(
      "freeze.lock", patience: patience, "Another process is freezing or thawing by the hooks.")
  }

  /// Tries once to thaw what the note names, in the place of a process that is gone; `usual` is taken
  /// where the note can't be read. Whoever calls holds the lock.
  ///
  /// - Returns: what a person should know.
  /// - Throws: `.hook` if something may still be frozen; the note stays then.
  func settle(usual: HookPlan) throws(AgentError) -> [String] {
    guard exists else { return [] }
    var runner = HookRunner(inheriting: plan() ?? usual)
    if let failure = runner.thaw() { throw AgentError(.hook, failure) }
    try remove()
    return runner.remarks
  }
}
