internal import Agent
internal import ArgumentParser
internal import Replication

/// `tidemark agent test-hook`
struct AgentTestHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test-hook",
    abstract:
      "Freeze by all hooks and thaw at once, or shut the source down; tell how long it took.",
    discussion: discussion(
      """
      As before a recovery point, but none is made. Writers wait for as long as it says. Fails with the \
      reason if a hook can't freeze; what was frozen is thawed then, too. What shuts the source down, and \
      what is run when it was fenced, is only looked at; with --shutdown the source is really shut down, as \
      for a failover, and nothing else is done.
      """,
      examples: ["tidemark agent test-hook", "tidemark agent test-hook --shutdown --within 120"],
      ends: [.locked, .damaged, .refused]))

  @Flag(help: "Shut the source down.")
  var shutdown = false

  @Option(help: ArgumentHelp("How long that may take.", valueName: "seconds"))
  var within = 60

  @OptionGroup var confirmation: ConfirmationOption

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  struct Document: Encodable {
    let freezeMilliseconds: Int
    let heldMilliseconds: Int
    let remarks: [String]
  }

  func run() throws {
    let directory = try agent.directory()
    let configuration = try directory.configuration()
    if shutdown { return try shutDown(configuration) }
    let findings = Preflight(in: directory, of: configuration).sourceHookFindings()
    for finding in findings { Console.note("\(finding.subject): \(finding.found)") }
    // One that only serves failovers has nothing to freeze by.
    guard !configuration.hooks.isEmpty || findings.isEmpty else { return }
    let trial = try HookTrial(of: configuration, in: directory)
    let document = Document(
      freezeMilliseconds: trial.freezeMilliseconds,
      heldMilliseconds: trial.heldMilliseconds, remarks: trial.remarks)
    let text =
      "Frozen in \(document.freezeMilliseconds) ms, and thawed. Writers were held for "
      + "\(document.heldMilliseconds) ms in all."
    output.print(document, text: ([text] + trial.remarks).joined(separator: "\n"))
  }

  struct ShutdownDocument: Encodable {
    let isStopped: Bool
    let milliseconds: Int
    let text: String
  }

  func validate() throws {
    guard (1...3600).contains(within) else {
      throw ValidationError("--within takes 1 to 3600 seconds.")
    }
  }

  private func shutDown(_ configuration: AgentConfiguration) throws {
    try confirmation.confirm(
      "This shuts the source of '\(configuration.name)' down", of: configuration.name)
    let trial = ShutdownTrial(of: configuration, within: within)
    output.print(
      ShutdownDocument(
        isStopped: trial.isStopped, milliseconds: trial.milliseconds, text: trial.text),
      text: "\(trial.text) It took \(trial.milliseconds) ms.")
    guard trial.isStopped else { throw ExitStatus.failed.code }
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
