internal import FileIO

/// One hook at work. For one thread; every wait has a limit.
protocol Freezer: AnyObject {
  /// Looks whether it could freeze, and changes nothing. False if nothing is to be done: writers are held
  /// already, by somebody else, who is to let them go.
  func isNeeded(until deadline: ContinuousClock.Instant) throws(AgentError) -> Bool

  /// Holds the writers. Where it fails, some may be held all the same.
  func freeze(until deadline: ContinuousClock.Instant) throws(AgentError)

  /// Lets the writers go. Returns only if it is certain that they do; may be called whenever.
  ///
  /// - Returns: what a person should know of it; nil if all is as it was.
  /// - Throws: `.missing` if what was to be held seems to be gone, else `.hook`.
  func thaw(until deadline: ContinuousClock.Instant) throws(AgentError) -> String?
}

extension Hook {
  func freezer(_ plan: HookPlan) -> any Freezer {
    switch kind {
    case .fileSystems: FileSystemFreezer(paths, needed: plan.needed)
    case .guestAgent: GuestAgentFreezer(socket: paths[0])
    case .monitor: MonitorFreezer(socket: paths[0])
    case .scripts: ScriptFreezer(directory: paths[0], plan: plan)
    }
  }
}

extension AgentError {
  init(hook error: IOError) {
    if error.isTimeout {
      self.init(.hook, "'\(error.path)' did not answer in time.")
    } else if error.isTooLong {
      self.init(.hook, "'\(error.path)' answered with more than is allowed.")
    } else {
      self.init(.hook, error.description)
    }
  }
}

/// Runs `body` and turns a failed system call into a failure of a hook.
func inHook<Result: ~Copyable>(
  _ body: () throws(IOError) -> Result
) throws(AgentError) -> Result {
  do { return try body() } catch { throw AgentError(hook: error) }
}
