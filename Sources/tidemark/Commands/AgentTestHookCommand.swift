internal import Agent
internal import ArgumentParser

/// `tidemark agent test-hook`
struct AgentTestHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test-hook",
    abstract: "Freeze by all hooks and thaw at once, and tell how long it took.",
    discussion: discussion(
      """
      As before a recovery point, but none is made. Writers wait for as long as it says. Fails with the \
      reason if a hook can't freeze; what was frozen is thawed then, too.
      """,
      examples: ["tidemark agent test-hook"], ends: [.locked, .damaged, .refused]))

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  struct Document: Encodable {
    let freezeMilliseconds: Int
    let heldMilliseconds: Int
    let remarks: [String]
  }

  func run() throws {
    let directory = try agent.directory()
    let trial = try HookTrial(of: try directory.configuration(), in: directory)
    let document = Document(
      freezeMilliseconds: trial.freezeMilliseconds,
      heldMilliseconds: trial.heldMilliseconds, remarks: trial.remarks)
    let text =
      "Frozen in \(document.freezeMilliseconds) ms, and thawed. Writers were held for "
      + "\(document.heldMilliseconds) ms in all."
    output.print(document, text: ([text] + trial.remarks).joined(separator: "\n"))
  }
}

/// `tidemark agent guard`: what the agent starts for each freeze.
struct AgentGuardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guard", abstract: "Own a freeze. Only the agent starts this.",
    shouldDisplay: false)

  @OptionGroup var agent: AgentOption

  func run() throws {
    var guardian = FreezeGuard(try agent.directory()) { Console.note("tidemark: \($0)") }
    try guardian.run()
  }
}
