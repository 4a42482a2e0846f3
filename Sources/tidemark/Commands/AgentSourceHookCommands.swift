internal import Agent
internal import ArgumentParser
internal import Operations
internal import Replication

/// `tidemark agent set-hook shutdown`
struct AgentShutdownHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shutdown",
    abstract: "Say how the source is shut down when its machine fails over.",
    discussion: discussion(
      """
      A failover with --shutdown-source has the agent do this, within a time that it is told, and then make \
      a last recovery point, so that nothing is lost; if that fails, the failover goes on. Without such a \
      hook the machines of 'set-hook qmp' have their power buttons pressed. A program gets \
      TIDEMARK_PHASE=shutdown, TIDEMARK_MACHINE, TIDEMARK_MACHINE_ID, TIDEMARK_DISKS (a path a line) and \
      TIDEMARK_LIMIT (seconds, when it is killed), must end with 0 only once nothing writes any more, and \
      must belong to root. Where the agent runs on the machine itself it must not power that off, for the \
      last recovery point is still to be made: let it stop what writes.
      """,
      examples: [
        "tidemark agent set-hook shutdown --script /etc/tidemark/stop-web01",
        "tidemark agent set-hook shutdown --qmp /run/web01/qmp.sock",
      ], ends: [.locked, .damaged, .refused]))

  @Option(help: ArgumentHelp("A program.", valueName: "path"), completion: .file())
  var script: String?

  @Option(help: ArgumentHelp("The socket of a QEMU machine's monitor.", valueName: "path"))
  var qmp: String?

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func validate() throws {
    guard (script == nil) != (qmp == nil) else {
      throw ValidationError("Choose one of --script and --qmp.")
    }
  }

  func run() throws {
    let hook = SourceHook(
      script == nil ? .monitor : .script, try absolute(script ?? qmp ?? ""))
    let directory = try agent.directory()
    let configuration = try directory.change { configuration throws(AgentError) in
      try configuration.setShutdown(hook)
    }
    SourceHookNotes.tell(of: "shutdown", configuration, in: directory)
    output.print(
      AgentReport(configuration).document, text: "The source is shut down by \(hook.text).")
  }
}

/// `tidemark agent set-hook fence`
struct AgentFenceHookCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fence",
    abstract: "Say what is run when the service refuses this machine because it has failed over.",
    discussion: discussion(
      """
      A source that comes back after its machine has failed over replicates nothing any more, and 'agent \
      status' says why, until it is enrolled or protected anew. The program is run once, with \
      TIDEMARK_PHASE=fence and the other variables of 'set-hook shutdown', has 60 seconds, and must belong \
      to root: it may stop services, or power the machine off.
      """,
      examples: ["tidemark agent set-hook fence --script /etc/tidemark/fence"],
      ends: [.locked, .damaged, .refused]))

  @Option(help: ArgumentHelp("A program.", valueName: "path"), completion: .file())
  var script: String

  @OptionGroup var agent: AgentOption
  @OptionGroup var output: OutputOption

  func run() throws {
    let hook = SourceHook(.script, try absolute(script))
    let directory = try agent.directory()
    let configuration = try directory.change { configuration throws(AgentError) in
      try configuration.setFence(hook)
    }
    SourceHookNotes.tell(of: "fence", configuration, in: directory)
    output.print(
      AgentReport(configuration).document,
      text: "Once this machine is fenced, \(hook.text) is run.")
  }
}

/// What a person should know of a hook that was just set.
private enum SourceHookNotes {
  static func tell(
    of name: String, _ configuration: AgentConfiguration, in directory: AgentDirectory
  ) {
    let findings = Preflight(in: directory, of: configuration).sourceHookFindings()
    for finding in findings where finding.verdict != .ok && finding.subject == "hook \(name)" {
      Console.note("\(finding.found) \(finding.advice)")
    }
  }
}
