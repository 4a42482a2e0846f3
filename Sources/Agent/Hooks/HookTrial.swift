/// What freezing and thawing at once by an agent's hooks came to.
public struct HookTrial: Sendable {
  /// How long freezing took.
  public let freezeMilliseconds: Int
  /// How long writers were held in all.
  public let heldMilliseconds: Int
  /// What a person should know, in whole sentences.
  public let remarks: [String]

  /// Freezes by all hooks of an agent, and thaws at once; guarded as in a cycle. Blocks.
  ///
  /// - Throws: `.hook` with the reason, once everything is thawed again or has an own guard;
  ///   `.refused` if there are no hooks.
  public init(
    of configuration: AgentConfiguration, in directory: AgentDirectory
  ) throws(AgentError) {
    try self.init(of: configuration, in: directory, by: .own(directory))
  }

  init(
    of configuration: AgentConfiguration, in directory: AgentDirectory,
    by command: GuardedFreeze.Command
  ) throws(AgentError) {
    guard !configuration.hooks.isEmpty else {
      throw AgentError(.refused, "The agent has no hooks. Add one with 'tidemark agent set-hook'.")
    }
    let hold = HookHold(
      HookPlan(configuration.hooks, of: configuration, in: directory), in: directory, by: command,
      tick: { true })
    if hold.begin() { hold.end() }
    guard hold.failure == nil, let held = hold.held else {
      let texts = [hold.failure ?? "The hooks did not freeze."] + hold.remarks
      throw AgentError(.hook, texts.joined(separator: " "))
    }
    freezeMilliseconds = (hold.freezing ?? .zero).inMilliseconds
    (heldMilliseconds, remarks) = (held.inMilliseconds, hold.remarks)
  }
}

/// What shutting the source down by an agent's hooks came to, as the service would have it done.
public struct ShutdownTrial: Sendable {
  /// Whether the source is down.
  public let isStopped: Bool
  /// How long it took.
  public let milliseconds: Int
  /// How it went, in whole sentences.
  public let text: String

  /// Shuts the source down. Blocks, for `seconds` at the most.
  public init(of configuration: AgentConfiguration, within seconds: Int) {
    let start = ContinuousClock.now
    let outcome = SourceStop.run(configuration, seconds, until: start + .seconds(seconds))
    (isStopped, text) = (outcome.isStopped, outcome.text)
    milliseconds = (ContinuousClock.now - start).inMilliseconds
  }
}
